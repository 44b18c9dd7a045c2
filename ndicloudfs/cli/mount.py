"""``ndicloudfs mount`` and ``ndicloudfs umount``."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from ndicloudfs.cache.local import CacheOptions
from ndicloudfs.cli import logs, mount_options, settings
from ndicloudfs.cli.account import life
from ndicloudfs.cli.failure import FAILED, Failure, failure_of
from ndicloudfs.cli.sync import left_over, wait_for
from ndicloudfs.cli.who import Who, who_asks
from ndicloudfs.mount import mountpoint as points
from ndicloudfs.mount import server
from ndicloudfs.mount.commands import CommandFailed, Place
from ndicloudfs.mount.control import Misused

log = logging.getLogger(__name__)


@click.command()
@click.argument("places", metavar="[SOURCE] MOUNTPOINT", nargs=-1, required=True)
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground until unmounted.")
@click.option(
    "-o",
    "fuse_options",
    metavar="OPTION[,OPTION...]",
    multiple=True,
    help="Options of mount(8): ro, allow_other, uid=N, gid=N, umask=OCTAL, noexec; those of "
    "/etc/fstab are accepted; so is each setting, such as cache-size=50GiB.",
)
@settings.flags(
    *("profile", "environment", "url", "cache-dir", "cache-size", "metadata-ttl", "offline"),
    *("allow-delete-datasets", "write-pace", "shutdown-timeout"),
    *("metrics", "log-level", "log-file"),
)
@click.option("-v", "--verbose", is_flag=True, help="The same as --log-level debug.")
@click.option("--ready-fd", type=int, hidden=True)
def mount(
    places: tuple[str, ...],
    foreground: bool,
    fuse_options: tuple[str, ...],
    verbose: bool,
    ready_fd: int | None,
    **given: Any,
) -> None:
    """Mount NDI Cloud at MOUNTPOINT, and return when the mount answers.

    SOURCE makes an organization, a dataset or "published" the root of the mount, by name or id;
    without it everything is shown. The account is the one of `ndicloudfs login`, or of
    NDI_CLOUD_USERNAME and NDI_CLOUD_PASSWORD; without any, only published datasets are shown.

    Example: mkdir -p ~/ndi && ndicloudfs mount ~/ndi && ls ~/ndi/published
    """
    if len(places) > 2:
        raise click.UsageError(
            f"more than SOURCE and MOUNTPOINT: {' '.join(places[2:])}; quote names that have blanks"
        )
    parsed = mount_options.parse(fuse_options)
    if verbose:
        given["log_level"] = given.get("log_level") or "debug"
    values = settings.resolve({**parsed.settings, **_given(given)})
    target = points.absolute(places[-1])
    cache_folder = values.of("cache-dir") or settings.default_cache_folder()
    cache_folder = Path(points.absolute(str(cache_folder)))
    if Path(target) == cache_folder or Path(target) in cache_folder.parents:
        raise Failure(
            f"The cache folder {cache_folder} lies inside the mount point {target};"
            " choose another with --cache-dir"
        )
    options = server.MountOptions(
        mountpoint=target,
        cache=CacheOptions(
            cache_folder, values.of("cache-size"), values.of("metadata-ttl"), values.of("offline")
        ),
        allow_other=parsed.allow_other,
        source=places[0] if len(places) == 2 else "",
        uid=parsed.uid,
        gid=parsed.gid,
        umask=parsed.umask,
        no_exec=parsed.no_exec,
        state=None if parsed.read_only else settings.state_folder(),
        allow_delete_datasets=values.of("allow-delete-datasets"),
        write_pace=values.of("write-pace"),
        metrics_port=values.of("metrics"),
        shutdown_timeout=values.of("shutdown-timeout"),
    )
    log_file = values.of("log-file") or default_log_file(target)
    if foreground:
        _serve(options, values, ready_fd, log_file if ready_fd is not None else None)
        return
    points.clear_dead(target)
    points.check(target)
    who = who_asks(values)
    arguments = _arguments(fuse_options, given, cache_folder, log_file, (*places[:-1], target))
    _start(arguments, log_file)
    if values.of("log-level") == "debug":
        click.echo(f"mounted at {target}, logging to {log_file}")
    _say_how_long(who)


def default_log_file(target: str) -> Path:
    """Where the mount at ``target`` logs: a file of its own, as two cannot rotate one."""
    name = target.strip("/").replace("/", "-") or "root"
    return settings.log_folder() / f"{quote(name, safe=' @+-')[:200]}.log"


def _arguments(
    fuse_options: tuple[str, ...],
    given: dict[str, Any],
    cache_folder: Path,
    log_file: Path,
    places: tuple[str, ...],
) -> list[str]:
    """The command line of the process that serves the mount."""
    # It runs in /, where relative paths mean something else.
    own = {
        **_given(given),
        "cache_dir": cache_folder,
        "log_file": Path(points.absolute(str(log_file))),
    }
    flags = [settings.BY_PARAMETER[name].as_argument(value) for name, value in own.items()]
    options = [f"-o{text}" for text in fuse_options]
    return ["mount", "--foreground", *options, *flags, "--", *places]


def _given(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _serve(
    options: server.MountOptions,
    values: settings.Settings,
    ready_fd: int | None,
    log_file: Path | None,
) -> None:
    def say(answer: dict[str, object]) -> None:
        if ready_fd is not None:
            os.write(ready_fd, json.dumps(answer).encode() + b"\n")
            os.close(ready_fd)

    def ready() -> None:
        log.info("mounted at %s", options.mountpoint)
        say({})

    try:
        who = who_asks(values)
        secrets = (who.config.password, who.config.token)
        logs.set_up(values.of("log-level"), log_file, secrets, os.environ)
        server.serve(who.config, options, ready, who.stored)
    except Exception as error:
        failure = failure_of(error)
        if failure is None or ready_fd is None:
            raise
        say({"error": failure.message, "code": failure.exit_code})
        sys.exit(failure.exit_code)


def _start(arguments: list[str], log_file: Path) -> None:
    ready, said = server.start(arguments, log_file)
    if not ready:
        raise Failure(str(said.get("error")), int(said.get("code", FAILED)))


def _say_how_long(who: Who) -> None:
    """Warn of a sign-in that will end and that nothing renews."""
    with who.cloud() as cloud:
        account = cloud.account
        if account.anonymous or account.can_sign_in:
            return
        end = life(account.token_expires, lasting=False)
    advice = who.stored.advice if who.stored else "ndicloudfs login"
    click.echo(f"Signed in as {account.email or 'the token says'}; {end}.", err=True)
    click.echo(f"The mount then shows what is cached, until: {advice}", err=True)


@click.command()
@click.argument("mountpoint")
@click.option("--now", is_flag=True, help="Do not wait for uploads; the next mount goes on.")
@click.option("--lazy", is_flag=True, help="Take the mount away even while it is in use.")
def umount(mountpoint: str, now: bool, lazy: bool) -> None:
    """End the mount at MOUNTPOINT, after the server has everything that was written.

    Example: ndicloudfs umount ~/ndi
    """
    target = points.absolute(mountpoint)
    points.check_ours(target)
    # Whoever does not answer has died, belongs to somebody else, or is of an older version; what
    # is queued is safe anyway.
    with contextlib.suppress(CommandFailed, Misused):
        _prepare(Place(target, ""), now=now or lazy)
    points.unmount(target, lazy=lazy)


def _prepare(place: Place, *, now: bool) -> None:
    if now:
        place.ask("leave queue")
        return
    done = wait_for(place, even_offline=True)
    if done["entries"]:
        raise left_over(place, done)
    if done["parked"]:
        click.echo(
            f"{done['parked']} changes wait for a decision; `ndicloudfs queue list` shows them"
            " when it is mounted again",
            err=True,
        )
