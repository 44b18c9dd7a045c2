"""Readers in order: where the reads of one open file go on, and how far to fetch ahead of each.

Pure arithmetic in numbers of blocks: knows no bytes, no threads and no network.

Several streams are followed in each open file, since an HDF5 reader goes through metadata and data
in turns. A read that goes on where a stream stands makes its window grow, to twice as far as it has
come; a read elsewhere begins a new stream, which has no window until it goes on.

Reads that go on nowhere, but stay in one neighbourhood, are looks at scattered metadata: the whole
neighbourhood is worth one range. So is a whole file that is no larger than ``WHOLE``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from ndicloudfs.cache.blockfile import BLOCKS

# Blocks. Who reads much at once from the beginning most likely reads all of it: 512 MiB came at
# 0.80 of eight curl with 64 MiB at first, at 0.74 with 32 and at 0.78 with 96 (in turns, 15 times
# each); who does not, and closes, gives up most of them.
FIRST_WINDOW, FIRST_WINDOW_EAGER = 8, 512
FIRST_RUN = 4  # blocks of the first range ahead; each further one is twice as long, up to a file
STREAMS = 4
# The kernel sends several large requests at a time, and they come in any order: what begins so many
# times its own length before the end of a stream, or behind it, is still of that stream. With once
# its length both ways, as for small ones, `dd` soon looked like four readers with a quarter of the
# window each: 120 MB/s and not 270 (scripts/bench sequential).
BEFORE, BEHIND = 4, 2
# One read behind another may be chance: it is for every tenth of reads at random places of 16 MiB.
IN_ORDER = 2  # reads
# Who begins at the beginning is likely to go on, and all but certain to when it asks for this much
# at once, as the kernel does for `dd` and `cp`.
LARGE_READ = 4  # blocks
# How far ahead to fetch, as a multiple of how far a reader has come. Who reads much at once from
# the beginning rarely stops: with 2 the first 0.4 s of 0.9 were spent on growing (scripts/bench
# sequential). In the middle it is a slice: with as much, one of 5 MiB fetched 32 (matlab).
GROWTH, GROWTH_EAGER = 2, 12
NEIGHBOURHOOD = 8  # blocks
# Blocks that are worth one range where somebody looks here and there: 4 MiB take 50 ms.
WHOLE = 32
# Of the last reads this many must have been in the neighbourhood: opening an HDF5 file then takes
# 5 ranges and not 20, and reads at random places of 16 MiB fetch nothing for it (one in 80 does).
LOOKS = 2
LOOKS_KEPT = 4


@dataclass(slots=True, eq=False)
class Stream:
    """A reader that goes through a file in order."""

    next: int  # where it would go on
    began: int
    planned: int  # up to where blocks were asked for
    width: int  # of its last read
    run: int = FIRST_RUN
    reads: int = 0  # that went on where one before had ended

    @property
    def in_order(self) -> bool:
        """Whether it is read ahead of."""
        return self.reads >= IN_ORDER


class Streams:
    """The streams of one open file of ``blocks`` blocks. The caller holds a lock."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks
        self._streams: list[Stream] = []  # the one used last at the end
        self._looks: deque[int] = deque(maxlen=LOOKS_KEPT)  # neighbourhoods of the last reads

    def follow(self, needed: range) -> tuple[Stream, bool]:
        """The stream that a read of ``needed`` belongs to, and whether it is a new one."""
        self._looks.append(needed.start // NEIGHBOURHOOD * NEIGHBOURHOOD)
        width = len(needed)
        before, behind = (BEFORE, BEHIND) if width >= LARGE_READ else (1, 1)
        for stream in reversed(self._streams):
            if stream.next - before * width <= needed.start <= stream.next + behind * width:
                if needed.stop > stream.next:
                    stream.next = needed.stop
                    stream.reads += 1
                stream.width = width
                self._streams.remove(stream)
                self._streams.append(stream)
                return stream, False
        stream = Stream(needed.stop, needed.start, needed.stop, width)
        if needed.start == 0:
            stream.reads = IN_ORDER if width >= LARGE_READ else 1
        if len(self._streams) == STREAMS:
            # A look elsewhere drops another look, and not a reader in order.
            idle = [one for one in self._streams if not one.in_order]
            self._streams.remove((idle or self._streams)[0])
        self._streams.append(stream)
        return stream, True

    def ahead(self, stream: Stream, limit: int) -> list[range]:
        """What to fetch ahead of ``stream`` now, at most ``limit`` blocks before it.

        Before who reads little at a time, and has not come far, it is one range and not several.
        """
        if not stream.in_order:
            return []
        # One large read alone may be the kernel's, around a page of a mapped file.
        eager = stream.width >= LARGE_READ and stream.began == 0 and stream.reads > IN_ORDER
        first = FIRST_WINDOW_EAGER if eager else FIRST_WINDOW
        growth = GROWTH_EAGER if eager else GROWTH
        window = min(max(growth * (stream.next - stream.began), first), limit)
        small = stream.width < LARGE_READ and window < WHOLE
        if small and stream.planned - stream.next > window // 2:
            return []
        target = min(stream.next + window, self._blocks)
        stream.planned = max(stream.planned, stream.next)
        runs = []
        while stream.planned < target:
            longest = window if small else max(1, min(stream.run, window // 2))
            # A range is asked for as a whole or not at all, or there would be one for each block;
            # it ends where a file of blocks does.
            stop = min(stream.planned + longest, self._blocks)
            stop = min(stop, (stream.planned // BLOCKS + 1) * BLOCKS)
            if stop > target:
                break
            runs.append(range(stream.planned, stop))
            stream.planned = stop
            stream.run = min(2 * stream.run, BLOCKS)
        return runs

    def neighbourhood(self, needed: range) -> range:
        """What to fetch for a read of ``needed`` that misses and is not in order."""
        if self._blocks <= WHOLE and len(self._looks) > 1:
            return range(self._blocks)
        first = needed.start // NEIGHBOURHOOD * NEIGHBOURHOOD
        around = range(first, min(first + NEIGHBOURHOOD, self._blocks))
        again = self._looks.count(first) > LOOKS
        return around if again and needed.stop <= around.stop else needed
