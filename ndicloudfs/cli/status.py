"""``ndicloudfs status``: what each mount is and does, at a glance, as JSON, or live."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from ndicloudfs.cli import tables
from ndicloudfs.cli.account import life, printable
from ndicloudfs.cli.failure import FAILED, Failure
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount.commands import CommandFailed, Place, mounted, place_of
from ndicloudfs.mount.control import Misused

_EVERY = 1.0  # s between two looks of --watch
_ERRORS_SHOWN = 3


@click.command()
@click.argument("mountpoint", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@click.option("--watch", is_flag=True, help="Go on until Ctrl-C, looking again every second.")
def status(mountpoint: str | None, as_json: bool, watch: bool) -> None:
    """Show the mounts: account, cache, queue, transfers, last errors.

    Ends with 1 where MOUNTPOINT is not mounted or does not answer.

    Example: ndicloudfs status ~/ndi --watch
    """
    if as_json:
        for facts in _looks(mountpoint, watch=watch):
            click.echo(json.dumps({"mounts": facts}, indent=None if watch else 2))
    elif watch and tables.on_terminal():
        with Live(console=Console(), auto_refresh=False, screen=True) as live:
            for facts in _looks(mountpoint, watch=True):
                live.update(tables.folded(_rows(facts)), refresh=True)
    elif watch:
        for facts in _looks(mountpoint, watch=True):
            tables.show([*_rows(facts), ("", "")])
    else:
        (facts,) = _looks(mountpoint, watch=False)
        tables.show(_rows(facts))
        if mountpoint is not None and "problem" in facts[0]:
            raise Failure(str(facts[0]["problem"]), FAILED)


def _looks(mountpoint: str | None, *, watch: bool) -> Iterator[list[Json]]:
    """The facts of each mount, once or until Ctrl-C."""
    while True:
        places = mounted() if mountpoint is None else [place_of(mountpoint)]
        yield [_facts(place) for place in places]
        if not watch:
            return
        try:
            time.sleep(_EVERY)
        except KeyboardInterrupt:
            return


def _facts(place: Place) -> Json:
    where = {"mountpoint": place.mountpoint}
    try:
        return {**where, **place.ask("status")}
    except (CommandFailed, Misused) as error:
        return {**where, "problem": str(error)}


def _rows(mounts: list[Json]) -> Iterator[tuple[str, str]]:
    """What is shown of the mounts: a name and a text each."""
    if not mounts:
        yield "mounts", "none; make one with: ndicloudfs mount MOUNTPOINT"
    for number, facts in enumerate(mounts):
        if number:
            yield "", ""
        for name, text in _rows_of_mount(facts):
            yield name, printable(text)


def _rows_of_mount(facts: Json) -> Iterator[tuple[str, str]]:
    yield "mount", str(facts["mountpoint"])
    if "problem" in facts:
        yield "problem", str(facts["problem"])
        return
    token = facts["token"]
    yield "account", f"{facts['account']} at {facts['server']}"
    if facts["account"] != "anonymous":
        yield "sign-in", life(token["expires"], lasting=token["signs_in_again"])
    yield "server", "answers" if facts["online"] else str(facts["outage"])
    cache = facts["cache"]
    hits = cache["hit_rate"]
    rate = "" if hits is None else f", {hits:.0%} of what was read needed no download"
    yield "cache", f"{size(cache['used_bytes'])} of {size(cache['limit_bytes'])}{rate}"
    yield from _queue(facts)
    yield from _traffic(facts)
    for line in facts["errors"][-_ERRORS_SHOWN:]:
        yield "error", line


def _queue(facts: Json) -> Iterator[tuple[str, str]]:
    queue = facts.get("queue")
    if queue is None:
        return
    counts = [f"{count} {name}" for name, count in queue["states"].items() if count]
    oldest = queue.get("oldest_seconds")
    age = f", the oldest for {round(oldest)} s" if oldest else ""
    yield "queue", f"{', '.join(counts)}{age}" if counts else "empty: the server has everything"


def _traffic(facts: Json) -> Iterator[tuple[str, str]]:
    traffic: dict[str, Any] = facts["traffic"]
    for direction, verb in (("download", "down"), ("upload", "up")):
        moving = [each for each in facts["transfers"] if each["direction"] == direction]
        rate, total = (
            traffic[f"{direction}_bytes_per_second"],
            traffic[f"{direction}ed_bytes"],
        )
        if moving or total:
            yield verb, f"{size(rate)}/s, {len(moving)} at work, {size(total)} in all"


def size(number: int) -> str:
    """Bytes as people read them: ``1.5 GiB``."""
    value, unit = float(number), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1024:
            break
        value, unit = value / 1024, larger
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
