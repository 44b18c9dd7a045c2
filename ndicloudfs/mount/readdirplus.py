"""Listing a directory together with the attributes of what is in it (readdirplus of libfuse 3).

Without it the kernel asks for each name that ``ls -l`` shows: 10,000 requests instead of 60 for a
class of 10,000 documents. mfusepy can do without; this replaces the one method that it takes.
"""

from __future__ import annotations

import ctypes
from contextlib import closing
from typing import Any

from ndicloudfs.mount.stats import TYPES, Layout

# libfuse's own numbers: enum fuse_readdir_flags, enum fuse_fill_dir_flags, FUSE_CAP_*.
_READDIR_PLUS = 1
_FILL_DIR_PLUS = 2
# With it the kernel lists plainly until it sees that names are looked up one by one. Here an entry
# comes with its attributes where they are known, and then they cost nothing.
CAP_READDIRPLUS_AUTO = 1 << 14


def fuse_class(module: Any) -> type[Any]:
    """The class ``FUSE`` of mfusepy with a ``readdir`` that hands on attributes."""
    layout = Layout(module.c_stat)
    filler_type = ctypes.PYFUNCTYPE(
        *(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p),
        *(module.c_off_t, ctypes.c_int),
    )

    def readdir_fuse_3(
        self: Any, path: bytes, buf: Any, filler: Any, offset: int, fip: Any, flags: int
    ) -> int:
        del path
        stats, stat = self.operations.stats, module.c_stat()
        address = ctypes.addressof(stat)
        # Without letting another thread of Python run meanwhile: it takes longer than the call.
        fill_in = ctypes.cast(filler, filler_type)
        fill, encoding, errors = layout.fill, self.encoding, self.errors
        known = flags & _READDIR_PLUS and _FILL_DIR_PLUS
        # The offset of an entry is that of the one behind it. With offsets of 0 libfuse before 3.17
        # does not hand on attributes; and it sends those it has no value for as they are.
        following = offset
        with closing(self.operations.listed(fip.contents.fh, offset)) as listed:
            for entries in listed:
                for name, ino, kind, attributes in entries:
                    following += 1
                    if attributes is None:
                        stat.st_ino, stat.st_mode = ino, TYPES[kind]
                        plus = 0
                    else:
                        fill(stat, attributes, stats)
                        plus = known
                    if fill_in(buf, name.encode(encoding, errors), address, following, plus):
                        return 0
        return 0

    return type("FUSE", (module.FUSE,), {"readdir_fuse_3": readdir_fuse_3})
