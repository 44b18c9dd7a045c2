"""``ndicloudfs prefetch``: what will be needed, before it is."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.filesize import decimal as size
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ndicloudfs.cli.failure import FAILED, Failure
from ndicloudfs.cli.progress import LINE_INTERVAL
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount.commands import place_of


@click.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def prefetch(paths: tuple[str, ...], as_json: bool) -> None:
    """Bring documents and files into the cache: of a dataset, a folder or a file.

    What is cached is skipped, so that one that was interrupted goes on where it ended. The cache
    keeps what was used last, up to --cache-size of the mount.

    Example: ndicloudfs prefetch ~/ndi/'My Lab'/'Rat V1'/files/element_epoch
    """
    by_mount: dict[str, list[str]] = {}
    places = {}
    for place in map(place_of, paths):
        by_mount.setdefault(place.mountpoint, []).append(place.inner)
        places[place.mountpoint] = place
    total: Counter[str] = Counter()
    errors: list[str] = []
    for mountpoint, inner in by_mount.items():
        with _shown() as show:
            done = places[mountpoint].ask("prefetch", {"paths": inner}, show)
        errors += done.pop("errors")
        total.update(done)
    click.echo(json.dumps({**total, "errors": errors}) if as_json else _summary(dict(total)))
    for error in errors:
        click.echo(error, err=True)
    if total["failed"]:
        raise Failure(f"{total['failed']} could not be fetched; run it again", FAILED)


def _summary(done: Json) -> str:
    fetched = done["bytes"] - done["cached"]
    parts = [
        f"cached {done['documents']} documents",
        f"{done['files']} files ({size(done['bytes'])}, {size(fetched)} of it fetched now)",
    ]
    if done["missing"]:
        parts.append(f"{done['missing']} files have no bytes on the server")
    return ", ".join(parts)


@contextmanager
def _shown() -> Iterator[Callable[[Json], None]]:
    """What shows progress: bars on a terminal, lines elsewhere, both on standard error."""
    console = Console(stderr=True)  # soft wrapping would miscount lines in narrow windows
    if not console.is_terminal:
        yield _lines(console)
        return
    text, bar = TextColumn("{task.description}"), BarColumn()
    counting = Progress(text, bar, MofNCompleteColumn(), console=console, transient=True)
    columns = (DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    moving = Progress(text, bar, *columns, console=console, transient=True)
    with counting:
        documents = counting.add_task("documents", total=None)
        files = None

        def show(facts: Json) -> None:
            nonlocal files
            counting.update(
                documents, completed=facts["documents"], total=facts["documents_total"] or None
            )
            if facts["bytes"] and files is None:
                counting.stop()
                moving.start()
                files = moving.add_task("files", total=facts["bytes_total"])
            if files is not None:
                moving.update(files, completed=facts["bytes"], total=facts["bytes_total"])

        try:
            yield show
        finally:
            moving.stop()


def _lines(console: Console) -> Callable[[Json], None]:
    began = last = time.monotonic()
    at_first: int | None = None

    def show(facts: Json) -> None:
        nonlocal began, last, at_first
        now = time.monotonic()
        fetched = facts["bytes"] - facts["cached"]
        if at_first is None and fetched:
            began, at_first = now, fetched
        if now - last < LINE_INTERVAL:
            return
        last = now
        line = f"{facts['documents']} of {facts['documents_total']} documents"
        if facts["files_total"]:
            line += f", {facts['files']} of {facts['files_total']} files"
            line += f", {size(facts['bytes'])} of {size(facts['bytes_total'])}"
        rate = (fetched - (at_first or 0)) / (now - began) if now > began else 0
        if rate:
            left = (facts["bytes_total"] - facts["bytes"]) / rate
            line += f" at {size(int(rate))}/s, about {left:.0f} s left"
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    return show
