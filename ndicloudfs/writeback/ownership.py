"""One process owns the journal of an account on a host."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ndicloudfs.writeback.errors import JournalInUse


class Ownership:
    """A lock that ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock at ``path``. Raises JournalInUse, which names the process that has it."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            who = f"process {owner}" if owner else "another process"
            raise JournalInUse(
                f"Another mount of this account may write already ({who}): "
                "end it first, or mount this one read-only with -o ro"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let the next one have it."""
        os.close(self._descriptor)
