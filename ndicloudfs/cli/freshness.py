"""``ndicloudfs refresh``: what the server has now."""

from __future__ import annotations

import json

import click

from ndicloudfs.cli.progress import Shown
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount.commands import place_of


@click.command()
@click.argument("path")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def refresh(path: str, as_json: bool) -> None:
    """Ask the server now for all that is known of PATH and below, and say what has changed.

    Without it, a mount looks again by itself after --metadata-ttl.

    Example: ndicloudfs refresh ~/ndi/'My Lab'/'Rat V1'/documents/subject
    """
    place = place_of(path)
    with Shown(_sentence) as shown:
        done = place.ask("refresh", {"path": place.inner}, shown)
    click.echo(json.dumps(done) if as_json else f"{_sentence(done)}; {_changes(done)}")


def _sentence(done: Json) -> str:
    return f"refreshed {done['listings']} listings, {done['bodies']} documents"


def _changes(done: Json) -> str:
    counts = [f"{done[name]} {name}" for name in ("added", "removed", "changed") if done[name]]
    return ", ".join(counts) or "nothing has changed"
