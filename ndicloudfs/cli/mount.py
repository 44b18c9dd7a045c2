"""``ndicloudfs mount``."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from ndicloudfs.cache.local import CacheOptions
from ndicloudfs.cli import logs, mount_options, settings
from ndicloudfs.cli.account import life
from ndicloudfs.cli.failure import FAILED, Failure, failure_of
from ndicloudfs.cli.who import Who, who_asks
from ndicloudfs.mount import background, server
from ndicloudfs.mount import mountpoint as points

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
def mount(
    places: tuple[str, ...],
    foreground: bool,
    fuse_options: tuple[str, ...],
    verbose: bool,
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
        _serve(options, values, None, _say_nothing)
        return
    points.clear_dead(target)
    points.check(target)
    log_file = Path(points.absolute(str(log_file)))
    said = background.start(partial(_serve, options, values, log_file), log_file)
    if said:
        raise Failure(str(said.get("error")), int(said.get("code", FAILED)))
    if values.of("log-level") == "debug":
        click.echo(f"mounted at {target}, logging to {log_file}")
    _say_how_long(who_asks(values))


def default_log_file(target: str) -> Path:
    """Where the mount at ``target`` logs: a file of its own, as two cannot rotate one."""
    name = target.strip("/").replace("/", "-") or "root"
    return settings.log_folder() / f"{quote(name, safe=' @+-')[:200]}.log"


def _given(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _serve(
    options: server.MountOptions,
    values: settings.Settings,
    log_file: Path | None,
    say: Callable[[background.Said], None],
) -> None:
    """Serve the mount until it ends. ``say`` hears when it answers, or why it never will."""

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
        if failure is None or log_file is None:
            raise
        say({"error": failure.message, "code": failure.exit_code})
        sys.exit(failure.exit_code)


def _say_nothing(answer: background.Said) -> None:
    """In the foreground nobody waits for an answer."""


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
