"""Objects, the bytes of files: their sizes and their blocks.

An object never changes under its uid, so a block is kept for ever once it was fetched. Blocks are
fetched in runs, each one range; one future stands for each block that is on its way, whoever wants
it and why.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from cachetools import LRUCache, TTLCache

from ndicloudfs.cache.catalog import Catalog, Upstream
from ndicloudfs.cache.index import Index
from ndicloudfs.cache.leases import Leases
from ndicloudfs.cache.reader import BLOCK, MIB, RUN, Dropped, ObjectReader
from ndicloudfs.cache.store import Store
from ndicloudfs.cloud.errors import BadAnswer, CloudError, ObjectMissing, SizeChanged, Unreachable

log = logging.getLogger(__name__)

MEMORY = 48 * MIB  # blocks at hand, for all files together
AHEAD_LIMIT = 40 * MIB  # blocks fetched ahead and not there yet, for all files together
TOUCH_EVERY = 600.0  # s: how exactly the order of use is known
CONNECTIONS = 16  # ranges fetched ahead at the same time
# The sizes of a whole dataset come in one call of megabytes: worth it from the third file on.
SIZES_BEFORE_DETAIL = 3


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """An object whose size in bytes is certain."""

    dataset_id: str
    uid: str
    size: int


@dataclass(frozen=True, slots=True)
class Work:
    """A run of blocks that is on its way, with a future for each."""

    file: ObjectFile
    numbers: range
    futures: dict[int, Future[bytes]] = field(repr=False)


class Objects:
    """Objects of datasets, by uid."""

    def __init__(self, index: Index, store: Store, catalog: Catalog, upstream: Upstream) -> None:
        self._index = index
        self._store = store
        self._catalog = catalog
        self._up = upstream
        self._host = upstream.cloud.config.host
        self._leases = Leases(index, upstream)
        self._lock = threading.Lock()
        self._unknown_sizes: dict[str, int] = {}
        self._unlisted: TTLCache[str, bool] = TTLCache(1000, upstream.ttl, timer=upstream.clock)
        self._memory: LRUCache[tuple[ObjectFile, int], bytes] = LRUCache(MEMORY, getsizeof=len)
        self._coming: dict[tuple[ObjectFile, int], Future[bytes]] = {}
        self._readahead = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="ndi-readahead")
        self._ahead = 0  # bytes
        self._touched: TTLCache[ObjectFile, bool] = TTLCache(10_000, TOUCH_EVERY)

    def size(self, dataset_id: str, uid: str) -> int:
        """The size of an object in bytes. Raises ``ObjectMissing`` where there is no object."""
        self._leases.raise_if_missing(dataset_id, uid)
        known = self._index.object_size(dataset_id, uid)
        if known is None and self._worth_the_whole_list(dataset_id):
            try:
                self._catalog.fetch_detail(dataset_id)
            except CloudError as error:
                if isinstance(error, Unreachable):
                    raise
                with self._lock:
                    self._unlisted[dataset_id] = True  # it failed for long: not once per file
                log.info("sizes of dataset %s are asked one by one: %s", dataset_id, error)
            known = self._index.object_size(dataset_id, uid)
        if known is None:
            stated = self._leases.lease(dataset_id, uid).size
            if stated is None:
                return self._verify(dataset_id, uid)
            self._index.put_object_size(dataset_id, uid, stated, verified=False)
            return stated
        return known[0]

    def open(self, dataset_id: str, uid: str) -> ObjectReader:
        """Open an object for reading.

        Raises ``ObjectMissing``, and ``SizeChanged`` where the size stated by the list of files
        turns out to be wrong; it is right from then on.
        """
        self._leases.raise_if_missing(dataset_id, uid)
        known = self._index.object_size(dataset_id, uid)
        if known is None or not known[1]:
            size = self._verify(dataset_id, uid)
            if known is not None and known[0] != size:
                raise SizeChanged(
                    f"File {uid} has {size} bytes, not {known[0]} as listed; open it again"
                )
            known = (size, True)
        file = ObjectFile(dataset_id, uid, known[0])
        with self._lock:
            touched = file in self._touched
            self._touched[file] = True
        if not touched:
            self._store.touch(self._prefix(file))
        return ObjectReader(self, file, self._up.patience)

    def stored(self, dataset_id: str, uid: str, size: int, path: Path) -> None:
        """The server has this object of ``size`` bytes; those at ``path`` need not be fetched."""
        self._leases.found(dataset_id, uid)
        self._index.put_object_size(dataset_id, uid, size, verified=True)
        file = ObjectFile(dataset_id, uid, size)
        with path.open("rb") as source:
            for start in range(0, -(-size // BLOCK), RUN):
                numbers = range(start, min(start + RUN, -(-size // BLOCK)))
                blocks = {number: source.read(BLOCK) for number in numbers}
                self._save(file, blocks)

    def nameless(self, dataset_id: str, document_id: str, name: str) -> ObjectMissing:
        """The error, noted once, of a file that its document names without a uid."""
        return self._leases.nameless(dataset_id, document_id, name)

    def start(self, file: ObjectFile, numbers: range) -> list[Work]:
        """Register the blocks of ``numbers`` that are neither at hand nor coming; work for them.

        Each piece of work is one run of blocks; until it is done, ``coming`` has their futures.
        """
        with self._lock:
            wanted = [
                number
                for number in numbers
                if (place := (file, number)) not in self._memory and place not in self._coming
            ]
            work = []
            for run in _runs(wanted):
                futures: dict[int, Future[bytes]] = {number: Future() for number in run}
                self._coming.update({(file, n): future for n, future in futures.items()})
                work.append(Work(file, run, futures))
        return work

    def at_hand(self, file: ObjectFile, number: int) -> bytes | Future[bytes] | None:
        """A block in memory, or the future of one that is coming."""
        with self._lock:
            block: bytes | None = self._memory.get((file, number))
            return self._coming.get((file, number)) if block is None else block

    def run(self, work: Work) -> None:
        """Bring a run of blocks, from the disk or the object store; futures tell how it went."""
        try:
            blocks = self._from_disk(work.file, work.numbers)
            absent = [number for number in work.numbers if number not in blocks]
            fetched: dict[int, bytes] = {}
            for run in _runs(absent):
                fetched.update(self._fetch(work.file, run))
        except BaseException as error:
            self._settle(work, {})
            for future in work.futures.values():
                future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        blocks.update(fetched)
        self._settle(work, blocks)
        for number, future in work.futures.items():
            future.set_result(blocks[number])
        self._save(work.file, fetched)

    def close(self) -> None:
        """Wait for what is being fetched ahead."""
        self._readahead.shutdown(wait=True, cancel_futures=False)

    def fetch_ahead(self, file: ObjectFile, numbers: range) -> list[Future[None]] | None:
        """Bring blocks in the background; None where too much is under way already."""
        with self._lock:
            size = len(numbers) * BLOCK
            if self._ahead + size > AHEAD_LIMIT or self._up.stopping.is_set():
                return None
            self._ahead += size
        jobs = []
        for work in self.start(file, numbers):
            size -= len(work.numbers) * BLOCK
            jobs.append(self._submit(work))
        with self._lock:
            self._ahead -= size  # what was at hand or coming already
        return jobs

    def _submit(self, work: Work) -> Future[None]:
        def finished(job: Future[None]) -> None:
            with self._lock:
                self._ahead -= len(work.numbers) * BLOCK
            if job.cancelled():
                self._drop(work)

        try:
            job = self._readahead.submit(self.run, work)
        except RuntimeError:  # the mount is going away
            job = Future()
            job.cancel()
        job.add_done_callback(finished)
        return job

    def _drop(self, work: Work) -> None:
        """Give up work that was not begun; whoever waits for it starts anew."""
        self._settle(work, {})
        for future in work.futures.values():
            future.set_exception(Dropped())

    def _settle(self, work: Work, blocks: dict[int, bytes]) -> None:
        with self._lock:  # a block is in one of the two at any moment
            for number, block in blocks.items():
                self._memory[work.file, number] = block
            for number in work.numbers:
                del self._coming[work.file, number]

    def _from_disk(self, file: ObjectFile, numbers: range) -> dict[int, bytes]:
        blocks: dict[int, bytes] = {}
        for segment in range(numbers.start // RUN, -(-numbers.stop // RUN)):
            first = segment * RUN
            inside = range(max(numbers.start, first) - first, min(numbers.stop - first, RUN))
            parts = self._store.get_segment(self._segment_key(file, segment), inside)
            blocks.update({first + position: part for position, part in parts.items()})
        absent = [number for number in numbers if number not in blocks]
        found = self._store.get_many([self._key(file, number) for number in absent])
        blocks.update(
            {number: data for number, data in zip(absent, found, strict=True) if data is not None}
        )
        return {
            number: data
            for number, data in blocks.items()
            if len(data) == min(BLOCK, file.size - number * BLOCK)
        }

    def _save(self, file: ObjectFile, blocks: dict[int, bytes]) -> None:
        """Keep blocks on the disk: whole segments as one entry, which is 4 MiB and not 32 files."""
        rest = dict(blocks)
        for segment in {number // RUN for number in blocks}:
            last = min((segment + 1) * RUN, -(-file.size // BLOCK))
            numbers = range(segment * RUN, last)
            if len(numbers) > 1 and all(number in blocks for number in numbers):
                parts = [rest.pop(number) for number in numbers]
                self._store.put_segment(self._segment_key(file, segment), parts)
        if rest:
            self._store.put((self._key(file, number), block) for number, block in rest.items())

    def _fetch(self, file: ObjectFile, numbers: range) -> dict[int, bytes]:
        start = numbers.start * BLOCK
        length = min(numbers.stop * BLOCK, file.size) - start
        got = self._leases.read(file.dataset_id, file.uid, start, length)
        if got.total != file.size and not got.ranged:  # a proxy may have answered: once more
            got = self._leases.read(file.dataset_id, file.uid, start, length)
        if got.total != file.size and got.ranged:
            # It was uploaded anew under its uid (section 6.3): what is open has the old one.
            self._index.put_object_size(file.dataset_id, file.uid, got.total, verified=True)
            raise SizeChanged(
                f"File {file.uid} has {got.total} bytes now, not {file.size}; open it again"
            )
        if got.total != file.size or len(got.data) != length:
            raise BadAnswer(
                f"File {file.uid}: the object store sent {len(got.data)} of {length} bytes"
                f" at {start}, of {got.total} in all instead of {file.size}"
            )
        return {
            number: got.data[offset : offset + BLOCK]
            for number, offset in zip(numbers, range(0, length, BLOCK), strict=True)
        }

    def _key(self, file: ObjectFile, number: int) -> str:
        # With the size, so that blocks of an object that was uploaded anew never meet the old.
        return f"{self._prefix(file)}{number}"

    def _segment_key(self, file: ObjectFile, segment: int) -> str:
        return f"{self._prefix(file)}s{segment}"

    def _prefix(self, file: ObjectFile) -> str:
        return f"object/{self._host}/{file.dataset_id}/{file.uid}/{file.size}/{BLOCK}/"

    def _verify(self, dataset_id: str, uid: str) -> int:
        """Learn the size of an object from itself, with its first block."""

        def first_block() -> int:
            got = self._leases.read(dataset_id, uid, 0, BLOCK)
            if not got.ranged:
                known = self._index.object_size(dataset_id, uid)
                stated = known[0] if known else self._leases.lease(dataset_id, uid).size
                if stated not in (None, got.total):  # a proxy may have answered: once more
                    got = self._leases.read(dataset_id, uid, 0, BLOCK)
                if not got.ranged and stated not in (None, got.total):
                    raise BadAnswer(
                        f"File {uid}: {got.total} bytes came instead of {stated}, and not from an"
                        " object store; check the network for a proxy or a sign-in page"
                    )
            if len(got.data) != min(BLOCK, got.total):
                raise BadAnswer(f"File {uid}: the object store sent {len(got.data)} bytes")
            file = ObjectFile(dataset_id, uid, got.total)
            if got.data:
                with self._lock:
                    self._memory[file, 0] = got.data
                self._store.put([(self._key(file, 0), got.data)])
            self._index.put_object_size(dataset_id, uid, got.total, verified=True)
            return got.total

        return self._up.flight.run(f"verify/{dataset_id}/{uid}", first_block)

    def _worth_the_whole_list(self, dataset_id: str) -> bool:
        with self._lock:
            count = self._unknown_sizes.get(dataset_id, 0) + 1
            self._unknown_sizes[dataset_id] = count
            return count >= SIZES_BEFORE_DETAIL and dataset_id not in self._unlisted


def _runs(numbers: Iterable[int]) -> Iterator[range]:
    """Ascending numbers as runs without a gap, none longer than ``RUN``."""
    start = stop = None
    for number in numbers:
        if start is None or stop is None:
            start = stop = number
        elif number != stop or number - start >= RUN:
            yield range(start, stop)
            start = number
        stop = number + 1
    if start is not None and stop is not None:
        yield range(start, stop)
