"""A tree that can be written, as a program sees it: through the kernel, or straight on the core.

Paths are relative to the mount, failures are ``OSError``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

from ndicloudfs.cache.local import CacheOptions, LocalCache
from ndicloudfs.cache.refresh import Refresh
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.vfs.arrivals import CacheArrivals
from ndicloudfs.vfs.filesystem import FileSystem
from ndicloudfs.vfs.status import ErrorLog
from ndicloudfs.vfs.writable import Edits
from ndicloudfs.writeback import Limits, Timing, WriteBack, WriteBackOptions
from tests.support.mounting import Machine
from tests.support.written import PACE

_EVERYTHING = 1 << 30


class Tree(Protocol):
    """What programs do with files, by handle as the system calls do."""

    def open(self, path: str, flags: int) -> int:
        """Open a file, or make it."""

    def read(self, handle: int, offset: int, length: int) -> bytes:
        """Bytes of an open file."""

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write into an open file."""

    def cut(self, handle: int, size: int) -> None:
        """Cut an open file, or let it grow."""

    def sync_file(self, handle: int) -> None:
        """``fsync``."""

    def close(self, handle: int) -> None:
        """Close a file; fails as ``close(2)`` does."""

    def truncate(self, path: str, size: int) -> None:
        """Cut a file by its path."""

    def rename(self, path: str, new_path: str) -> None:
        """Move a file."""

    def unlink(self, path: str) -> None:
        """Remove a file."""

    def mkdir(self, path: str) -> None:
        """Make a folder."""

    def rmdir(self, path: str) -> None:
        """Remove a folder."""

    def names(self, path: str) -> list[str]:
        """What is listed in a folder, as often as it is listed."""

    def size(self, path: str) -> int:
        """What ``stat`` says."""

    def state(self, path: str) -> str:
        """The xattr ``user.ndi.state``."""

    def sync(self) -> list[str]:
        """Wait until the server has everything; says what is left."""

    def refresh(self, path: str) -> None:
        """Ask the server again for what is known of a path."""

    def remount(self) -> None:
        """End the mount, leaving the queue to the next one, and begin that."""


class MountedTree:
    """Through the kernel."""

    def __init__(self, user: Machine) -> None:
        self._user = user
        self._root = user.mount()

    def open(self, path: str, flags: int) -> int:
        return os.open(self._root / path, flags, 0o644)

    def read(self, handle: int, offset: int, length: int) -> bytes:
        return os.pread(handle, length, offset)

    def write(self, handle: int, data: bytes, offset: int) -> None:
        assert os.pwrite(handle, data, offset) == len(data)

    def cut(self, handle: int, size: int) -> None:
        os.ftruncate(handle, size)

    def sync_file(self, handle: int) -> None:
        os.fsync(handle)

    def close(self, handle: int) -> None:
        os.close(handle)

    def truncate(self, path: str, size: int) -> None:
        os.truncate(self._root / path, size)

    def rename(self, path: str, new_path: str) -> None:
        (self._root / path).rename(self._root / new_path)

    def unlink(self, path: str) -> None:
        (self._root / path).unlink()

    def mkdir(self, path: str) -> None:
        (self._root / path).mkdir()

    def rmdir(self, path: str) -> None:
        (self._root / path).rmdir()

    def names(self, path: str) -> list[str]:
        return sorted(item.name for item in (self._root / path).iterdir())

    def size(self, path: str) -> int:
        return (self._root / path).stat().st_size

    def state(self, path: str) -> str:
        return os.getxattr(self._root / path, "user.ndi.state").decode()

    def sync(self) -> list[str]:
        done = self._user.ask(self._root, "sync", path="")
        return [f"{entry['kind']} {entry['name']}: {entry['reason']}" for entry in done["left"]]

    def refresh(self, path: str) -> None:
        self._user.ask(self._root, "refresh", path=path)

    def remount(self) -> None:
        self._user.run("umount", "--now", self._root)
        self._user.mounts.remove(self._root)
        self._user.mount()


