"""How the C library and Python hand out memory in a mount."""

from __future__ import annotations

import ctypes
import gc
from contextlib import suppress

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_ARENAS = 2
_MMAP_FROM = 2 << 20  # bytes
_TRIM_FROM = 16 << 20  # bytes
_COLLECT_AFTER = 20_000  # objects


def tune_malloc() -> None:
    """Have malloc do what suits many threads that pass on large buffers, where it is glibc's.

    All threads share two arenas. It gives each of many threads one of its own, and what a thread
    frees there no other one gets: a mount that was read by six programs at once grew from 219 to
    296 MiB in three minutes and went on growing; with two arenas it stays below 190
    (scripts/soak).

    What the network brings at once comes from there and not fresh from the kernel, which costs a
    page fault for each 4 KiB.
    """
    with suppress(AttributeError, OSError):
        tune = ctypes.CDLL(None).mallopt
        tune(_M_ARENA_MAX, _ARENAS)
        tune(_M_MMAP_THRESHOLD, _MMAP_FROM)
        tune(_M_TRIM_THRESHOLD, _TRIM_FROM)


def tune_collector() -> None:
    """Have Python look for cycles seldom, and never among what is there for good.

    It looks each time that there are 700 objects more, and a listing makes 30,000 that stay for a
    while: a seventh of the processor time of ``ls -l`` of a large class went into looking.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
