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


class ChangingOperations(Operations):
    """The operations of a mount that can be written."""

    flag_nullpath_ok = True  # libfuse 2: a removed file has no path, and is still open

    def create(self, path: str, mode: int, fi: Any) -> int:
        """Make a file and open it."""
        del mode
        with self._failures(path):
            fi.fh = self._fs.create(path, fi.flags)
        fi.keep_cache = False
        fi.direct_io = False
        return 0

    def write(self, path: str | None, data: bytes, offset: int, fi: Any) -> int:
        """Write into an open file."""
        with self._failures(path or ""):
            self._fs.write(fi.fh, data, offset)
        return len(data)

    def flush(self, path: str | None, fi: Any) -> int:
        """Somebody closes a file: what was written is safe when this returns."""
        with self._failures(path or ""):
            self._fs.flush(fi.fh)
        return 0

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
        return 0

    def unlink(self, path: str) -> int:
        """Remove a file."""
        with self._failures(path):
            self._fs.unlink(path)
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
        return 0

    def chmod(self, path: str | None, mode: int) -> int:
        """Accepted without effect, so that ``cp -p``, ``rsync -a`` and ``tar`` work."""
        del path, mode
        return 0

    def utimens(self, path: str | None, times: object = None) -> int:
        """Accepted without effect, for the same reason."""
        del path, times
        return 0

    def chown(self, path: str | None, uid: int, gid: int) -> int:
        """Everything belongs to who mounts; to be given to that one is no change."""
        del path
        if uid not in (-1, self._uid) or gid not in (-1, self._gid):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        return 0

    def link(self, target: str, source: str) -> int:
        """There are no links."""
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), target, None, source)

    def symlink(self, target: str, source: str) -> int:
        """There are no links."""
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), target, None, source)

    def mknod(self, path: str, mode: int, dev: int) -> int:
        """There are no devices."""
        del mode, dev
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), path)

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        """Attributes are what the cloud says."""
        del name, value, options, position
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)

    def removexattr(self, path: str, name: str) -> int:
        """Attributes are what the cloud says."""
        del name
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), path)


class FusepyOperations(CalledByName, Operations):
    """The operations of a read-only mount for fusepy."""


class FusepyChangingOperations(CalledByName, ChangingOperations):
    """The operations of a mount that can be written for fusepy."""


def operations_for(loaded: Binding, *, writing: bool) -> type[Operations]:
    """The class of operations for a binding."""
    if loaded.name == binding.FUSEPY:
        return FusepyChangingOperations if writing else FusepyOperations
    return ChangingOperations if writing else Operations
