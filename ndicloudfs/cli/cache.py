"""``ndicloudfs cache``: what the cache holds, whether it is whole, and emptying it.

The commands work on the folder itself, which any number of processes may use at the same time, so
that they do not need a mount. What was written and is not uploaded yet is not in it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import diskcache
from rich.console import Console
from rich.filesize import decimal as size
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from ndicloudfs.cache.blockfile import BLOCK, BLOCKS
from ndicloudfs.cache.local import blocks_folder
from ndicloudfs.cache.store import Store
from ndicloudfs.cli import settings
from ndicloudfs.cli.failure import FAILED, Failure
from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount.commands import CommandFailed, mounted
from ndicloudfs.mount.control import Misused


@click.group()
def cache() -> None:
    """See, check or empty the cache of document bodies and blocks of files."""


@cache.command()
@settings.flags("cache-dir", "cache-size")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def info(as_json: bool, **given: Any) -> None:
    """Show where the cache is, how full it is, and how often it spares a download.

    Example: ndicloudfs cache info --json
    """
    with _opened(given) as store:
        bodies, parts = store.counts()
        facts: Json = {
            "folder": str(store.folder.parent),
            "used_bytes": store.volume(),
            "limit_bytes": store.limit,
            "documents": bodies,
            "parts": parts,
        }
    facts["mounts"] = _mounts(str(store.folder))
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    used, limit = facts["used_bytes"], facts["limit_bytes"]
    click.echo(f"folder     {facts['folder']}")
    click.echo(f"used       {size(used)} of {size(limit)} ({used / limit:.0%})")
    click.echo(f"documents  {facts['documents']}")
    click.echo(f"files      {facts['parts']} parts of up to {BLOCK * BLOCKS >> 20} MiB")
    for mount in facts["mounts"]:
        rate = mount["hit_rate"]
        hits = "nothing read yet" if rate is None else f"{rate:.0%} needed no download"
        click.echo(f"mount      {mount['mountpoint']}: {hits}")


@cache.command()
@settings.flags("cache-dir")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def verify(as_json: bool, **given: Any) -> None:
    """Read all that is cached, and drop what is damaged; it is then fetched again when needed.

    Example: ndicloudfs cache verify
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        _opened(given) as store,
        Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as bars,
    ):
        task = bars.add_task("checked", total=None)
        found = store.verify(lambda done, total: bars.update(task, completed=done, total=total))
    if as_json:
        facts = {"entries": found.entries, "bytes": found.size, "dropped": found.dropped}
        click.echo(json.dumps(facts))
    else:
        damage = f"{found.dropped} damaged ones dropped" if found.dropped else "none was damaged"
        click.echo(f"{found.entries} entries with {size(found.size)}; {damage}")


@cache.command()
@settings.flags("cache-dir")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def clear(as_json: bool, **given: Any) -> None:
    """Empty the cache. What was written and is not uploaded yet is kept elsewhere and stays.

    Example: ndicloudfs cache clear
    """
    with _opened(given) as store:
        freed = store.clear()
    click.echo(json.dumps({"bytes": freed}) if as_json else f"{size(freed)} are free again")


@contextmanager
def _opened(given: dict[str, Any]) -> Iterator[Store]:
    """The store of the cache folder, which must be there already."""
    values = settings.resolve(given)
    folder: Path = values.of("cache-dir") or settings.default_cache_folder()
    if not blocks_folder(folder).is_dir():
        raise Failure(f"There is no cache in {folder}; a mount makes one", FAILED)
    try:
        store = Store(blocks_folder(folder), values.of("cache-size"))
        try:
            yield store
        finally:
            store.close()
    except (sqlite3.Error, diskcache.Timeout) as error:
        raise Failure(
            f"The cache in {folder} cannot be used: {error}; see: ndicloudfs doctor", FAILED
        ) from error


def _mounts(folder: str) -> list[Json]:
    """The mounts that use the store in ``folder``, with their hit rates."""
    found = []
    for place in mounted():
        try:
            used = place.ask("status")["cache"]
        except (CommandFailed, Misused, CloudError):
            continue
        if used["folder"] == folder:
            found.append({"mountpoint": place.mountpoint, "hit_rate": used["hit_rate"]})
    return found
