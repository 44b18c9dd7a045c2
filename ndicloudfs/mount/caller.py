"""Whether whoever waits for an answer of the mount has been told to end.

The kernel lets a process that waits for a file system go only when the file system has answered.
What it was sent meanwhile stays pending, where everybody can see it.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path

# Not just any signal: a program that is told of a child or a timer does not expect that `stat`
# fails for it. One that a program does not handle itself is pending as SIGKILL.
_END = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)
_MASK = sum(1 << (number - 1) for number in _END)
_PENDING = re.compile(rb"^(?:SigPnd|ShdPnd):\s*([0-9a-f]+)$", re.MULTILINE)


def is_ending(thread_id: int) -> bool:
    """Whether a thread has been sent a signal that ends it and has not been delivered yet."""
    if thread_id <= 0:  # of another container
        return False
    try:
        status = Path(f"/proc/{thread_id}/status").read_bytes()
    except OSError:
        return False
    return any(int(mask, 16) & _MASK for mask in _PENDING.findall(status))
