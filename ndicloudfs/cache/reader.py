"""One open object: reads any range, and ahead of whoever reads in order.

Two streams are followed in each open file, since an HDF5 reader goes through metadata and data in
turns. A read that goes on where a stream stands makes the stream fetch ahead, twice as far as it
has come; a read elsewhere fetches the blocks that it needs and begins a new stream.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ndicloudfs.cache.flight import wait
from ndicloudfs.cloud.errors import CloudError, SizeChanged

if TYPE_CHECKING:
    from ndicloudfs.cache.objects import ObjectFile, Objects

MIB = 1 << 20
# Bytes: what the kernel asks for at a time. A random read of 64 KiB touches 1.5 blocks on average:
# 3 bytes fetched for each byte asked (scripts/bench random).
BLOCK = 128 << 10
RUN = 32  # blocks of one range at the most, and of a segment on the disk: 4 MiB
FIRST_RUN = 4  # blocks; each further run of a stream is twice as long
STREAMS = 2
WINDOW = 320  # blocks ahead at the most: 40 MiB (scripts/bench sequential, memory)
FIRST_WINDOW = 8
# The kernel sends two requests at a time, and the second may come first; a seek goes further.
NEARBY = 2  # blocks
# One read behind another may be chance: it is for every tenth of reads at random places of 16 MiB.
IN_ORDER = 2  # reads
ATTEMPTS = 3


class Dropped(Exception):
    """A block will not come: it was to be fetched ahead, and that was given up."""


@dataclass(slots=True)
class _Stream:
    """A reader that goes through a file in order. All in blocks."""

    next: int  # where it would go on
    began: int
    planned: int  # up to where blocks were asked for
    run: int = FIRST_RUN
    reads: int = 0  # that went on where one before had ended


class ObjectReader:
    """One open object. Safe for threads."""

    def __init__(self, objects: Objects, file: ObjectFile, patience: float) -> None:
        """``patience``: how long to wait for a block that is on its way, in seconds."""
        self._objects = objects
        self._file = file
        self._patience = patience
        self._blocks = -(-file.size // BLOCK)
        self._lock = threading.Lock()
        self._streams: deque[_Stream] = deque(maxlen=STREAMS)
        self._jobs: deque[Future[None]] = deque(maxlen=WINDOW)

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self._file.size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end of the file.

        Raises ``CloudError`` when they cannot be had; never answers with other bytes.
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        needed = range(offset // BLOCK, -(-end // BLOCK))
        self._go_ahead(needed)
        for work in self._objects.start(self._file, needed):
            self._objects.run(work)
        parts = [self._block(number) for number in needed]
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        skip = offset - needed.start * BLOCK
        return data[skip : skip + end - offset]

    def close(self) -> None:
        """Give up what was to be fetched ahead and was not begun."""
        with self._lock:
            jobs = list(self._jobs)
            self._jobs.clear()
        for job in jobs:
            job.cancel()

    def _block(self, number: int) -> bytes:
        """A block that is at hand or on its way, and may have been lost again meanwhile."""
        for attempt in range(ATTEMPTS):
            found = self._objects.at_hand(self._file, number)
            if isinstance(found, bytes):
                return found
            try:
                if found is not None:
                    return wait(found, self._patience, f"A block of file {self._file.uid}")
                for work in self._objects.start(self._file, range(number, number + 1)):
                    self._objects.run(work)
                    return work.futures[number].result()
            except Dropped:
                continue
            except SizeChanged:
                raise
            except CloudError:
                # It may have failed somebody who read ahead: once more, for this reader itself.
                if found is None or attempt:
                    raise
        raise CloudError(f"A block of file {self._file.uid} was lost again and again; try again")

    def _go_ahead(self, needed: range) -> None:
        """Fetch ahead, where this read goes on where another one ended."""
        with self._lock:
            stream = self._stream_at(needed)
            if stream is None:
                self._streams.append(_Stream(needed.stop, needed.start, needed.stop))
                return
            runs = self._plan(stream, needed)
        for run in runs:
            jobs = self._objects.fetch_ahead(self._file, run)
            with self._lock:
                if jobs is None:  # no room now: a later read asks again
                    stream.planned = min(stream.planned, run.start)
                    return
                self._jobs.extend(jobs)

    def _plan(self, stream: _Stream, needed: range) -> list[range]:
        if needed.stop > stream.next:
            stream.next = needed.stop
            stream.reads += 1
        if stream.reads < IN_ORDER:
            return []
        window = min(max(2 * (stream.next - stream.began), FIRST_WINDOW), WINDOW)
        target = min(stream.next + window, self._blocks)
        stream.planned = max(stream.planned, needed.start)
        runs = []
        # A run is asked for as a whole or not at all, or there would be one for each block.
        while stream.planned < target and (
            stream.planned < stream.next
            or stream.planned + stream.run <= target
            or target == self._blocks
        ):
            # Runs end where segments do, so that whole segments go to the disk.
            segment_end = (stream.planned // RUN + 1) * RUN
            stop = min(stream.planned + stream.run, segment_end, self._blocks)
            runs.append(range(stream.planned, stop))
            stream.planned = stop
            stream.run = min(2 * stream.run, RUN)
        return runs

    def _stream_at(self, needed: range) -> _Stream | None:
        for stream in self._streams:
            if stream.next - NEARBY <= needed.start <= stream.next + NEARBY:
                return stream
        return None
