"""Bodies that are on their way: which are fetched together, and which ahead of a reader.

A document is fetched with those that follow it in its class. Who goes on where a batch has ended
walks through the class in order; who keeps missing walks through it in some order of their own, as
`grep -r` does in a large directory. Both find batches fetched ahead of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

from cachetools import LRUCache

from ndicloudfs.cache.catalog import Catalog
from ndicloudfs.cache.index import DocumentRow
from ndicloudfs.cache.upstream import Upstream

# The first look at a class fetches few, for a quick answer, and learns how large its documents are.
FIRST_BATCH = 100
LARGEST_BATCH = 500  # the server's limit, section 5.8
ANSWER_BYTES = 3_000_000  # answers of more than 6 MB presumably fail
ANSWER_SECONDS = 10.0  # the gateway gives up after 29
# Calls at a time, section 8.4: 3 to 6 are in use. With them `ls -l` of 10,000 documents that take
# the server 1 ms each is bound by this machine (scripts/bench class).
BATCHES_AHEAD = 5
_MISSES_OF_A_WALK = 3  # two looks are two looks
_FORGET_MISSES = 60.0  # s
_WALKS_KEPT = 1000

Place: TypeAlias = tuple[str, str]  # dataset id, and cloud id or class name


@dataclass(frozen=True, slots=True)
class Brought:
    """What a batch brought: bodies by cloud id, and the ids that came hollow."""

    bodies: dict[str, bytes]
    hollow: set[str]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Documents of a dataset that one call fetches; the first is the one that was missed."""

    dataset_id: str
    ids: list[str]
    brought: Future[Brought]
    walk: _Walk | None


@dataclass(slots=True, eq=False)
class _Walk:
    """How a class is gone through."""

    place: Place
    next: DocumentRow | None = None  # where the next batch begins
    renewing: bool = False  # bodies that are known and old are wanted, too
    in_order: bool = False
    misses: int = 0
    missed_at: float = 0.0
    unfinished: int = 0  # batches
    unvisited: set[str] = field(default_factory=set)  # their first documents


@dataclass(slots=True)
class _Weight:
    """What documents of a class cost, as a moving average: bytes and seconds each."""

    size: float
    seconds: float = 0.0


class Claims:
    """Each body is fetched by one thread at a time, which has claimed it."""

    def __init__(self, catalog: Catalog, upstream: Upstream) -> None:
        self._catalog = catalog
        self._up = upstream
        self._lock = threading.Lock()
        self._coming: dict[Place, Batch] = {}
        self._heads: dict[Place, _Walk] = {}
        self._walks: LRUCache[Place, _Walk] = LRUCache(_WALKS_KEPT)
        self._weights: LRUCache[Place, _Weight] = LRUCache(10 * _WALKS_KEPT)

    def claim(self, dataset_id: str, document_id: str) -> tuple[Batch, bool]:
        """The batch that brings a document, and whether the caller has to fetch it."""
        row = self._catalog.known_document(dataset_id, document_id)
        with self._lock:
            batch = self._coming.get((dataset_id, document_id))
            if batch is not None:
                return batch, False
            walk = None if row is None else self._missed(dataset_id, row)
            return self._take(dataset_id, document_id, row, walk), True

    def is_coming(self, dataset_id: str, document_id: str) -> bool:
        """Whether a document is on its way."""
        return (dataset_id, document_id) in self._coming

    def ahead(self, batch: Batch) -> Iterator[Batch]:
        """Batches to fetch in advance, now that the caller fetches ``batch``."""
        walk = batch.walk
        if walk is None:
            return
        if walk.in_order:
            yield from self._take_ahead(walk, BATCHES_AHEAD)
        elif walk.misses >= _MISSES_OF_A_WALK:
            yield from self._take_ahead(walk, 1 << (walk.misses - _MISSES_OF_A_WALK))

    def visited(self, dataset_id: str, document_id: str) -> Iterator[Batch]:
        """Batches to fetch in advance, now that somebody has come as far as this document."""
        walk = self._heads.get((dataset_id, document_id))
        if walk is None:
            return iter(())
        with self._lock:
            self._heads.pop((dataset_id, document_id), None)
            walk.unvisited.discard(document_id)
        return self._take_ahead(walk, BATCHES_AHEAD)

    def settle(self, batch: Batch, result: Brought | BaseException) -> None:
        """Tell everybody who waits for ``batch``; what it did not bring may be claimed again."""
        with self._lock:
            for id_ in batch.ids:
                del self._coming[batch.dataset_id, id_]
            if batch.walk is not None:
                batch.walk.unfinished -= 1
        if isinstance(result, Brought):
            batch.brought.set_result(result)
        else:
            batch.brought.set_exception(result)

    def weigh(self, dataset_id: str, class_name: str, size: float, seconds: float) -> None:
        """Learn what a document has cost: bytes of an answer, and seconds."""
        with self._lock:
            weight = self._weights.setdefault((dataset_id, class_name), _Weight(size, seconds))
            weight.size = 0.9 * weight.size + 0.1 * size
            weight.seconds = 0.9 * weight.seconds + 0.1 * seconds

    def most(self, dataset_id: str, class_name: str) -> int:
        """How many documents of a class one answer should hold."""
        weight = self._weights.get((dataset_id, class_name))
        if weight is None:
            return FIRST_BATCH
        by_time = ANSWER_SECONDS / weight.seconds if weight.seconds else LARGEST_BATCH
        return max(1, min(int(ANSWER_BYTES / weight.size), int(by_time), LARGEST_BATCH))

    def _missed(self, dataset_id: str, row: DocumentRow) -> _Walk:
        place = (dataset_id, row.class_name)
        walk = self._walks.get(place)
        if walk is None:
            walk = self._walks[place] = _Walk(place)
        now = time.monotonic()
        if now - walk.missed_at > _FORGET_MISSES:
            walk.misses = 0
        walk.missed_at = now
        for id_ in walk.unvisited:  # they failed, or the reader has turned elsewhere
            self._heads.pop((dataset_id, id_), None)
        walk.unvisited.clear()
        walk.misses += 1
        walk.in_order = walk.next is not None and walk.next.id == row.id
        walk.renewing = row.body_at is not None
        return walk

    def _take_ahead(self, walk: _Walk, most: int) -> Iterator[Batch]:
        """Claim batches that the walk comes to, ``most`` at a time and no more than are allowed."""
        while True:
            with self._lock:
                busy = len(walk.unvisited) if walk.in_order else walk.unfinished
                row = walk.next
                if row is None or busy >= min(most, BATCHES_AHEAD):
                    return
                if (walk.place[0], row.id) in self._coming:
                    walk.next = None
                    return
                batch = self._take(walk.place[0], row.id, row, walk)
                walk.unvisited.add(row.id)
                self._heads[walk.place[0], row.id] = walk
            yield batch

    def _take(
        self, dataset_id: str, first_id: str, row: DocumentRow | None, walk: _Walk | None
    ) -> Batch:
        """Claim a document and those behind it whose bodies are as unknown as its own."""
        ids = [first_id]
        if row is not None and walk is not None:
            most = self.most(dataset_id, row.class_name)
            wanted = self._catalog.bodies_wanted(
                dataset_id, row, most, old=walk.renewing, around=not walk.in_order
            )
            free = [other for other in wanted if (dataset_id, other.id) not in self._coming]
            ids += [other.id for other in free[: most - 1]]
            walk.next = free[most - 1] if len(free) >= most else None
            walk.unfinished += 1
        batch = Batch(dataset_id, ids, Future(), walk)
        self._coming.update({(dataset_id, id_): batch for id_ in ids})
        return batch
