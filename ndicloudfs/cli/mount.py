"""``ndicloudfs mount`` and ``ndicloudfs umount``."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

import click
import platformdirs

from ndicloudfs.cache.local import METADATA_TTL, CacheOptions
from ndicloudfs.cli import quantities
from ndicloudfs.cli.failure import FAILED, Failure, failure_of
from ndicloudfs.cloud.config import CloudConfig
from ndicloudfs.mount import mountpoint as points
from ndicloudfs.mount import server

APPLICATION = "ndicloudfs"
_FUSE_OPTIONS = ("ro", "allow_other")


def default_cache_folder() -> Path:
    """Where the cache is unless ``--cache-dir`` says otherwise."""
    return platformdirs.user_cache_path(APPLICATION, appauthor=False)


@click.command()
@click.argument("mountpoint")
@click.option("-f", "--foreground", is_flag=True, help="Stay in the foreground until unmounted.")
@click.option(
    "-o",
    "fuse_options",
    metavar="OPTION[,OPTION...]",
    multiple=True,
    help="ro (which a mount is in any case), allow_other (let other users in).",
)
@click.option(
    "--cache-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the cache.  [default: the user's cache folder]",
)
@click.option(
    "--cache-size",
    type=quantities.size,
    help="Most that the cache may take, such as 50GiB."
    "  [default: 20GiB or a quarter of the free space, whichever is less]",
)
@click.option(
    "--metadata-ttl",
    type=click.FloatRange(min=0),
    default=METADATA_TTL,
    show_default=True,
    metavar="SECONDS",
    help="How long listings are believed before they are refreshed in the background.",
)
@click.option(
    "--offline", is_flag=True, help="Never use the network: show what is remembered and cached."
)
@click.option("-v", "--verbose", is_flag=True, help="Log every call to the server.")
@click.option("--ready-fd", type=int, hidden=True)
def mount(
    mountpoint: str,
    foreground: bool,
    fuse_options: tuple[str, ...],
    cache_dir: Path | None,
    cache_size: int | None,
    metadata_ttl: float,
    offline: bool,
    verbose: bool,
    ready_fd: int | None,
) -> None:
    """Mount NDI Cloud at MOUNTPOINT, read-only, and return when the mount answers.

    The account comes from NDI_CLOUD_USERNAME and NDI_CLOUD_PASSWORD, or from NDI_CLOUD_TOKEN.
    Without any of them, only published datasets are shown.

    Example: mkdir -p ~/ndi && ndicloudfs mount ~/ndi && ls ~/ndi/published
    """
    wanted = {name for names in fuse_options for name in names.split(",") if name}
    unknown = sorted(wanted - set(_FUSE_OPTIONS))
    if unknown:
        known = ", ".join(_FUSE_OPTIONS)
        raise click.UsageError(f"-o {unknown[0]} is not known; there are: {known}")
    target = points.absolute(mountpoint)
    cache_folder = Path(points.absolute(str(cache_dir or default_cache_folder())))
    if Path(target) == cache_folder or Path(target) in cache_folder.parents:
        raise Failure(f"The cache folder {cache_folder} lies inside the mount point {target}")
    options = server.MountOptions(
        mountpoint=target,
        cache=CacheOptions(cache_folder, cache_size, metadata_ttl, offline),
        allow_other="allow_other" in wanted,
    )
    if foreground:
        _serve(options, ready_fd, verbose=verbose)
    else:
        points.check(target)
        _start(options, verbose=verbose)


def _serve(options: server.MountOptions, ready_fd: int | None, *, verbose: bool) -> None:
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    logging.getLogger("ndicloudfs").setLevel(logging.DEBUG if verbose else logging.INFO)

    def say(answer: dict[str, object]) -> None:
        if ready_fd is not None:
            os.write(ready_fd, json.dumps(answer).encode() + b"\n")
            os.close(ready_fd)

    def ready() -> None:
        logging.getLogger(__name__).info("mounted at %s", options.mountpoint)
        say({})

    try:
        server.serve(CloudConfig.from_environment(os.environ), options, ready)
    except Exception as error:
        failure = failure_of(error)
        if failure is None or ready_fd is None:
            raise
        say({"error": failure.message, "code": failure.exit_code})
        sys.exit(failure.exit_code)


def _start(options: server.MountOptions, *, verbose: bool) -> None:
    log_file = platformdirs.user_log_path(APPLICATION, appauthor=False) / "mount.log"
    cache = options.cache
    arguments = ["mount", options.mountpoint, "--foreground"]
    arguments += ["--cache-dir", str(cache.folder), "--metadata-ttl", str(cache.metadata_ttl)]
    if cache.limit is not None:
        arguments += ["--cache-size", str(cache.limit)]
    if cache.offline:
        arguments += ["--offline"]
    if options.allow_other:
        arguments += ["-o", "allow_other"]
    if verbose:
        arguments += ["--verbose"]
    ready, said = server.start(arguments, log_file)
    if not ready:
        raise Failure(str(said.get("error")), int(said.get("code", FAILED)))
    if verbose:
        click.echo(f"mounted at {options.mountpoint}, logging to {log_file}")


@click.command()
@click.argument("mountpoint")
@click.option("--lazy", is_flag=True, help="Take the mount away even while it is in use.")
def umount(mountpoint: str, lazy: bool) -> None:
    """End the mount at MOUNTPOINT.

    Example: ndicloudfs umount ~/ndi
    """
    points.unmount(points.absolute(mountpoint), lazy=lazy)
