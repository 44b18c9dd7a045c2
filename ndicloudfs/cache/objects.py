"""Objects, the bytes of files: their sizes, and opening them.

An object never changes under its uid, so a block is kept for ever once it was fetched. This is the
one place that puts together what a reader needs: ``memory`` for what is at hand or coming,
``fetching`` to bring it, ``blocks`` for what is on the disk.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from cachetools import TTLCache

from ndicloudfs.cache.blockfile import BLOCK, BLOCKS
from ndicloudfs.cache.blocks import Blocks
from ndicloudfs.cache.catalog import Catalog
from ndicloudfs.cache.fetching import MIB, Fetcher
from ndicloudfs.cache.index import Index
from ndicloudfs.cache.leases import Leases
from ndicloudfs.cache.memory import Memory, ObjectFile
from ndicloudfs.cache.reader import ObjectReader
from ndicloudfs.cache.store import Store
from ndicloudfs.cache.upstream import Upstream
from ndicloudfs.cloud.errors import BadAnswer, CloudError, ObjectMissing, SizeChanged, Unreachable

log = logging.getLogger(__name__)

# Bytes of all blocks at hand and on their way: what is fetched ahead at the most, and 32 MiB that
# readers are at (scripts/bench memory).
MEMORY = 160 * MIB
# The sizes of a whole dataset come in one call of megabytes: worth it from the third file on.
SIZES_BEFORE_DETAIL = 3
# What comes when a file is opened, as much as the kernel asks for first: 512 KiB take 6 ms at the
# 80 MB/s of a connection, a second range takes 30.
FIRST = 4 * BLOCK


class Objects:
    """Objects of datasets, by uid."""

    def __init__(
        self, index: Index, store: Store, catalog: Catalog, leases: Leases, upstream: Upstream
    ) -> None:
        self._index = index
        self._catalog = catalog
        self._up = upstream
        self._leases = leases
        self._memory = Memory(MEMORY)
        self._fetcher = Fetcher(self._memory, Blocks(store), self._leases, index, upstream)
        self._lock = threading.Lock()
        self._unknown_sizes: dict[str, int] = {}
        self._unlisted: TTLCache[str, bool] = TTLCache(1000, upstream.ttl, timer=upstream.clock)

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
        known = self._index.object_size(dataset_id, uid)
        file = self.file(dataset_id, uid)
        if known is not None and known[0] != file.size:
            raise SizeChanged(
                f"File {uid} has {file.size} bytes, not {known[0]} as listed; open it again"
            )
        shelf = self._memory.open(file)
        return ObjectReader(self._memory, self._fetcher, shelf)

    def file(self, dataset_id: str, uid: str) -> ObjectFile:
        """An object with its size made certain. Raises ``ObjectMissing``."""
        self._leases.raise_if_missing(dataset_id, uid)
        known = self._index.object_size(dataset_id, uid)
        size = known[0] if known and known[1] else self._verify(dataset_id, uid)
        return ObjectFile(dataset_id, uid, size)

    def keep(self, file: ObjectFile, part: int) -> tuple[int, bool]:
        """Bring a part of an object to the disk: its size in bytes, and whether it was there.

        A part is ``BLOCKS`` blocks. Raises CloudError, also where the disk does not take it.
        """
        numbers = range(part * BLOCKS, min((part + 1) * BLOCKS, -(-file.size // BLOCK)))
        size = min(numbers.stop * BLOCK, file.size) - numbers.start * BLOCK
        return size, self._fetcher.keep(file, numbers)

    def stored(self, dataset_id: str, uid: str, size: int, path: Path) -> None:
        """The server has this object of ``size`` bytes; those at ``path`` need not be fetched."""
        self._leases.found(dataset_id, uid)
        self._index.put_object_size(dataset_id, uid, size, verified=True)
        self._fetcher.put(ObjectFile(dataset_id, uid, size), path)

    def nameless(self, dataset_id: str, document_id: str, name: str) -> ObjectMissing:
        """The error, noted once, of a file that its document names without a uid."""
        return self._leases.nameless(dataset_id, document_id, name)

    def close(self) -> None:
        """Wait for what is being fetched ahead and kept."""
        self._fetcher.close()

    def _verify(self, dataset_id: str, uid: str) -> int:
        """Learn the size of an object from itself, with its first blocks."""

        def first_blocks() -> int:
            known = self._index.object_size(dataset_id, uid)
            stated = known[0] if known else self._leases.stated_size(dataset_id, uid)
            got = self._leases.read(dataset_id, uid, 0, FIRST)
            if not got.ranged and stated not in (None, got.total):
                got = self._leases.read(dataset_id, uid, 0, FIRST)  # a proxy may have answered
                if not got.ranged and stated not in (None, got.total):
                    raise BadAnswer(
                        f"File {uid}: {got.total} bytes came instead of {stated}, and not from an"
                        " object store; check the network for a proxy or a sign-in page"
                    )
            if len(got.data) != min(FIRST, got.total):
                raise BadAnswer(
                    f"File {uid}: the object store sent {len(got.data)} bytes"
                    f" of {min(FIRST, got.total)}; read it again"
                )
            self._fetcher.put_first(ObjectFile(dataset_id, uid, got.total), got.data)
            self._index.put_object_size(dataset_id, uid, got.total, verified=True)
            return got.total

        return self._up.flight.run(f"verify/{dataset_id}/{uid}", first_blocks)

    def _worth_the_whole_list(self, dataset_id: str) -> bool:
        with self._lock:
            count = self._unknown_sizes.get(dataset_id, 0) + 1
            self._unknown_sizes[dataset_id] = count
            return count >= SIZES_BEFORE_DETAIL and dataset_id not in self._unlisted