class CoreTree:
    """Straight on the core: what the mount drives, without the kernel and its caches."""

    def __init__(self, account: dict[str, str], home: Path, limits: Limits) -> None:
        self._limits = limits
        self._config = CloudConfig.from_environment(account)
        self._home = home
        self._open_parts = ExitStack()
        self._begin()

    def open(self, path: str, flags: int) -> int:
        with _failures(path):
            if flags & os.O_CREAT:
                try:
                    self._files.resolve(path)
                except FileNotFoundError:
                    return self._files.create(path, flags)
            return self._files.open(self._files.resolve(path), flags)[0]

    def read(self, handle: int, offset: int, length: int) -> bytes:
        with _failures(""):
            return self._files.read(handle, offset, length)

    def write(self, handle: int, data: bytes, offset: int) -> None:
        with _failures(""):
            self._files.write(handle, data, offset)

    def cut(self, handle: int, size: int) -> None:
        with _failures(""):
            self._files.truncate("", size, handle)

    def sync_file(self, handle: int) -> None:
        with _failures(""):
            self._files.flush(handle)

    def close(self, handle: int) -> None:
        with _failures(""):
            try:
                self._files.flush(handle)
            finally:
                self._files.release(handle)

    def truncate(self, path: str, size: int) -> None:
        with _failures(path):
            self._files.truncate(path, size, None)

    def rename(self, path: str, new_path: str) -> None:
        with _failures(path):
            self._files.rename(path, new_path)

    def unlink(self, path: str) -> None:
        with _failures(path):
            self._files.unlink(path)

    def mkdir(self, path: str) -> None:
        with _failures(path):
            self._files.mkdir(path)

    def rmdir(self, path: str) -> None:
        with _failures(path):
            self._files.rmdir(path)

    def names(self, path: str) -> list[str]:
        with _failures(path):
            return sorted(entry.name for entry in self._files.entries(self._files.resolve(path)))

    def size(self, path: str) -> int:
        with _failures(path):
            return self._files.resolve(path).attributes().size

    def state(self, path: str) -> str:
        with _failures(path):
            return self._files.resolve(path).xattrs()["user.ndi.state"]

    def sync(self) -> list[str]:
        self._writeback.sync()
        return [f"{one.kind.value} {one.name}: {one.reason}" for one in self._writeback.queue()]

    def refresh(self, path: str) -> None:
        with _failures(path):
            scope = self._files.resolve(path).scope()
            assert scope is not None
            Refresh(self._cache.catalog, self._cache.bodies, lambda _: None).run(scope)

    def remount(self) -> None:
        self.end()
        self._begin()

    def end(self) -> None:
        """Close everything; the queue stays."""
        self._open_parts.close()

    def _begin(self) -> None:
        parts = self._open_parts
        cloud = parts.enter_context(NdiCloud(self._config))
        self._cache = LocalCache(cloud, CacheOptions(self._home / "cache", _EVERYTHING))
        parts.callback(self._cache.close)
        options = WriteBackOptions(self._home / "state", Timing().scaled(PACE), self._limits)
        arrivals = CacheArrivals(self._cache)
        self._writeback = WriteBack(cloud, self._cache.account, options, arrivals)
        parts.callback(self._writeback.close)
        edits = Edits(self._writeback, self._cache)
        self._files = FileSystem(self._cache, ErrorLog(), edits)
        self._cache.catalog.connect()
        self._writeback.start()


@contextmanager
def core_tree(account: dict[str, str], home: Path, limits: Limits) -> Iterator[CoreTree]:
    """The core with its folders in ``home``."""
    tree = CoreTree(account, home, limits)
    try:
        yield tree
    finally:
        tree.end()


@contextmanager
def _failures(path: str) -> Iterator[None]:
    try:
        yield
    except CloudError as error:
        raise OSError(error.errno, str(error), path) from error
