"""Brings pieces of objects: from the disk where they are there, else from the object store.

What came from the object store is kept on the disk, after whoever waits for it has it.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

from cachetools import TTLCache

from ndicloudfs.cache.blockfile import BLOCK, BLOCKS
from ndicloudfs.cache.blocks import Blocks
from ndicloudfs.cache.flight import LOOK_EVERY, interrupted, settled
from ndicloudfs.cache.index import Index
from ndicloudfs.cache.leases import Leases
from ndicloudfs.cache.memory import Memory, ObjectFile, Piece, Shelf, runs
from ndicloudfs.cache.streams import Stream
from ndicloudfs.cache.upstream import Upstream
from ndicloudfs.cloud.errors import BadAnswer, CloudError, SizeChanged
from ndicloudfs.cloud.values import NotWanted, Place, always

MIB = 1 << 20
# Bytes fetched ahead, for all readers together: 16 ranges of 8 MiB. On a network of 30 ms and
# 80 MB/s per connection a file of 512 MiB came at 0.89 of eight curl with these, and at 0.86 with
# 112 MiB (in turns, 12 times each).
AHEAD_LIMIT = 128 * MIB
# s: who goes through a file in order and has not read for longer leaves the room to others.
ACTIVE = 1.0
# Ranges fetched ahead at the same time, and those that have come and are being kept: a range takes
# 140 ms, and 20 more until it is on the disk.
CONNECTIONS = 32
ATTEMPTS = 3
# Blocks fetched once more between two that are missing: 512 KiB take 6 ms, another range takes 30.
GAP = 4
URGENT = 64  # ranges that somebody waits for: as many as the kernel sends requests at once
# Bytes on their way to the disk out of what somebody waited for. More than that, and the disk is
# slower than the network: rather than wait for it, the rest is fetched again another time.
UNSAVED_LIMIT = 16 * MIB


class Dropped(Exception):
    """Blocks will not come: they were to be fetched ahead, and that was given up."""


class NotKept(CloudError):
    """Blocks that came could not be kept: the disk of the cache is full or fails."""

    errno = errno.ENOSPC


class Fetcher:
    """Brings pieces for all readers of a mount. Used by any thread."""

    def __init__(
        self, memory: Memory, blocks: Blocks, leases: Leases, index: Index, upstream: Upstream
    ) -> None:
        self._memory = memory
        self._blocks = blocks
        self._leases = leases
        self._index = index
        self._host = upstream.cloud.config.host
        self._uplink = upstream.object_uplink
        self._lock = threading.Lock()
        self._ahead = 0  # bytes
        self._unsaved = 0  # bytes
        self._active: TTLCache[Stream, bool] = TTLCache(1000, ACTIVE)
        self._readahead = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="ndi-readahead")
        self._urgent = ThreadPoolExecutor(URGENT, thread_name_prefix="ndi-urgent")

    @property
    def ahead(self) -> int:
        """Bytes that are being fetched ahead."""
        return self._ahead

    def window(self, stream: Stream) -> int:
        """How many blocks to fetch ahead of a reader in order, who reads now: its share."""
        with self._lock:
            self._active[stream] = True
            return max(1, AHEAD_LIMIT // BLOCK // len(self._active))

    def bring(self, piece: Piece) -> None:
        """Bring a piece that somebody waits for: from the disk now, what is missing beside it."""
        absent = self._from_disk(piece)
        if not absent:
            self._memory.arrived(piece)
            return

        def fetch() -> None:
            self._fetch(piece, absent)
            with self._lock:
                keep = self._unsaved + piece.size <= UNSAVED_LIMIT
                self._unsaved += piece.size if keep else 0
            if keep:
                try:
                    self._save(piece, absent)
                finally:
                    with self._lock:
                        self._unsaved -= piece.size
            else:
                self._memory.release([piece])

        try:
            self._urgent.submit(fetch)
        except RuntimeError:  # the mount is going away
            self._memory.failed(piece, Dropped())

    def attend(self, piece: Piece) -> None:
        """Wait until a piece has arrived or failed.

        Raises ``Interrupted``, and where it comes from the object store the reason of its outage.
        """
        while not piece.remote and not settled(piece.arrival, LOOK_EVERY):
            interrupted()
        if not piece.arrival.done():
            self._uplink.attend(piece.arrival)

    def bring_later(self, piece: Piece) -> Future[None]:
        """Bring a piece in the background; taken back when the answer is cancelled in time."""

        def bring_and_keep() -> None:
            absent = self._from_disk(piece)
            self._fetch(piece, absent, lambda: piece.shelf.readers > 0)
            self._save(piece, absent)

        def finished(job: Future[None]) -> None:
            if job.cancelled():
                self._memory.failed(piece, Dropped())

        try:
            job = self._readahead.submit(bring_and_keep)
        except RuntimeError:  # the mount is going away
            job = Future()
            job.cancel()
        job.add_done_callback(finished)
        return job

    def bring_ahead(self, shelf: Shelf, numbers: range) -> list[Future[None]] | None:
        """Bring blocks that nobody waits for yet; None where too much is on its way already."""
        size = len(numbers) * BLOCK
        with self._lock:
            if self._ahead + size > AHEAD_LIMIT:
                return None
            self._ahead += size
        jobs = []
        for piece in self._memory.begin(shelf, numbers):
            part = len(piece.numbers) * BLOCK
            size -= part
            piece.arrival.add_done_callback(partial(self._landed, part))
            jobs.append(self.bring_later(piece))
        self._landed(size)  # what was at hand or coming already
        return jobs

    def put_first(self, file: ObjectFile, data: bytes) -> None:
        """Keep the first blocks of an object, which came before anything was known of it."""
        shelf = self._memory.open(file)
        for piece in self._memory.begin(shelf, range(-(-len(data) // BLOCK))):
            self._memory.allocate(piece)[:] = data[piece.start : piece.start + piece.size]
            self._memory.arrived(piece, pins=1)
            self._save(piece, [piece.numbers])
        self.close_shelf(shelf)

    def put(self, file: ObjectFile, path: Path) -> None:
        """Keep an object on the disk of which the bytes are at ``path``."""
        count = -(-file.size // BLOCK)
        with path.open("rb") as source:
            for start in range(0, count, BLOCKS):
                numbers = range(start, min(start + BLOCKS, count))
                piece = Piece(Shelf(file), numbers)
                piece.buffer = bytearray(source.read(len(numbers) * BLOCK))
                self._write(piece, [numbers])
                self._blocks.close(self._place(piece, numbers)[0])

    def keep(self, file: ObjectFile, numbers: range) -> bool:
        """Bring blocks of one file of blocks to the disk, past the memory.

        Answers whether they were there. Raises ``NotKept`` where the disk does not take them.
        """
        piece = Piece(Shelf(file), numbers)
        key, positions = self._place(piece, numbers)
        absent = self._blocks.absent(key, positions)
        if not absent:
            return True
        piece.buffer = bytearray(len(numbers) * BLOCK)
        for run in runs(numbers[at - positions.start] for at in absent):
            self._fetch_run(piece, run)
            self._write(piece, [run])
        lost = self._blocks.absent(key, positions)
        self._blocks.close(key)
        if lost:
            raise NotKept(
                f"The disk of the cache did not take a part of file {file.uid};"
                " make room there, or see: ndicloudfs doctor"
            )
        return False

    def close_shelf(self, shelf: Shelf) -> None:
        """A reader has gone; the last one leaves no file open."""
        if self._memory.close(shelf):
            self._blocks.close(self._prefix(shelf.file))

    def close(self) -> None:
        """Wait for what is being fetched and kept."""
        self._readahead.shutdown(wait=True, cancel_futures=True)
        self._urgent.shutdown(wait=True)
        self._blocks.close()

    def _landed(self, size: int, _: object = None) -> None:
        with self._lock:
            self._ahead -= size

    def _from_disk(self, piece: Piece) -> list[range]:
        """Bring what the disk has of a piece; the runs that are missing still."""
        try:
            data = self._memory.allocate(piece)
            key, positions = self._place(piece, piece.numbers)
            found = self._blocks.read(key, positions, data)
        except BaseException as error:
            self._memory.failed(piece, error)
            raise
        there = {piece.numbers[position - positions.start] for position in found}
        return list(runs((number for number in piece.numbers if number not in there), GAP))

    def _fetch(
        self, piece: Piece, absent: Iterable[range], wanted: Callable[[], bool] = always
    ) -> None:
        """Bring what the disk does not have; then the piece is at hand, pinned once."""
        try:
            for run in absent:
                piece.remote = True
                self._fetch_run(piece, run, wanted)
        except BaseException as error:
            self._memory.failed(piece, error)
            raise
        self._memory.arrived(piece, pins=1)

    def _fetch_run(self, piece: Piece, numbers: range, wanted: Callable[[], bool] = always) -> None:
        """A range from the object store into its place in the piece."""
        file = piece.shelf.file
        into = Place(_part(piece, numbers), wanted)
        start, length = numbers.start * BLOCK, len(into.bytes)
        for _ in range(ATTEMPTS):  # a proxy may have answered in place of the object store
            try:
                got = self._leases.read(file.dataset_id, file.uid, start, length, into)
            except NotWanted:
                raise Dropped from None
            if got.ranged or got.total == file.size:
                break
        if got.total != file.size and got.ranged:
            # It was uploaded anew under its uid (section 6.3): what is open has the old one.
            self._index.put_object_size(file.dataset_id, file.uid, got.total, verified=True)
            raise SizeChanged(
                f"File {file.uid} has {got.total} bytes now, not {file.size}; open it again"
            )
        if got.total != file.size or got.placed != length:
            raise BadAnswer(
                f"File {file.uid}: the object store sent {got.placed} of {length} bytes"
                f" at {start}, of {got.total} in all instead of {file.size}; read it again"
            )

    def _save(self, piece: Piece, fetched: Iterable[range]) -> None:
        """Keep runs of a piece on the disk, and take the pin back."""
        try:
            self._write(piece, fetched)
        finally:
            self._memory.release([piece])

    def _write(self, piece: Piece, fetched: Iterable[range]) -> None:
        blocks = [
            (self._place(piece, run)[1][at], _part(piece, range(number, number + 1)))
            for run in fetched
            for at, number in enumerate(run)
        ]
        if blocks:
            self._blocks.write(self._place(piece, piece.numbers)[0], blocks)

    def _place(self, piece: Piece, numbers: range) -> tuple[str, range]:
        """The key of the file of blocks that ``numbers`` are in, and their positions in it."""
        part = numbers.start // BLOCKS
        first = part * BLOCKS
        key = f"{self._prefix(piece.shelf.file)}{part}"
        return key, range(numbers.start - first, numbers.stop - first)

    def _prefix(self, file: ObjectFile) -> str:
        # With the size, so that blocks of an object that was uploaded anew never meet the old.
        return f"blocks/{self._host}/{file.dataset_id}/{file.uid}/{file.size}/{BLOCK}x{BLOCKS}/"


def _part(piece: Piece, numbers: range) -> memoryview:
    start = numbers.start * BLOCK - piece.start
    return piece.data[start : start + len(numbers) * BLOCK]
