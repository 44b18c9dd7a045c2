"""What ``stat`` tells of files and directories, as the fields of ``struct stat``."""

from __future__ import annotations

import os
import stat
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


class Filler:
    """A ``struct stat`` that is filled in, for one entry after the other: only what differs is set.

    mfusepy's way by a dictionary takes 8 us, half of all that an entry of a listing takes.
    """

    def __init__(self, found: Any, stats: Stats) -> None:
        """``found``: the structure, of mfusepy."""
        self.found = found
        self._mode = stats.mode
        for name, value in stats.constant.items():
            setattr(found, name, value)
        # Views of the three times in the structure.
        self._times = (found.st_mtimespec, found.st_ctimespec, found.st_atimespec)

    def be(self, attributes: Attributes) -> None:
        """Have everything of an entry."""
        found = self.found
        found.st_mode = self._mode(attributes)
        found.st_ino = attributes.ino
        found.st_size = attributes.size
        found.st_blocks = blocks(attributes.size)
        seconds, nanoseconds = divmod(attributes.mtime_ns, 10**9)
        for time in self._times:
            time.tv_sec = seconds
            time.tv_nsec = nanoseconds

    def be_plain(self, ino: int, kind: Kind) -> None:
        """Have the inode number and the type of an entry; the rest is not looked at."""
        self.found.st_ino = ino
        self.found.st_mode = TYPES[kind]
