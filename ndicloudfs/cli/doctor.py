"""``ndicloudfs doctor``: what this machine has and lacks, each with the command that mends it."""

from __future__ import annotations

import contextlib
import email.utils
import json
import os
import platform
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import requests
from rich.console import Console
from rich.text import Text

from ndicloudfs.cli import settings
from ndicloudfs.cli.account import life
from ndicloudfs.cli.failure import FAILED, failure_of
from ndicloudfs.cli.status import size
from ndicloudfs.cli.who import Who, who_asks
from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.mount import binding
from ndicloudfs.mount import mountpoint as points
from ndicloudfs.mount.commands import CommandFailed, mounted
from ndicloudfs.mount.control import Misused

OLDEST_PYTHON = (3, 10)
LEAST_DISK = 1 << 30  # bytes; below it a cache evicts what was just read
CLOCK_OFF = 60.0  # s: a token is renewed a minute before its end
_NETWORK_SECONDS = 10.0
_FUSE_CONF = Path("/etc/fuse.conf")
_USER_ALLOW_OTHER = re.compile(r"^\s*user_allow_other\s*$", re.MULTILINE)


class Verdict(str, Enum):
    """How a check ended."""

    FINE = "fine"
    WARNING = "warning"  # works, and could be better
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Line:
    """What a check found, and the command that mends it (``""`` where nothing is to mend)."""

    name: str
    verdict: Verdict
    found: str
    mend: str = ""


@click.command()
@settings.flags("profile", "environment", "url", "cache-dir")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def doctor(as_json: bool, **given: Any) -> None:
    """Check this machine, and say for everything that is not fine which command mends it.

    What mounts that died have left is taken away. Ends with 1 where something is broken.

    Example: ndicloudfs doctor
    """
    lines = list(_checks(settings.resolve(given)))
    if as_json:
        click.echo(json.dumps({"checks": [asdict(line) for line in lines]}, indent=2))
    else:
        _print(lines)
    if any(line.verdict is Verdict.BROKEN for line in lines):
        sys.exit(FAILED)


def _checks(values: settings.Settings) -> Iterator[Line]:
    yield _python()
    yield from _fuse()
    yield _allow_other()
    yield from _mounts()
    cache = values.of("cache-dir") or settings.default_cache_folder()
    yield _disk(cache)
    yield _cache(cache)
    yield from _cloud(values)


def _python() -> Line:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Line("python", Verdict.BROKEN, version, "sudo apt-get install python3.11")
    return Line("python", Verdict.FINE, f"{version} on {platform.system()} {platform.release()}")


def _fuse() -> Iterator[Line]:
    try:
        loaded = binding.load()
        major, minor = loaded.version
        yield Line("libfuse", Verdict.FINE, f"{major}.{minor}, through {loaded.name}")
    except binding.BindingError as error:
        found, _, mend = str(error).partition("; run: ")
        yield Line("libfuse", Verdict.BROKEN, found, mend)
    try:
        points.check_fuse()
        yield Line("/dev/fuse", Verdict.FINE, "there, and you may use it")
    except points.MountError as error:
        found, _, mend = str(error).partition("; run: ")
        yield Line("/dev/fuse", Verdict.BROKEN, found, mend)
    helper = shutil.which("fusermount3") or shutil.which("fusermount")
    if helper:
        yield Line("fusermount", Verdict.FINE, helper)
    elif os.geteuid() == 0:
        yield Line("fusermount", Verdict.FINE, "not there, and root needs none")
    else:
        mend = "sudo apt-get install fuse3"
        yield Line("fusermount", Verdict.BROKEN, "fusermount3 is not there", mend)


def _allow_other() -> Line:
    try:
        allowed = bool(_USER_ALLOW_OTHER.search(_FUSE_CONF.read_text()))
    except OSError:
        allowed = False
    if allowed or os.geteuid() == 0:
        return Line("allow_other", Verdict.FINE, "mounts may be opened to other users")
    return Line(
        *("allow_other", Verdict.WARNING, "-o allow_other is for root only"),
        f"echo user_allow_other | sudo tee -a {_FUSE_CONF}",
    )


