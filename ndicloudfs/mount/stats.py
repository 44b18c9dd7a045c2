"""What ``stat`` tells of files and directories, as the fields of ``struct stat``."""

from __future__ import annotations

import os
import stat

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
