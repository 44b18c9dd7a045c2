"""FUSE operations that change something: each translates a request to the ``vfs``.

``path`` may be None where there is a handle: the file has been removed since it was opened.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from ndicloudfs.mount import binding
from ndicloudfs.mount.binding import Binding
from ndicloudfs.mount.operations import CalledByName, Operations
from ndicloudfs.vfs.sessions import NotTaken


class ChangingOperations(Operations):
    """The operations of a mount that can be written."""

    flag_nullpath_ok = True  # libfuse 2: a removed file has no path, and is still open

    def create(self, path: str, mode: int, fi: Any) -> int:
        """Make a file and open it."""
        del mode
        with self._failures(path):
            fi.fh = self._fs.create(path, fi.flags)
        self._pages.changed(path)
        self._pages.opened(path, fi.fh, "", None)
        fi.keep_cache = False
        fi.direct_io = self._is_shadowed(path)
        return 0

    def write(self, path: str | None, data: bytes, offset: int, fi: Any) -> int:
        """Write into an open file."""
        with self._failures(path or ""):
            self._fs.write(fi.fh, data, offset)
        if path is not None:
            self._told.written(path)
        return len(data)

    def flush(self, path: str | None, fi: Any) -> int:
        """Somebody closes a file: what was written is safe when this returns."""
        with self._failures(path or ""):
            try:
                other = self._fs.flush(fi.fh)
            except NotTaken:  # the file is what it was
                if path is not None:
                    self._invalidation.drop(path)
                raise
        if other and path is not None and self._is_believed(path, fi.fh):
            self._invalidation.drop(path)
        return 0

    def _is_believed(self, path: str, handle: int) -> bool:
        """Whether the kernel may go on with a size or with bytes that were written.

        Telling it takes a third of a close. It has no size after a write until it asks for one, and
        gives what was opened for writing alone to nobody before they open it themselves.
        """
        return self._told.size(path) is not None or self._fs.is_read(handle)

    def fsync(self, path: str | None, datasync: int, fi: Any) -> int:
        """The same without closing."""
        del datasync
        return self.flush(path, fi)

    def fsyncdir(self, path: str, datasync: int, handle: int) -> int:
        """What is made in a folder is safe at once."""
        del path, datasync, handle
        return 0

    def truncate(self, path: str | None, length: int, fi: Any = None) -> int:
        """Cut a file, or let it grow by zeros."""
        with self._failures(path or ""):
            self._fs.truncate(path or "", length, None if fi is None else fi.fh)
        if path is not None:
            self._pages.changed(path)
        return 0

    def unlink(self, path: str) -> int:
        """Remove a file."""
        with self._failures(path):
            self._fs.unlink(path)
        self._pages.removed(path)
        self._told.forget(path)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        """Make a folder."""
        del mode
        with self._failures(path):
            self._fs.mkdir(path)
        return 0

    def rmdir(self, path: str) -> int:
        """Remove a folder."""
        with self._failures(path):
            self._fs.rmdir(path)
        return 0

    def rename(self, old: str, new: str) -> int:
        """Move a file, in place of what is there."""
        with self._failures(old):
            self._fs.rename(old, new)
        self._pages.renamed(old, new)
        self._told.renamed(old, new)
        self._invalidation.drop(old)  # what the kernel knows of the file goes on under its new name
        return 0

    def chmod(self, path: str | None, mode: int) -> int:
        """Accepted without effect, so that ``cp -p``, ``rsync -a`` and ``tar`` work."""
        del mode
        self._check(path)
        return 0

    def utimens(self, path: str | None, times: object = None) -> int:
        """Accepted without effect, for the same reason."""
        del times
        self._check(path)
        return 0

    def chown(self, path: str | None, uid: int, gid: int) -> int:
        """Everything belongs to who mounts; to be given to that one is no change."""
        self._check(path)
        if uid not in (-1, self.stats.uid) or gid not in (-1, self.stats.gid):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return 0

    def link(self, target: str, source: str) -> int:
        """There are no links."""
        del source
        return self._refuse(errno.EPERM, _parent(target))

    def symlink(self, target: str, source: str) -> int:
        """There are no links."""
        del source
        return self._refuse(errno.EPERM, _parent(target))

    def mknod(self, path: str, mode: int, dev: int) -> int:
        """There are no devices."""
        del mode, dev
        return self._refuse(errno.EPERM, _parent(path))

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        """Attributes are what the cloud says."""
        del name, value, options, position
        return self._refuse(errno.ENOTSUP, path)

    def removexattr(self, path: str, name: str) -> int:
        """Attributes are what the cloud says."""
        del name
        return self._refuse(errno.ENOTSUP, path)

    def _check(self, path: str | None) -> None:
        """Raise EROFS where nothing can be changed; what is open and removed can be."""
        if path is not None:
            with self._failures(path):
                self._fs.check_writable(path)

    def _refuse(self, number: int, path: str) -> int:
        self._check(path)
        raise OSError(number, os.strerror(number), path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


class FusepyOperations(CalledByName, Operations):
    """The operations of a read-only mount for fusepy."""


class FusepyChangingOperations(CalledByName, ChangingOperations):
    """The operations of a mount that can be written for fusepy."""


def operations_for(loaded: Binding, *, writing: bool) -> type[Operations]:
    """The class of operations for a binding."""
    if loaded.name == binding.FUSEPY:
        return FusepyChangingOperations if writing else FusepyOperations
    return ChangingOperations if writing else Operations
