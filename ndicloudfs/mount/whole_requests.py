"""Requests of libfuse 3 as they come: with what mfusepy leaves out, and without its copies."""

from __future__ import annotations

import ctypes
import errno
from typing import Any

from ndicloudfs.mount.stats import Layout

KEPT_XATTRS = "user."  # how the names begin of the extended attributes that there are
_NO_REPLACE = 1  # RENAME_NOREPLACE of renameat2(2); the kernel has looked whether there is anything


def fuse_class(kind: type[Any], structure: type[ctypes.Structure]) -> type[Any]:
    """``kind``, a class ``FUSE`` of mfusepy, with requests as they came.

    ``structure``: its ``struct stat``.
    """
    layout = Layout(structure)
    kept_xattrs = KEPT_XATTRS.encode()

    def truncate_fuse_3(self: Any, path: bytes | None, length: int, fip: Any) -> int:
        """With the handle: a file that was removed while it is open has no path."""
        result: int = self.ftruncate(path, length, fip)
        return result

    def rename_fuse_3(self: Any, old: bytes, new: bytes, flags: int) -> int:
        """With the flags: to exchange two files is not to lose one of them."""
        if flags & ~_NO_REPLACE:
            return -errno.EINVAL
        result: int = self.rename_fuse_2(old, new)
        return result

    def read(self: Any, path: bytes | None, buf: Any, size: int, offset: int, fip: Any) -> int:
        """To where libfuse wants the bytes: two copies less of all that is read."""
        name = None if path is None else path.decode(self.encoding, self.errors)
        into = memoryview((ctypes.c_char * size).from_address(ctypes.addressof(buf.contents))).cast(
            "B"
        )
        count: int = self.operations.readinto(name, into, offset, fip.contents)
        return count

    def getattr_fuse_3(self: Any, path: bytes | None, buf: Any, fip: Any) -> int:
        """Without a dictionary in between."""
        name = None if path is None else path.decode(self.encoding, self.errors)
        attributes = self.operations.attributes(name, fip.contents if fip else None)
        layout.fill(buf.contents, attributes, self.operations.stats)
        return 0

    def getxattr(self: Any, path: bytes, name: bytes, value: Any, size: int, *more: Any) -> int:
        """Without an error in between: the kernel asks for each file before it writes to it."""
        if not name.startswith(kept_xattrs):
            return -errno.ENOTSUP
        result: int = kind.getxattr(self, path, name, value, size, *more)
        return result

    members = {
        "truncate_fuse_3": truncate_fuse_3,
        "rename_fuse_3": rename_fuse_3,
        "read": read,
        "getattr_fuse_3": getattr_fuse_3,
        "getxattr": getxattr,
    }
    return type("FUSE", (kind,), members)
