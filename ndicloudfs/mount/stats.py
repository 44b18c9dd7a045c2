"""What ``stat`` tells of files and directories, as the fields of ``struct stat``."""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterator
from operator import itemgetter
from struct import Struct
from typing import Any

from ndicloudfs.vfs.nodes import Attributes, Kind

_FILE = Kind.FILE  # Python 3.11 takes 0.07 us to find it, and a listing asks for each entry
TYPES = {Kind.DIRECTORY: stat.S_IFDIR, Kind.FILE: stat.S_IFREG}
_MODES = (stat.S_IFDIR | 0o555, stat.S_IFREG | 0o444)
_WRITABLE_MODES = (stat.S_IFDIR | 0o755, stat.S_IFREG | 0o644)
_SECTOR = 512  # bytes; what st_blocks counts in
# `cp` and Python read in units of st_blksize: fewer, larger requests.
_BLOCK_SIZE = 256 * 1024


class Stats:
    """Attributes as those of this user's files."""

    def __init__(self, umask: int = 0) -> None:
        """``umask`` bits are off in every mode."""
        # Of a directory and of a file: a dictionary by Kind takes thrice the time.
        self.modes = tuple(mode & ~umask for mode in _MODES)
        self.writable_modes = tuple(mode & ~umask for mode in _WRITABLE_MODES)
        self.uid, self.gid = os.getuid(), os.getgid()
        # The same for every file. 1 for directories means "unknown": `find` must not conclude that
        # there are no more.
        self.constant = {
            "st_nlink": 1,
            "st_uid": self.uid,
            "st_gid": self.gid,
            "st_blksize": _BLOCK_SIZE,
        }
        self.same = tuple(self.constant.values())

    def of(self, attributes: Attributes) -> dict[str, int]:
        """Every field; times in nanoseconds."""
        return {
            **self.constant,
            "st_mode": self.mode(attributes),
            "st_ino": attributes.ino,
            "st_size": attributes.size,
            "st_blocks": -(-attributes.size // _SECTOR),
            "st_mtime": attributes.mtime_ns,
            "st_ctime": attributes.mtime_ns,
            "st_atime": attributes.mtime_ns,
        }

    def mode(self, attributes: Attributes) -> int:
        """``st_mode``: type and permissions."""
        modes = self.writable_modes if attributes.writable else self.modes
        return modes[attributes.kind is _FILE]


class Layout:
    """A ``struct stat`` of this machine, and how it is filled in: all of it at once.

    mfusepy's way by a dictionary takes 8 us, half of all that an entry of a listing takes.
    """

    def __init__(self, structure: type[ctypes.Structure]) -> None:
        """``structure``: the one of mfusepy."""
        found = sorted(_numbers(structure))
        format_, end = "=", 0
        for offset, name, kind in found:
            size = ctypes.sizeof(kind)
            signed = kind(-1).value < 0
            format_ += f"{offset - end}x{_CODES[size].lower() if signed else _CODES[size]}"
            end = offset + size
            if name == "st_ino":
                self._longest_ino = (1 << 8 * size) - 1
        self._pack_into = Struct(f"{format_}{ctypes.sizeof(structure) - end}x").pack_into
        self._in_order = itemgetter(*(_VALUES.index(name) for _, name, _ in found))

    def fill(self, found: ctypes.Structure, attributes: Attributes, stats: Stats) -> None:
        """Have everything of a node in ``found``."""
        ino, kind, size, mtime_ns, writable = attributes
        mode = (stats.writable_modes if writable else stats.modes)[kind is _FILE]
        values = (
            *(*stats.same, mode, ino & self._longest_ino, size, -(-size // _SECTOR)),
            *divmod(mtime_ns, 10**9),
        )
        self._pack_into(found, 0, *self._in_order(values))


_TIMES = ("st_mtimespec", "st_ctimespec", "st_atimespec")  # all of them are the same
_VALUES = (
    *("st_nlink", "st_uid", "st_gid", "st_blksize", "st_mode", "st_ino", "st_size", "st_blocks"),
    *("tv_sec", "tv_nsec"),
)
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}  # of a number of so many bytes


def _numbers(structure: Any) -> Iterator[tuple[int, str, Any]]:
    """Each number that is filled in: its offset, name and type."""
    for name, kind in structure._fields_:
        offset = getattr(structure, name).offset
        if name in _VALUES:
            yield offset, name, kind
        elif name in _TIMES:
            for part, part_kind in kind._fields_:
                yield offset + getattr(kind, part).offset, part, part_kind
