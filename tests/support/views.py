"""The tree as a test looks at it: straight through the core, or through a real mount.

A test that takes a ``View`` runs on both, so that the mount promises what the core does.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ndicloudfs.cache.local import CacheOptions, LocalCache
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.vfs.filesystem import FileSystem
from ndicloudfs.vfs.nodes import Kind
from ndicloudfs.vfs.status import ErrorLog


@dataclass(frozen=True)
class Stat:
    """What a view tells of a path."""

    ino: int
    size: int
    mtime_ns: int
    is_directory: bool


class View(Protocol):
    """Ways to look at the tree; paths are relative, failures are ``OSError``."""

    def ls(self, path: str = "") -> list[str]:
        """Sorted names in a directory."""

    def read(self, path: str) -> bytes:
        """All bytes of a file."""

    def stat(self, path: str) -> Stat:
        """Attributes of a path."""

    def xattrs(self, path: str) -> dict[str, str]:
        """Extended attributes of a path."""


@dataclass(frozen=True)
class MountView:
    """Through the kernel."""

    root: Path

    def ls(self, path: str = "") -> list[str]:
        """Sorted names in a directory."""
        return sorted(entry.name for entry in (self.root / path).iterdir())

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        return (self.root / path).read_bytes()

    def stat(self, path: str) -> Stat:
        """Attributes of a path."""
        found = (self.root / path).stat()
        return Stat(found.st_ino, found.st_size, found.st_mtime_ns, stat.S_ISDIR(found.st_mode))

    def xattrs(self, path: str) -> dict[str, str]:
        """Extended attributes of a path."""
        target = self.root / path
        return {name: os.getxattr(target, name).decode() for name in os.listxattr(target)}


@dataclass(frozen=True)
class CoreView:
    """Straight through the core."""

    filesystem: FileSystem

    def ls(self, path: str = "") -> list[str]:
        """Sorted names in a directory."""
        with _as_os_error(path):
            return sorted(
                entry.name for entry in self.filesystem.entries(self.filesystem.resolve(path))
            )

    def read(self, path: str) -> bytes:
        """All bytes of a file."""
        with _as_os_error(path):
            handle, _ = self.filesystem.open(self.filesystem.resolve(path))
            try:
                data = b""
                while part := self.filesystem.read(handle, len(data), 100_000):
                    data += part
                return data
            finally:
                self.filesystem.release(handle)

    def stat(self, path: str) -> Stat:
        """Attributes of a path."""
        with _as_os_error(path):
            found = self.filesystem.resolve(path).attributes()
        return Stat(found.ino, found.size, found.mtime_ns, found.kind is Kind.DIRECTORY)

    def xattrs(self, path: str) -> dict[str, str]:
        """Extended attributes of a path."""
        with _as_os_error(path):
            return self.filesystem.resolve(path).xattrs()


@contextmanager
def core(account: dict[str, str], cache: Path, ttl: float = 60.0) -> Iterator[FileSystem]:
    """The core on a cache folder, signed in with the variables of an account."""
    with NdiCloud(CloudConfig.from_environment(account)) as cloud:
        local = LocalCache(cloud, CacheOptions(cache, 1 << 30, ttl))
        filesystem = FileSystem(local, ErrorLog())
        try:
            yield filesystem
        finally:
            filesystem.close()


@contextmanager
def _as_os_error(path: str) -> Iterator[None]:
    try:
        yield
    except CloudError as error:
        raise OSError(error.errno, str(error), path) from error
