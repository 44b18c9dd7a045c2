"""Document bodies: fetched many at a time, rendered once, kept with their size.

A look at one document fetches its neighbours with it, so that walking a folder of 10,000 documents
costs 50 calls and not 10,000. However many threads ask for a body, it is fetched once.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from cachetools import LRUCache

from ndicloudfs.cache.catalog import TOO_OLD, Catalog, Upstream
from ndicloudfs.cache.flight import interrupted, wait
from ndicloudfs.cache.index import BodyFacts, DocumentRow, Index
from ndicloudfs.cache.rendering import FileLink, render
from ndicloudfs.cache.store import Store
from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    Interrupted,
    NotFound,
    Refused,
    ServerFault,
)
from ndicloudfs.cloud.values import Document, Fetched

log = logging.getLogger(__name__)

# The first look at a class fetches few, for a quick answer, and learns how large its documents are.
FIRST_BATCH = 100
LARGEST_BATCH = 500  # the server's limit, section 5.8
ANSWER = 3_000_000  # bytes; answers of more than 6 MB presumably fail
URL_SIZE = 600  # bytes that a presigned URL adds to an answer
# Fetched ahead of a reader who walks through a class. Section 8.4: 3 to 6 calls at a time.
BATCHES_AHEAD = 3
# A batch that the server cannot answer is cut down until the one document that is wanted is alone.
_SMALLER = 8
# Not a time-out of ours: the gateway's own (504) comes first, and the reader has waited enough.
_TOO_MUCH = (ServerFault, BadAnswer, Refused)


class HollowBody(BadAnswer):
    """The server sends a document without its content, also when it is asked again."""


class Bodies:
    """The bodies of documents, as bytes of a file."""

    def __init__(self, index: Index, store: Store, catalog: Catalog, upstream: Upstream) -> None:
        self._index = index
        self._store = store
        self._catalog = catalog
        self._host = upstream.cloud.config.host
        self._up = upstream
        self._lock = threading.Lock()
        self._coming: dict[tuple[str, str], Future[_Batch]] = {}
        self._renewing: set[tuple[str, str]] = set()
        # By dataset and class: where the next batch would begin, and bytes of a document.
        self._next: LRUCache[tuple[str, str], str | None] = LRUCache(10_000)
        self._sizes: LRUCache[tuple[str, str], float] = LRUCache(10_000)

    def described(self, dataset_id: str, document_id: str) -> DocumentRow:
        """The document with its size, time and files known. Raises ``NotFound``."""
        row = self._catalog.known_document(dataset_id, document_id)
        if row is None or row.size is None or row.body_at is None:
            self._fetch(dataset_id, document_id)
        else:
            age = self._up.age(row.body_at)
            if age <= self._up.ttl:
                return row
            if age <= max(TOO_OLD, self._up.ttl):
                self._renew(dataset_id, document_id)
                return row
            fetch = partial(self._fetch, dataset_id, document_id)
            if not self._up.try_first(fetch, f"document {document_id}"):
                return row
        row = self._catalog.known_document(dataset_id, document_id)
        if row is None or row.size is None:
            raise _gone(dataset_id, document_id)
        return row

    def fresh(self, row: DocumentRow) -> bool:
        """Whether what ``row`` says of a body is believed as it is, without asking again."""
        return row.body_at is not None and self._up.age(row.body_at) <= self._up.ttl

    def read(self, dataset_id: str, document_id: str) -> bytes:
        """The bytes of a document. Raises ``NotFound``."""
        row = self.described(dataset_id, document_id)
        data = self._store.get(self._key(dataset_id, document_id))
        if data is None or len(data) != row.size:
            return self._fetch(dataset_id, document_id)
        return data

    def files(self, dataset_id: str, document_id: str) -> list[FileLink]:
        """The files that a document names, in its own order. Raises ``NotFound``."""
        self.described(dataset_id, document_id)
        return self._index.files(dataset_id, document_id)

    def describe_class(self, dataset_id: str, class_name: str) -> None:
        """Make size, time and files known of every document of a class."""
        for row in self._catalog.documents(dataset_id, class_name):
            if row.body_at is None or self._up.age(row.body_at) > self._up.ttl:
                try:
                    self.described(dataset_id, row.id)
                except NotFound:  # deleted since it was listed
                    pass
                except HollowBody as error:  # one odd document does not hide the others
                    log.warning("its files are not shown: %s", error)

    def cached(self, dataset_id: str, rows: Sequence[DocumentRow]) -> list[bytes | None]:
        """The bodies that are on the disk, whatever their age, None for others; no call."""
        found = self._store.get_many([self._key(dataset_id, row.id) for row in rows])
        return [
            data if data is not None and len(data) == row.size else None
            for row, data in zip(rows, found, strict=True)
        ]

    def batches(self, dataset_id: str, rows: Sequence[DocumentRow]) -> Iterator[list[str]]:
        """The ids of ``rows``, as many at a time as one answer should hold."""
        remaining = deque(rows)
        while remaining:
            size = self._sizes.get((dataset_id, remaining[0].class_name))
            most = FIRST_BATCH if size is None else max(1, min(int(ANSWER / size), LARGEST_BATCH))
            yield [remaining.popleft().id for _ in range(min(most, len(remaining)))]

    def renew(self, dataset_id: str, ids: list[str]) -> dict[str, bytes]:
        """Fetch bodies now, whatever is known; those that are there, by cloud id.

        Of the others the index knows none any more, or the server sends them without content.
        """
        bodies: dict[str, bytes] = {}
        hollow: set[str] = set()
        while ids:
            batch = self._fetch_batch(dataset_id, ids)  # as much of it as the server can answer
            bodies |= batch.bodies
            hollow |= batch.hollow
            ids = [
                id_
                for id_ in ids
                if id_ not in bodies
                and id_ not in hollow
                and self._catalog.known_document(dataset_id, id_) is not None
            ]
        return bodies

    def _key(self, dataset_id: str, document_id: str) -> str:
        return f"body/{self._host}/{dataset_id}/{document_id}"

    def _renew(self, dataset_id: str, document_id: str) -> None:
        """Fetch a body again in the background, with its neighbours that are as old."""
        if self._up.uplink.down is not None:
            return
        place = (dataset_id, document_id)
        with self._lock:
            if place in self._coming or place in self._renewing:
                return
            self._renewing.add(place)

        def finished() -> None:
            with self._lock:
                self._renewing.discard(place)

        self._in_background(dataset_id, document_id, 0, finished)

    def _in_background(
        self, dataset_id: str, document_id: str, ahead: int, finished: Callable[[], None]
    ) -> None:
        def run() -> None:
            try:
                row = self._catalog.known_document(dataset_id, document_id)
                # A reader may be faster than the server: what was queued may have come meanwhile.
                if row is None or row.body_at is None or self._up.age(row.body_at) > self._up.ttl:
                    self._fetch(dataset_id, document_id, ahead)
            except CloudError as error:
                log.info("document %s was not fetched in advance: %s", document_id, error)
            finally:
                finished()

        try:
            self._up.pool.submit(run)
        except RuntimeError:  # the pool is closed: the mount is going away
            finished()

    def _fetch(self, dataset_id: str, document_id: str, ahead: int | None = None) -> bytes:
        """Fetch a body and the bodies around it, or wait for the thread that is at it.

        ``ahead``: how many more batches to fetch at the same time; None leaves it to how the
        reader goes about it.
        """
        with self._lock:
            coming = self._coming.get((dataset_id, document_id))
            if coming is None:
                mine: Future[_Batch] = Future()
                batch, next_id, walking = self._batch(dataset_id, document_id)
                self._coming.update({(dataset_id, id_): mine for id_ in batch})
        if coming is None and next_id is not None:
            more = (BATCHES_AHEAD if walking else 0) if ahead is None else ahead
            if more:
                self._in_background(dataset_id, next_id, more - 1, lambda: None)
        if coming is not None:
            try:
                got = wait(coming, self._up.patience, f"Document {document_id}")
            except Interrupted:
                interrupted()
                return self._fetch(dataset_id, document_id, ahead)  # it was the other one who was
        else:
            try:
                got = self._fetch_batch(dataset_id, batch)
            except BaseException as error:
                self._settle(dataset_id, batch)
                mine.set_exception(error)
                raise
            self._settle(dataset_id, batch)
            mine.set_result(got)
        if document_id in got.bodies:
            return got.bodies[document_id]
        if document_id in got.hollow:
            raise HollowBody(
                f"The server sends document {document_id} without its content; try again later"
            )
        if coming is not None:  # the other thread's batch was cut down: it is ours to fetch now
            return self._fetch(dataset_id, document_id)
        raise _gone(dataset_id, document_id)

    def _settle(self, dataset_id: str, batch: Iterable[str]) -> None:
        with self._lock:
            for id_ in batch:
                del self._coming[dataset_id, id_]

    def _batch(self, dataset_id: str, document_id: str) -> tuple[list[str], str | None, bool]:
        """The document, then those that follow it and whose bodies are as unknown as its own.

        Also the document behind them, and whether this one is where the last batch had ended.
        """
        row = self._catalog.known_document(dataset_id, document_id)
        batch = [document_id]
        if row is None:
            return batch, None, False
        place = (dataset_id, row.class_name)
        size = self._sizes.get(place)
        most = FIRST_BATCH if size is None else max(1, min(int(ANSWER / size), LARGEST_BATCH))
        following = self._catalog.neighbours(dataset_id, row, most)
        for other in following[: most - 1]:
            unknown = other.body_at is None
            old = other.body_at is not None and self._up.age(other.body_at) > self._up.ttl
            wanted = unknown or (old and row.body_at is not None)
            if wanted and (dataset_id, other.id) not in self._coming:
                batch.append(other.id)
        next_id = following[-1].id if len(following) == most else None
        walking = self._next.get(place) == document_id
        self._next[place] = next_id
        return batch, next_id, walking

    def _fetch_batch(self, dataset_id: str, batch: list[str]) -> _Batch:
        """Fetch a batch; where the server cannot answer, a smaller one with the same head."""
        while True:
            try:
                return self._fetch_and_keep(dataset_id, batch)
            except _TOO_MUCH as error:
                if len(batch) == 1 or self._up.uplink.down is not None:
                    raise
                log.info("%d documents at once failed, asking for fewer: %s", len(batch), error)
                batch = batch[: max(1, len(batch) // _SMALLER)]

    def _fetch_and_keep(self, dataset_id: str, batch: list[str]) -> _Batch:
        tick = self._index.tick()
        fetched = self._ask(dataset_id, batch)
        found, hollow = list(fetched.documents), set(fetched.hollow)
        missing = _missing(batch, fetched)
        if missing:
            # Bulk-fetch leaves out without a word what it does not have, and at times what it
            # has (sections 5.8 and 12, #916): only twice missing is gone.
            later = self._index.tick()
            again = self._ask(dataset_id, missing)
            found += again.documents
            hollow |= set(again.hollow)
            self._catalog.forget_documents(dataset_id, _missing(missing, again), later)
        return _Batch(self._keep(dataset_id, found, tick), hollow)

    def _ask(self, dataset_id: str, ids: list[str]) -> Fetched:
        return self._up.call(lambda: self._up.cloud.documents.fetch(dataset_id, ids))

    def _keep(self, dataset_id: str, found: Iterable[Document], tick: int) -> dict[str, bytes]:
        bodies, facts = {}, []
        for document in found:
            rendered = render(document, dataset_id)
            bodies[document.summary.id] = rendered.data
            facts.append(
                BodyFacts(document.summary, len(rendered.data), rendered.mtime_ns, rendered.files)
            )
            weight = len(rendered.data) + URL_SIZE * len(rendered.files)
            place = (dataset_id, document.summary.class_name)
            with self._lock:
                self._sizes[place] = 0.9 * self._sizes.get(place, weight) + 0.1 * weight
        self._store.put((self._key(dataset_id, id_), data) for id_, data in bodies.items())
        resized = self._index.put_bodies(dataset_id, facts, tick, self._up.clock())
        self._up.changes.tell(dataset_id, resized)
        return bodies


@dataclass(frozen=True, slots=True)
class _Batch:
    """What a batch brought: bodies by cloud id, and the ids that came hollow."""

    bodies: dict[str, bytes]
    hollow: set[str]


def _missing(asked: list[str], fetched: Fetched) -> list[str]:
    """Those of ``asked`` that the server said nothing about."""
    came = {document.summary.id for document in fetched.documents}.union(fetched.hollow)
    return [id_ for id_ in asked if id_ not in came]


def _gone(dataset_id: str, document_id: str) -> NotFound:
    return NotFound(f"Document {document_id} is not in dataset {dataset_id} any more")