def _mounts() -> Iterator[Line]:
    there_are = mounted()
    if not there_are:
        yield Line("mounts", Verdict.FINE, "none")
    for place in there_are:
        name = f"mount {place.mountpoint}"
        try:
            place.ask("ping")
            yield Line(name, Verdict.FINE, "answers")
        except (CommandFailed, Misused) as error:
            mend = f"ndicloudfs umount --lazy {place.mountpoint}"
            try:
                # Only what is certainly dead: a mount of somebody else does not answer us either.
                cleared = points.clear_dead(place.mountpoint)
            except points.MountError:
                yield Line(name, Verdict.BROKEN, "left by a mount that died", mend)
                continue
            if cleared:
                yield Line(name, Verdict.FINE, "was left by a mount that died, and is cleared")
            else:
                yield Line(name, Verdict.WARNING, str(error), mend)


def _disk(cache: Path) -> Line:
    there = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < LEAST_DISK:
        return Line(
            *("disk", Verdict.WARNING, f"{size(free)} free at {there}"),
            "ndicloudfs mount --cache-dir FOLDER (on a disk with more room)",
        )
    return Line("disk", Verdict.FINE, f"{size(free)} free at {there}")


def _cache(cache: Path) -> Line:
    """Whether the databases of the cache are whole; reads them, and changes nothing."""
    if not cache.exists():
        return Line("cache", Verdict.FINE, f"empty; it will be {cache}")
    found = cache.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        mend = f"chmod go-w {cache}"
        return Line("cache", Verdict.BROKEN, f"{cache} may be written by others", mend)
    files = [*cache.glob("index/*/*.sqlite"), *cache.rglob("cache.db")]
    for file in files:
        try:
            address = f"{file.absolute().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
                (answer,) = database.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.Error as error:
            answer = str(error)
        if answer != "ok":
            return Line("cache", Verdict.WARNING, f"{file} is damaged: {answer}", f"rm {file}")
    return Line("cache", Verdict.FINE, f"{cache}, {len(files)} databases whole")


def _cloud(values: settings.Settings) -> Iterator[Line]:
    try:
        who = who_asks(values)
    except CloudError as error:
        yield _failed("account", error)
        return
    yield from _network(who)
    with who.cloud() as cloud:
        if cloud.account.anonymous:
            yield Line(
                *("account", Verdict.WARNING, "nobody: published data only", "ndicloudfs login")
            )
            return
        try:
            user = cloud.account.user()
            lasting = cloud.account.can_sign_in
            text = f"{user.email} from {who.origin}; "
            text += life(cloud.account.token_expires, lasting=lasting)
            yield Line("account", Verdict.FINE, text)
        except CloudError as error:
            yield _failed("account", error)


def _network(who: Who) -> Iterator[Line]:
    """One request without an account: whether the server answers, and what time it has."""
    host = urlsplit(who.config.url).netloc
    began = time.time()
    try:
        with requests.get(
            f"{who.config.url}/datasets/published",
            params={"pageSize": 1},
            timeout=_NETWORK_SECONDS,
            allow_redirects=False,
            stream=True,
        ) as answer:
            status, date = answer.status_code, answer.headers.get("Date", "")
    except requests.RequestException:
        mend = f"curl -sv {who.config.url}/datasets/published -o /dev/null (shows why)"
        yield Line("network", Verdict.BROKEN, f"{host} does not answer", mend)
        return
    took = time.time() - began
    fine = Verdict.FINE if status < 400 else Verdict.BROKEN
    yield Line("network", fine, f"{host} answers {status} within {took * 1000:.0f} ms")
    with contextlib.suppress(ValueError, TypeError):
        off = began - email.utils.parsedate_to_datetime(date).timestamp()
        if abs(off) > CLOCK_OFF + took:
            mend = "sudo timedatectl set-ntp true"
            yield Line("clock", Verdict.WARNING, f"{abs(off):.0f} s off", mend)
        else:
            yield Line("clock", Verdict.FINE, "agrees with the server")


def _failed(name: str, error: BaseException) -> Line:
    failure = failure_of(error)
    found, _, mend = (failure.message if failure else str(error)).partition("; run: ")
    return Line(name, Verdict.BROKEN, found, mend)


def _print(lines: list[Line]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    styles = {Verdict.FINE: "green", Verdict.WARNING: "yellow", Verdict.BROKEN: "bold red"}
    width = max(len(verdict.value) for verdict in Verdict)
    for line in lines:
        text = Text(f"{line.verdict.value:<{width}}  ", style=styles[line.verdict])
        text.append(f"{line.name}: {line.found}", style="default")
        console.print(text)
        if line.mend:
            console.print(Text(f"{'':<{width}}  mend it: {line.mend}", style="bold"))
