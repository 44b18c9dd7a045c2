"""Objects, the bytes of files: their sizes, presigned URLs and blocks.

An object never changes under its uid, so a block is kept for ever once it was fetched. URLs are
leases: kept until shortly before they expire, renewed once when the object store says they have.
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import Future
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

from cachetools import LRUCache, TLRUCache, TTLCache

from ndicloudfs.cache.catalog import Catalog, Upstream
from ndicloudfs.cache.flight import wait
from ndicloudfs.cache.index import Index
from ndicloudfs.cache.store import Store
from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    NotFound,
    ObjectMissing,
    SizeChanged,
    Unreachable,
    UrlExpired,
)
from ndicloudfs.cloud.values import FileDetail, ObjectRange

log = logging.getLogger(__name__)

KIB = 1 << 10
MIB = 1 << 20
# A random read of 64 KiB touches 1.5 blocks on average: 3 bytes fetched for each byte asked.
BLOCK = 128 * KIB
WINDOW_START = 512 * KIB  # ahead of a reader that turned out to be sequential
WINDOW_LIMIT = 8 * MIB
MEMORY = 64 * MIB  # blocks at hand, for all files together
URL_LIFE_UNKNOWN = 240.0  # s; section 6.5: never cache a URL beyond minutes
URL_LIFE_LIMIT = 600.0
URL_MARGIN = 30.0
MISSING_FOR = 10.0  # s; files become visible 3-10 s after their upload (section 8.5)
# The sizes of a whole dataset come in one call of megabytes: worth it from the third file on.
SIZES_BEFORE_DETAIL = 3


class Objects:
    """Objects of datasets, by uid."""

    def __init__(self, index: Index, store: Store, catalog: Catalog, upstream: Upstream) -> None:
        self._index = index
        self._store = store
        self._catalog = catalog
        self._up = upstream
        self._lock = threading.Lock()
        self._leases: TLRUCache[tuple[str, str], FileDetail] = TLRUCache(
            10_000, ttu=_lease_end, timer=upstream.clock
        )
        self._missing: TTLCache[tuple[str, str], str] = TTLCache(
            100_000, MISSING_FOR, timer=upstream.clock
        )
        self._noted_missing: LRUCache[tuple[str, str], bool] = LRUCache(100_000)
        self._unknown_sizes: dict[str, int] = {}
        self._unlisted: TTLCache[str, bool] = TTLCache(1000, upstream.ttl, timer=upstream.clock)
        self._memory: LRUCache[tuple[str, str, int], bytes] = LRUCache(MEMORY, getsizeof=len)
        self._coming: dict[tuple[str, str, int], Future[bytes]] = {}

    def size(self, dataset_id: str, uid: str) -> int:
        """The size of an object in bytes. Raises ``ObjectMissing`` where there is no object."""
        self._raise_if_missing(dataset_id, uid)
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
            stated = self._lease(dataset_id, uid).size
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
        self._raise_if_missing(dataset_id, uid)
        known = self._index.object_size(dataset_id, uid)
        if known is not None and known[1]:
            return ObjectReader(self, dataset_id, uid, known[0])
        size = self._verify(dataset_id, uid)
        if known is not None and known[0] != size:
            raise SizeChanged(f"File {uid} has {size} bytes, not {known[0]} as listed; open again")
        return ObjectReader(self, dataset_id, uid, size)

    def block(self, dataset_id: str, uid: str, size: int, number: int) -> bytes | None:
        """A block that is at hand, from memory or disk; never a call."""
        place = (dataset_id, uid, number)
        with self._lock:
            data: bytes | None = self._memory.get(place)
        if data is None:
            data = self._store.get(self._key(place, size))
            if data is not None and len(data) != min(BLOCK, size - number * BLOCK):
                data = None
            if data is not None:
                self._remember(place, data)
        return data

    def absent(self, dataset_id: str, uid: str, size: int, numbers: range) -> range:
        """The blocks from ``numbers.start`` up to the first of ``numbers`` that is at hand."""
        with self._lock:
            places = [(dataset_id, uid, number) for number in numbers]
            in_memory = next((i for i, p in enumerate(places) if p in self._memory), len(places))
        on_disk = self._store.first_present(
            [self._key(place, size) for place in places[:in_memory]]
        )
        return range(numbers.start, numbers.start + on_disk)

    def fetch(self, dataset_id: str, uid: str, size: int, numbers: range) -> dict[int, bytes]:
        """Fetch the first of ``numbers``, none of which was at hand, and those behind it.

        One range, up to the first block that another thread is fetching; where that is the very
        first, it is waited for. Answers with the first block and any that came with it.
        """
        with self._lock:
            # A block leaves _coming after it is in memory: here it is in one of the two.
            block: bytes | None = self._memory.get((dataset_id, uid, numbers.start))
            if block is not None:
                return {numbers.start: block}
            coming = self._coming.get((dataset_id, uid, numbers.start))
            mine = numbers
            for number in numbers:
                place = (dataset_id, uid, number)
                if place in self._coming or place in self._memory:
                    mine = range(numbers.start, number)
                    break
            futures: dict[int, Future[bytes]] = {number: Future() for number in mine}
            self._coming.update({(dataset_id, uid, n): f for n, f in futures.items()})
        if coming is not None:
            return {numbers.start: wait(coming, self._up.patience, f"A block of file {uid}")}
        try:
            blocks = self._fetch_range(dataset_id, uid, size, mine)
        except BaseException as error:
            self._settle(dataset_id, uid, futures)
            for future in futures.values():
                future.set_exception(error)
            raise
        self._settle(dataset_id, uid, futures)
        for number, future in futures.items():
            future.set_result(blocks[number])
        return blocks

    def _settle(self, dataset_id: str, uid: str, futures: dict[int, Future[bytes]]) -> None:
        with self._lock:
            for number in futures:
                del self._coming[dataset_id, uid, number]

    def _fetch_range(
        self, dataset_id: str, uid: str, size: int, numbers: range
    ) -> dict[int, bytes]:
        start = numbers.start * BLOCK
        length = min(numbers.stop * BLOCK, size) - start
        got = self._read(dataset_id, uid, start, length)
        if got.total != size and not got.ranged:  # a proxy may have answered: once more
            got = self._read(dataset_id, uid, start, length)
        if got.total != size and got.ranged:
            # It was uploaded anew under its uid (section 6.3): what is open has the old one.
            self._index.put_object_size(dataset_id, uid, got.total, verified=True)
            with self._lock:
                for place in [p for p in self._memory if p[:2] == (dataset_id, uid)]:
                    del self._memory[place]
            raise SizeChanged(f"File {uid} has {got.total} bytes now, not {size}; open it again")
        if got.total != size or len(got.data) != length:
            raise BadAnswer(
                f"File {uid}: the object store sent {len(got.data)} of {length} bytes"
                f" at {start}, of {got.total} in all instead of {size}"
            )
        return self._keep_blocks(dataset_id, uid, size, numbers.start, got.data)

    def _keep_blocks(
        self, dataset_id: str, uid: str, size: int, first: int, data: bytes
    ) -> dict[int, bytes]:
        blocks = {
            first + offset // BLOCK: data[offset : offset + BLOCK]
            for offset in range(0, len(data), BLOCK)
        }
        for number, block in blocks.items():
            self._remember((dataset_id, uid, number), block)
        self._store.put(
            (self._key((dataset_id, uid, number), size), block) for number, block in blocks.items()
        )
        return blocks

    def _remember(self, place: tuple[str, str, int], data: bytes) -> None:
        with self._lock:
            self._memory[place] = data

    def _key(self, place: tuple[str, str, int], size: int) -> str:
        # With the size, so that blocks of an object that was uploaded anew never meet the old.
        dataset_id, uid, number = place
        return f"object/{self._up.cloud.config.host}/{dataset_id}/{uid}/{size}/{BLOCK}/{number}"

    # Sizes and URLs

    def _verify(self, dataset_id: str, uid: str) -> int:
        """Learn the size of an object from itself, with its first block."""

        def first_block() -> int:
            got = self._read(dataset_id, uid, 0, BLOCK)
            if not got.ranged:
                known = self._index.object_size(dataset_id, uid)
                stated = known[0] if known else self._lease(dataset_id, uid).size
                if stated not in (None, got.total):  # a proxy may have answered: once more
                    got = self._read(dataset_id, uid, 0, BLOCK)
                if not got.ranged and stated not in (None, got.total):
                    raise BadAnswer(
                        f"File {uid}: {got.total} bytes came instead of {stated}, and not from an"
                        " object store; check the network for a proxy or a sign-in page"
                    )
            if len(got.data) != min(BLOCK, got.total):
                raise BadAnswer(f"File {uid}: the object store sent {len(got.data)} bytes")
            self._keep_blocks(dataset_id, uid, got.total, 0, got.data)
            self._index.put_object_size(dataset_id, uid, got.total, verified=True)
            return got.total

        return self._up.flight.run(f"verify/{dataset_id}/{uid}", first_block)

    def _worth_the_whole_list(self, dataset_id: str) -> bool:
        with self._lock:
            count = self._unknown_sizes.get(dataset_id, 0) + 1
            self._unknown_sizes[dataset_id] = count
            return count >= SIZES_BEFORE_DETAIL and dataset_id not in self._unlisted

    def _read(self, dataset_id: str, uid: str, start: int, length: int) -> ObjectRange:
        """Read a range; a URL that has expired is renewed once (section 6.5)."""
        lease = self._lease(dataset_id, uid)
        try:
            return self._read_url(dataset_id, uid, lease, start, length)
        except UrlExpired:
            with self._lock:  # unless another thread has renewed it meanwhile
                if self._leases.get((dataset_id, uid)) is lease:
                    del self._leases[dataset_id, uid]
            lease = self._lease(dataset_id, uid)
        try:
            return self._read_url(dataset_id, uid, lease, start, length)
        except UrlExpired:
            if (self._index.object_size(dataset_id, uid) or (0, False))[1]:
                raise
            # A store that may not be listed says 403 for an object that is not there (5.9).
            raise self._note_missing(dataset_id, uid) from None

    def _read_url(
        self, dataset_id: str, uid: str, lease: FileDetail, start: int, length: int
    ) -> ObjectRange:
        url = lease.url
        if url is None:
            raise self._note_missing(dataset_id, uid)
        try:
            return self._up.object_uplink.call(
                lambda: self._up.cloud.objects.read(url, start, length)
            )
        except ObjectMissing:
            raise self._note_missing(dataset_id, uid) from None

    def _lease(self, dataset_id: str, uid: str) -> FileDetail:
        place = (dataset_id, uid)

        def fetch() -> FileDetail:
            with self._lock:
                lease: FileDetail | None = self._leases.get(place)
            if lease is not None:
                return lease
            try:
                detail = self._up.call(lambda: self._up.cloud.files.detail(dataset_id, uid))
            except NotFound:
                raise self._note_missing(dataset_id, uid) from None
            if detail.url is None:
                raise self._note_missing(dataset_id, uid)
            with self._lock:
                self._leases[place] = detail
            return detail

        return self._up.flight.run(("lease", place), fetch)

    def _note_missing(self, dataset_id: str, uid: str) -> ObjectMissing:
        message = f"File {uid} of dataset {dataset_id} has no bytes on the server"
        with self._lock:
            self._missing[dataset_id, uid] = message
        self._warn_once(
            (dataset_id, uid), f"{message}: it was never uploaded, or has not arrived yet"
        )
        return ObjectMissing(message)

    def nameless(self, dataset_id: str, document_id: str, name: str) -> ObjectMissing:
        """The error, noted once, of a file that its document names without a uid."""
        message = f"Document {document_id} of dataset {dataset_id} names {name!r} without a uid"
        self._warn_once((document_id, name), f"{message}: nobody can tell where its bytes are")
        return ObjectMissing(message)

    def _warn_once(self, key: tuple[str, str], line: str) -> None:
        with self._lock:
            noted = key in self._noted_missing
            self._noted_missing[key] = True
        if not noted:
            log.warning("%s", line)

    def _raise_if_missing(self, dataset_id: str, uid: str) -> None:
        with self._lock:
            message: str | None = self._missing.get((dataset_id, uid))
        if message is not None:
            raise ObjectMissing(message)


class ObjectReader:
    """One open object: reads any range, and ahead of a reader that is sequential."""

    def __init__(self, objects: Objects, dataset_id: str, uid: str, size: int) -> None:
        self._objects = objects
        self._dataset_id = dataset_id
        self._uid = uid
        self.size = size
        self._lock = threading.Lock()
        self._next = 0  # where a sequential reader would go on
        self._window = 0  # bytes to fetch ahead of it

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end of the file.

        Raises ``CloudError`` when they cannot be had; never answers with other bytes.
        """
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        ahead = self._ahead(offset, end)
        first, last = offset // BLOCK, (end - 1) // BLOCK
        parts: list[bytes] = []
        number = first
        while number <= last:
            block = self._objects.block(self._dataset_id, self._uid, self.size, number)
            if block is not None:
                parts.append(block)
                number += 1
                continue
            gap = self._objects.absent(self._dataset_id, self._uid, self.size, range(number, ahead))
            # Another thread may have brought the block meanwhile: then it is read again, once.
            fetched = self._objects.fetch(
                self._dataset_id, self._uid, self.size, gap or range(number, number + 1)
            )
            while number <= last and number in fetched:
                parts.append(fetched[number])
                number += 1
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        skip = offset - first * BLOCK
        return data[skip : skip + end - offset]

    def _ahead(self, offset: int, end: int) -> int:
        """The block to fetch up to: further while the reader is sequential."""
        with self._lock:
            if offset == self._next and offset > 0:
                self._window = min(max(2 * self._window, WINDOW_START), WINDOW_LIMIT)
            elif not self._next - WINDOW_START <= offset <= self._next + WINDOW_START:
                # The kernel's own requests arrive slightly out of order; a seek goes further.
                self._window = 0
            self._next = max(end, self._next) if self._window else end
            return -(-min(self.size, end + self._window) // BLOCK)


def _lease_end(place: object, lease: FileDetail, now: float) -> float:
    """When to stop using a presigned URL (epoch s): shortly before it says that it expires."""
    del place
    query = parse_qs(urlsplit(lease.url or "").query)
    try:
        life = float(query["X-Amz-Expires"][0])
        signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ")
        end = signed.replace(tzinfo=timezone.utc).timestamp() + life - URL_MARGIN
    except (KeyError, ValueError):
        end = now + URL_LIFE_UNKNOWN
    return min(end, now + URL_LIFE_LIMIT)
