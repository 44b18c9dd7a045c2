"""One process owns the journal of an account on a host."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

from ndicloudfs.writeback.errors import JournalInUse

# s: the mount that has just ended may still be busy with ending.
PATIENCE = 3.0
_PAUSE = 0.05


class Ownership:
    """A lock that ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock at ``path``. Raises JournalInUse, which names the process that has it."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not self._taken(PATIENCE):
            owner = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            who = f"process {owner}" if owner else "another process"
            raise JournalInUse(
                f"Another mount of this account may write already ({who}); "
                "end it first, or mount this one read-only with -o ro"
            )
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def _taken(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    return False
                threading.Event().wait(_PAUSE)
            else:
                return True

    def release(self) -> None:
        """Let the next one have it."""
        os.close(self._descriptor)
