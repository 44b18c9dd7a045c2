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

TYPES = {Kind.DIRECTORY: stat.S_IFDIR, Kind.FILE: stat.S_IFREG}
_MODES = {Kind.DIRECTORY: stat.S_IFDIR | 0o555, Kind.FILE: stat.S_IFREG | 0o444}
_WRITABLE_MODES = {Kind.DIRECTORY: stat.S_IFDIR | 0o755, Kind.FILE: stat.S_IFREG | 0o644}
# `cp` and Python read in units of st_blksize: fewer, larger requests.
_BLOCK_SIZE = 256 * 1024


class Stats:
    """Attributes as those of this user's files."""

    def __init__(self, umask: int = 0) -> None:
        """``umask`` bits are off in every mode."""
        self._modes = {kind: mode & ~umask for kind, mode in _MODES.items()}
        self._writable_modes = {kind: mode & ~umask for kind, mode in _WRITABLE_MODES.items()}
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
            "st_blocks": blocks(attributes.size),
            "st_mtime": attributes.mtime_ns,
            "st_ctime": attributes.mtime_ns,
            "st_atime": attributes.mtime_ns,
        }

    def mode(self, attributes: Attributes) -> int:
        """``st_mode``: type and permissions."""
        modes = self._writable_modes if attributes.writable else self._modes
        return modes[attributes.kind]


def blocks(size: int) -> int:
    """``st_blocks`` of a file of ``size`` bytes."""
    return -(-size // 512)


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
        ino, _, size, mtime_ns, _ = attributes
        time = divmod(mtime_ns, 10**9)
        mode = stats.mode(attributes)
        values = (*stats.same, mode, ino & self._longest_ino, size, blocks(size), *time * 3)
        self._pack_into(found, 0, *self._in_order(values))


_TIMES = ("st_mtimespec", "st_ctimespec", "st_atimespec")
_VALUES = (
    *("st_nlink", "st_uid", "st_gid", "st_blksize", "st_mode", "st_ino", "st_size", "st_blocks"),
    *(f"{time}.{part}" for time in _TIMES for part in ("tv_sec", "tv_nsec")),
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
                yield offset + getattr(kind, part).offset, f"{name}.{part}", part_kind
