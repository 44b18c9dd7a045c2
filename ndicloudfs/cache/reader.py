"""One open object: reads any range, and ahead of whoever reads in order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from ndicloudfs.cache.blockfile import BLOCK
from ndicloudfs.cache.fetching import Dropped, Fetcher
from ndicloudfs.cache.memory import Memory, Piece, Shelf, copy, parts
from ndicloudfs.cache.streams import Stream, Streams
from ndicloudfs.cloud.errors import CloudError, SizeChanged

ATTEMPTS = 3
JOBS_KEPT = 64  # ranges fetched ahead that can be taken back


class ObjectReader:
    """One open object. Safe for threads."""

    def __init__(self, memory: Memory, fetcher: Fetcher, shelf: Shelf) -> None:
        self._memory = memory
        self._fetcher = fetcher
        self._shelf = shelf
        self._lock = threading.Lock()
        self._streams = Streams(-(-shelf.file.size // BLOCK))
        self._jobs: deque[tuple[Stream, range, Future[None]]] = deque(maxlen=JOBS_KEPT)
        self._closed = False

    @property
    def size(self) -> int:
        """Bytes of the object."""
        return self._shelf.file.size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end of the file.

        Raises ``CloudError`` when they cannot be had; never answers with other bytes.
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        with self._at_hand(offset, end) as pieces:
            return b"".join(parts(pieces, offset, end))

    def readinto(self, offset: int, into: memoryview) -> int:
        """The same, put where they go; the number of bytes."""
        end = min(offset + len(into), self.size)
        if offset >= end:
            return 0
        done = 0
        with self._at_hand(offset, end) as pieces:
            for part in parts(pieces, offset, end):
                copy(into[done:], part)
                done += len(part)
        return done

    @contextmanager
    def _at_hand(self, offset: int, end: int) -> Iterator[list[Piece]]:
        """The pieces that hold the bytes from ``offset`` to ``end``, while they are in use."""
        needed = range(offset // BLOCK, -(-end // BLOCK))
        stream, wanted = self._follow(needed)
        for _ in range(ATTEMPTS):
            pieces, fresh = self._memory.find(self._shelf, needed, wanted)
            try:
                self._go_ahead(stream)
                self._bring(pieces, fresh)
                if self._arrived(pieces, fresh if wanted == needed else []):
                    yield pieces
                    return
            finally:
                self._memory.release(pieces)
            wanted = needed
        raise CloudError(
            f"Blocks of file {self._shelf.file.uid} were lost from the cache again and again;"
            " see whether its disk is full or damaged: ndicloudfs doctor"
        )

    def close(self) -> None:
        """Give up what was to be fetched ahead and was not begun."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            jobs = [job for _, _, job in self._jobs]
            self._jobs.clear()
        for job in jobs:
            job.cancel()
        self._fetcher.close_shelf(self._shelf)

    def _follow(self, needed: range) -> tuple[Stream, range]:
        """The stream that a read belongs to, and what to fetch for it."""
        with self._lock:
            stream, new = self._streams.follow(needed)
            wanted = needed
            if not stream.in_order and not self._memory.known(self._shelf, needed):
                wanted = self._streams.neighbourhood(needed)
            taken_back = list(self._jobs) if new else []
        # A seek: what waits for its turn in favour of another place goes behind this read.
        for other, numbers, job in taken_back:
            if job.cancel():
                with self._lock:
                    other.planned = min(other.planned, numbers.start)
        return stream, wanted

    def _go_ahead(self, stream: Stream) -> None:
        """Fetch ahead, as far as the stream has earned."""
        with self._lock:
            if self._closed or not stream.in_order:
                return
            ahead = self._streams.ahead(stream, self._fetcher.window(stream))
            for numbers in ahead:
                jobs = self._fetcher.bring_ahead(self._shelf, numbers)
                if jobs is None:  # no room now: a later read asks again
                    stream.planned = numbers.start
                    return
                self._jobs.extend((stream, numbers, job) for job in jobs if not job.done())

    def _bring(self, pieces: list[Piece], fresh: list[Piece]) -> None:
        """Bring what nobody else brings: the first that this reader needs at once, all together."""
        needed = [piece for piece in fresh if piece in pieces]
        for piece in fresh:
            if piece not in needed[:1]:
                self._fetcher.bring_later(piece)
        for piece in needed[:1]:
            self._fetcher.bring(piece)

    def _arrived(self, pieces: list[Piece], own: list[Piece]) -> bool:
        """Wait for all; False where one failed that is not ``own``: then this reader tries itself.

        Raises ``CloudError``: that of an own one, or why there is no use in waiting.
        """
        for piece in pieces:
            self._fetcher.attend(piece)
            try:
                piece.arrival.result()
            except SizeChanged:
                raise
            except CloudError:
                if piece in own:
                    raise
                return False
            except Dropped:
                return False
        return True
