"""``ndicloudfs queue``: what the server does not have yet, and what is to become of it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click

from ndicloudfs.cli import left
from ndicloudfs.cli.status import size as shown_size
from ndicloudfs.cli.sync import named, own_mounts, the_mount
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount.mountpoint import absolute
from ndicloudfs.vfs.queued import facts

_MOUNT = click.option(
    "--mount", "mount", metavar="PATH", help="The mount, where there are several."
)
_IDS = click.argument("ids", nargs=-1, type=int)


@click.group()
def queue() -> None:
    """Show and decide what the server does not have yet.

    What was written waits here, on this machine, until the server shows it. Something that the
    server refuses, or that somebody else has changed meanwhile, waits for a decision.
    """


@queue.command("list")
@click.argument("path", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def list_(path: str | None, as_json: bool) -> None:
    """List what waits, at PATH and below or in the whole mount; without a mount, what one left.

    Example: ndicloudfs queue list ~/ndi
    """
    if path is None and not own_mounts():
        _list_left(as_json)
    else:
        place = the_mount(path)
        _show(place.ask("queue", {"path": place.inner})["entries"], as_json)


def _list_left(as_json: bool) -> None:
    now = time.time()
    with left.waiting() as found:
        entries = [] if found is None else [facts(entry, now) for entry in found.queue.entries()]
    _show(entries, as_json)
    if found is not None:
        click.echo(
            f"ndicloudfs: nothing is mounted; this waits for a mount of {found.account} at"
            f" {found.host}",
            err=True,
        )


def _show(entries: list[Json], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"entries": entries}))
        return
    if not entries:
        click.echo("nothing waits: the server has everything")
    for entry in entries:
        columns = [
            str(entry["id"]),
            entry["state"],
            entry["kind"],
            shown_size(entry["size"]),
            f"{entry['age_seconds']:.0f} s",
            named(entry),
            entry["reason"],
        ]
        click.echo("\t".join(columns).rstrip())


@queue.command()
@_IDS
@_MOUNT
def retry(ids: tuple[int, ...], mount: str | None) -> None:
    """Send entries once more now: those of IDS, or all that were refused or have failed.

    Example: ndicloudfs queue retry
    """
    done = the_mount(mount).ask("queue retry", _chosen(ids))
    click.echo(f"{done['retried']} entries are sent again")


@queue.command()
@click.argument("ids", nargs=-1, type=int, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@_MOUNT
def discard(ids: tuple[int, ...], yes: bool, mount: str | None) -> None:
    """Give up the entries IDS, with the bytes that were written.

    Example: ndicloudfs queue discard 17
    """
    place = the_mount(mount)
    if not yes:
        click.confirm(f"What was written in {len(ids)} entries is lost then. Go on?", abort=True)
    done = place.ask("queue discard", _chosen(ids))
    click.echo(f"{done['discarded']} entries are given up")


@queue.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@_IDS
@_MOUNT
def export(folder: Path, ids: tuple[int, ...], mount: str | None) -> None:
    """Copy the bytes of entries into FOLDER: of IDS, or of all that were refused or have failed.

    Without a mount, of IDS or of all that wait.

    Example: ndicloudfs queue export ./kept
    """
    if mount is None and not own_mounts():
        with left.waiting() as found:
            entries = left.chosen(found, ids)
            if found is not None:
                for path in found.queue.export(entries, Path(absolute(str(folder)))):
                    click.echo(path)
        return
    arguments = {"folder": absolute(str(folder)), **_chosen(ids)}
    for path in the_mount(mount).ask("queue export", arguments)["paths"]:
        click.echo(path)


@queue.command()
@click.argument("id", type=int)
@click.option("--mine/--theirs", "mine", default=None, help="Which version the server is to have.")
@_MOUNT
def resolve(id: int, mine: bool | None, mount: str | None) -> None:  # noqa: A002
    """Decide the conflict ID: send the version of here, or keep the server's.

    Example: ndicloudfs queue resolve 17 --mine
    """
    if mine is None:
        raise click.UsageError("say which version the server is to have: --mine or --theirs")
    the_mount(mount).ask("queue resolve", {"ids": [id], "mine": mine})
    kept = "is sent over the server's" if mine else "is given up, the server's stays"
    click.echo(f"the version of here {kept}")


def _chosen(ids: tuple[int, ...]) -> dict[str, Any]:
    return {"ids": list(ids)} if ids else {}
