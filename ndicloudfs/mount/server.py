"""A mount from beginning to end, in this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndicloudfs.cache.local import CacheOptions, LocalCache
from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.config import CloudConfig
from ndicloudfs.cloud.profiles import Stored
from ndicloudfs.mount import binding, metrics, mountpoint, readahead
from ndicloudfs.mount.changing import operations_for
from ndicloudfs.mount.control import ControlServer, Handler
from ndicloudfs.mount.handlers import handlers
from ndicloudfs.mount.memory import tune_collector, tune_malloc
from ndicloudfs.mount.readiness import notify
from ndicloudfs.mount.revival import reviving
from ndicloudfs.vfs.arrivals import CacheArrivals
from ndicloudfs.vfs.filesystem import FileSystem
from ndicloudfs.vfs.status import ErrorLog
from ndicloudfs.vfs.writable import Edits
from ndicloudfs.writeback import Timing, WriteBack, WriteBackOptions

log = logging.getLogger(__name__)

# For so long (s) the kernel believes names and attributes: a second, or longer where it can be told
# of changes. What it believes nobody asks for, so it adds to the age of what is shown.
_KERNEL_TRUST = 1.0
_LONGEST_TRUST = 20.0
# And for so long that there is nothing of a name: what looks for configuration files looks often.
_NEGATIVE_TRUST = 1.0


@dataclass(frozen=True, slots=True)
class MountOptions:
    """How to mount."""

    mountpoint: str  # absolute
    cache: CacheOptions
    allow_other: bool = False
    source: str = ""  # an organization, a dataset or published, as the root; everything without
    uid: int | None = None  # whose everything is; who mounts, without
    gid: int | None = None
    umask: int | None = None  # bits taken from the modes
    no_exec: bool = False
    state: Path | None = None  # where what is written is kept; None: nothing can be written
    allow_delete_datasets: bool = False
    shutdown_timeout: float = 0.0  # s that uploads may go on after the end; the rest stays queued
    write_pace: float = 1.0  # factor of all times of writing back
    metrics_port: int | None = None


def serve(
    config: CloudConfig,
    options: MountOptions,
    ready: Callable[[], None],
    stored: Stored | None = None,
) -> None:
    """Mount, call ``ready`` when the mount answers, and serve until it is unmounted.

    Signs in first; ``stored`` is where the sign-in is kept. Raises ``CloudError``, ``MountError``,
    ``BindingError`` or ``NoSuchSource`` where it cannot.
    """
    tune_malloc()
    loaded = binding.load()
    mountpoint.check_fuse()
    mountpoint.clear_dead(options.mountpoint)
    mountpoint.check(options.mountpoint)
    errors = ErrorLog()
    logger = logging.getLogger("ndicloudfs")
    logger.addHandler(errors)
    try:
        with NdiCloud(config, stored=stored, offline=options.cache.offline) as cloud:
            cache = LocalCache(cloud, options.cache)
            writeback = _write_back(cloud, cache, options)
            edits = None
            if writeback is not None:
                edits = Edits(writeback, cache, allow_delete_datasets=options.allow_delete_datasets)
            filesystem = FileSystem(cache, errors, edits)
            try:
                cache.catalog.connect()
                filesystem.show(options.source)
                if writeback is not None:
                    writeback.start()
                with (
                    _controlled(options.mountpoint, handlers(filesystem, cache, writeback)),
                    metrics.served(options.metrics_port, filesystem.status.facts),
                    reviving(stored, writeback),
                ):
                    _run(loaded, filesystem, cache.host, options, ready)
                    if writeback is not None:
                        writeback.drain_unless_left(options.shutdown_timeout)
            finally:
                try:
                    if writeback is not None:
                        writeback.close()  # first: it tells the cache what has arrived
                finally:
                    filesystem.close()
    finally:
        logger.removeHandler(errors)


def _write_back(cloud: NdiCloud, cache: LocalCache, options: MountOptions) -> WriteBack | None:
    """Where what is written goes; None where nobody is signed in or the mount is read-only."""
    if options.state is None or cloud.account.anonymous:
        return None
    try:
        arrivals = CacheArrivals(cache)
        timing = Timing().scaled(options.write_pace)
        return WriteBack(cloud, cache.account, WriteBackOptions(options.state, timing), arrivals)
    except BaseException:
        cache.close()
        raise


@contextmanager
def _controlled(target: str, commands: Mapping[str, Handler]) -> Iterator[None]:
    """Listen for commands; a mount that cannot is a mount all the same."""
    try:
        control = ControlServer(os.path.realpath(target), commands)
    except OSError as error:
        log.warning("commands such as `ndicloudfs status` will not reach this mount: %s", error)
        yield
        return
    try:
        yield
    finally:
        control.close()


def _run(
    loaded: binding.Binding,
    filesystem: FileSystem,
    host: str,
    options: MountOptions,
    ready: Callable[[], None],
) -> None:
    trust = _KERNEL_TRUST
    if loaded.invalidates:
        trust = min(_LONGEST_TRUST, max(trust, options.cache.metadata_ttl / 3))
    kind = operations_for(loaded, writing=filesystem.writes)
    fuse_options: dict[str, Any] = {
        "fsname": f"ndicloud:{host}",  # with a colon: indexers take it for remote and stay out
        "subtype": "ndicloudfs",
        "ro": not filesystem.writes,
        # What is removed while it is open goes on by its handle, and not under another name.
        "hard_remove": True,
        "nosuid": True,
        "nodev": True,
        "default_permissions": True,
        "use_ino": True,
        "attr_timeout": trust,
        "entry_timeout": trust,
        "negative_timeout": _NEGATIVE_TRUST,
        "allow_other": options.allow_other,
    }
    for name, value in (("uid", options.uid), ("gid", options.gid)):
        if value is not None:
            fuse_options[name] = value
    if options.no_exec:
        fuse_options["noexec"] = True
    answered = False

    def mounted() -> None:
        nonlocal answered
        answered = True
        readahead.raise_for(options.mountpoint)
        ready()
        notify(f"READY=1\nSTATUS=mounted at {options.mountpoint}")

    operations = kind(filesystem, mounted, loaded, trust, options.umask or 0)
    tune_collector()
    try:
        loaded.run(operations, options.mountpoint, fuse_options)
    except RuntimeError as error:
        if not answered:
            raise mountpoint.MountError(
                f"{options.mountpoint} could not be mounted: libfuse gave up with code {error};"
                " see: ndicloudfs doctor"
            ) from None
        # libfuse 3 calls it an error when a signal ends the mount, which it then takes away.
        log.info("the mount at %s was ended by a signal (%s)", options.mountpoint, error)
    finally:
        notify("STOPPING=1")
