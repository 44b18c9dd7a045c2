"""What mfusepy leaves out of the requests of libfuse 3, and what would go wrong without it."""

from __future__ import annotations

import errno
from typing import Any

_NO_REPLACE = 1  # RENAME_NOREPLACE of renameat2(2); the kernel has looked whether there is anything


def fuse_class(kind: type[Any]) -> type[Any]:
    """``kind``, a class ``FUSE`` of mfusepy, with requests as they came."""

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

    members = {"truncate_fuse_3": truncate_fuse_3, "rename_fuse_3": rename_fuse_3}
    return type("FUSE", (kind,), members)
