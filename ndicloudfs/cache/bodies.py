"""Document bodies: fetched many at a time, rendered once, kept with their size.

A look at one document fetches its neighbours with it, so that walking a folder of 10,000 documents
costs 50 calls and not 10,000. However many threads ask for a body, it is fetched once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b

from cachetools import LRUCache

from ndicloudfs.cache.catalog import Catalog
from ndicloudfs.cache.claims import BATCHES_AHEAD, Batch, Brought, Claims
from ndicloudfs.cache.flight import interrupted, wait
from ndicloudfs.cache.index import BodyFacts, DocumentRow, Index
from ndicloudfs.cache.leases import Leases
from ndicloudfs.cache.rendering import FileLink, presigned_urls, render
from ndicloudfs.cache.store import Store
from ndicloudfs.cache.upstream import TOO_OLD, Upstream
from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    Interrupted,
    NotFound,
    Refused,
    ServerFault,
    Unreachable,
)
from ndicloudfs.cloud.values import Document, Fetched

log = logging.getLogger(__name__)

# A reader who has listed a class often reads it next: no way to the disk for each document.
_RECENT_BYTES = 32 << 20
_RECENT_OVERHEAD = 500  # bytes of an entry beside its data
URL_SIZE = 600  # bytes that a presigned URL adds to an answer
# A batch that the server cannot answer is cut down until the one document that is wanted is alone.
_SMALLER = 8
# Not a time-out of ours: the gateway's own (504) comes first, and the reader has waited enough.
_TOO_MUCH = (ServerFault, BadAnswer, Refused)


class HollowBody(BadAnswer):
    """The server sends a document without its content, also when it is asked again."""


class Bodies:
    """The bodies of documents, as bytes of a file."""

    def __init__(
        self, index: Index, store: Store, catalog: Catalog, leases: Leases, upstream: Upstream
    ) -> None:
        self._index = index
        self._store = store
        self._catalog = catalog
        self._leases = leases
        self._host = upstream.cloud.config.host
        self._up = upstream
        self._claims = Claims(catalog, upstream)
        self._recent: LRUCache[tuple[str, str], _Recent] = LRUCache(_RECENT_BYTES, _size)
        self._lock = threading.Lock()
        self._keeping = threading.Lock()
        self._renewing: set[tuple[str, str]] = set()
        self._ahead = ThreadPoolExecutor(BATCHES_AHEAD, thread_name_prefix="ndi-bodies")

    def close(self) -> None:
        """Fetch nothing more in advance."""
        self._ahead.shutdown(wait=True, cancel_futures=True)

    def described(self, dataset_id: str, document_id: str) -> DocumentRow:
        """The document with its size, time and files known. Raises ``NotFound``."""
        self._fetch_ahead(self._claims.visited(dataset_id, document_id))
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
        fetched_at = row.body_at
        return fetched_at is not None and self._up.believes(fetched_at)

    def read(self, dataset_id: str, document_id: str) -> bytes:
        """The bytes of a document. Raises ``NotFound``."""
        return self.read_known(dataset_id, self.described(dataset_id, document_id))

    def read_known(self, dataset_id: str, row: DocumentRow) -> bytes:
        """The bytes of a document that is described. Raises ``NotFound``."""
        with self._lock:
            recent = self._recent.get((dataset_id, row.id))
        if recent is not None and recent.digest == row.digest:
            return recent.data
        data = self._store.get(self._key(dataset_id, row.id))
        if data is None or _digest(data) != row.digest:
            return self._fetch(dataset_id, row.id)
        self._remember(dataset_id, row.id, data)
        return data

    def files(self, dataset_id: str, document_id: str) -> list[FileLink]:
        """The files that a document names, in its own order. Raises ``NotFound``."""
        self.described(dataset_id, document_id)
        return self._index.files(dataset_id, document_id)

    def describe_class(self, dataset_id: str, class_name: str) -> None:
        """Make size, time and files known of every document of a class."""
        for row in self._catalog.documents(dataset_id, class_name):
            if not self.fresh(row):
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
            data if data is not None and _digest(data) == row.digest else None
            for row, data in zip(rows, found, strict=True)
        ]

    def batches(self, dataset_id: str, rows: Sequence[DocumentRow]) -> Iterator[list[str]]:
        """The ids of ``rows``, as many at a time as one answer should hold."""
        remaining = deque(rows)
        while remaining:
            most = self._claims.most(dataset_id, remaining[0].class_name)
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

    def stored(self, dataset_id: str, document: Document) -> None:
        """The server has taken this document just now: no need to ask for it."""
        self._keep(dataset_id, [document], self._index.tick(), None)

    def gone(self, dataset_id: str, document_id: str) -> None:
        """The server has deleted this document just now."""
        self._catalog.forget_documents(dataset_id, [document_id], self._index.tick())

    def _key(self, dataset_id: str, document_id: str) -> str:
        return f"body/{self._host}/{dataset_id}/{document_id}"

    def _renew(self, dataset_id: str, document_id: str) -> None:
        """Fetch a body again in the background, with its neighbours that are as old."""
        if self._up.uplink.down is not None:
            return
        place = (dataset_id, document_id)
        with self._lock:
            if place in self._renewing or self._claims.is_coming(dataset_id, document_id):
                return
            self._renewing.add(place)

        def finished() -> None:
            with self._lock:
                self._renewing.discard(place)

        def run() -> None:
            try:
                row = self._catalog.known_document(dataset_id, document_id)
                # A reader may be faster than the server: what was queued may have come meanwhile.
                if row is None or not self.fresh(row):
                    self._fetch(dataset_id, document_id, look_ahead=False)
            except CloudError as error:
                log.info("document %s was not renewed: %s", document_id, error)
            finally:
                finished()

        try:
            self._up.pool.submit(run)
        except RuntimeError:  # the pool is closed: the mount is going away
            finished()

    def _fetch(self, dataset_id: str, document_id: str, *, look_ahead: bool = True) -> bytes:
        """Fetch a body and the bodies behind it, or wait for the thread that is at it.

        ``look_ahead``: whether further batches are fetched at the same time, where the reader
        seems to walk through the class.
        """
        batch, mine = self._claims.claim(dataset_id, document_id)
        if mine:
            if look_ahead:
                self._fetch_ahead(self._claims.ahead(batch))
            self._run(batch)
        try:
            got = wait(batch.brought, self._up.patience, f"Document {document_id}")
        except Interrupted:
            interrupted()
            return self._fetch(dataset_id, document_id)  # it was the other one who was
        if document_id in got.bodies:
            return got.bodies[document_id]
        if document_id in got.hollow:
            raise HollowBody(
                f"The server sends document {document_id} without its content; try again later"
            )
        if not mine:  # the other thread's batch was cut down: it is ours to fetch now
            return self._fetch(dataset_id, document_id)
        raise _gone(dataset_id, document_id)

    def _fetch_ahead(self, batches: Iterator[Batch]) -> None:
        def run(batch: Batch) -> None:
            try:
                self._run(batch)
            except CloudError as error:
                log.info("documents were not fetched in advance: %s", error)

        def finished(batch: Batch, job: Future[None]) -> None:
            if job.cancelled():
                self._claims.settle(batch, Unreachable("The mount is ending; mount again"))

        for batch in batches:
            try:
                job = self._ahead.submit(run, batch)
            except RuntimeError:  # the pool is closed
                self._claims.settle(batch, Unreachable("The mount is ending; mount again"))
                return
            job.add_done_callback(partial(finished, batch))

    def _run(self, batch: Batch) -> None:
        """Fetch a batch and tell everybody who waits for it. Raises what keeps it away."""
        try:
            brought = self._fetch_batch(batch.dataset_id, batch.ids)
        except BaseException as error:
            self._claims.settle(batch, error)
            raise
        self._claims.settle(batch, brought)

    def _fetch_batch(self, dataset_id: str, batch: list[str]) -> Brought:
        """Fetch a batch; where the server cannot answer, a smaller one with the same head."""
        while True:
            try:
                return self._fetch_and_keep(dataset_id, batch)
            except _TOO_MUCH as error:
                if len(batch) == 1 or self._up.uplink.down is not None:
                    raise
                log.info("%d documents at once failed, asking for fewer: %s", len(batch), error)
                batch = batch[: max(1, len(batch) // _SMALLER)]

    def _fetch_and_keep(self, dataset_id: str, batch: list[str]) -> Brought:
        tick, begun = self._index.tick(), time.monotonic()
        fetched = self._ask(dataset_id, batch)
        seconds = (time.monotonic() - begun) / len(batch)
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
        return Brought(self._keep(dataset_id, found, tick, seconds), hollow)

    def _ask(self, dataset_id: str, ids: list[str]) -> Fetched:
        return self._up.call(lambda: self._up.cloud.documents.fetch(dataset_id, ids))

    def _keep(
        self, dataset_id: str, found: Iterable[Document], tick: int, seconds: float | None
    ) -> dict[str, bytes]:
        """Keep documents that were asked for after ``tick`` and took ``seconds`` each to come."""
        # One batch at a time: batches that come together would all be done at the end of the time
        # that they take, and the reader waits for the first of them.
        with self._keeping:
            return self._keep_now(dataset_id, found, tick, seconds)

    def _keep_now(
        self, dataset_id: str, found: Iterable[Document], tick: int, seconds: float | None
    ) -> dict[str, bytes]:
        bodies, facts = {}, []
        for document in found:
            rendered = render(document, dataset_id)
            summary, data = document.summary, rendered.data
            bodies[summary.id] = data
            digest = _digest(data)
            for uid, url in presigned_urls(document):
                self._leases.offer(dataset_id, uid, url)
            facts.append(BodyFacts(summary, len(data), rendered.mtime_ns, rendered.files, digest))
            if seconds is not None:
                weight = len(data) + URL_SIZE * len(rendered.files)
                self._claims.weigh(dataset_id, summary.class_name, weight, seconds)
        self._store.put((self._key(dataset_id, id_), data) for id_, data in bodies.items())
        resized = self._index.put_bodies(dataset_id, facts, tick, self._up.clock())
        for id_, data in bodies.items():
            self._remember(dataset_id, id_, data)
        self._up.changes.tell(dataset_id, resized)
        return bodies

    def _remember(self, dataset_id: str, document_id: str, data: bytes) -> None:
        if len(data) <= _RECENT_BYTES // 8:
            recent = _Recent(_digest(data), data)
            with self._lock:
                self._recent[dataset_id, document_id] = recent


@dataclass(frozen=True, slots=True)
class _Recent:
    """A body in memory, with what tells it from another version."""

    digest: bytes
    data: bytes


def _size(recent: _Recent) -> int:
    return len(recent.data) + _RECENT_OVERHEAD


def _digest(data: bytes) -> bytes:
    return blake2b(data, digest_size=16).digest()


def _missing(asked: list[str], fetched: Fetched) -> list[str]:
    """Those of ``asked`` that the server said nothing about."""
    came = {document.summary.id for document in fetched.documents}.union(fetched.hollow)
    return [id_ for id_ in asked if id_ not in came]


def _gone(dataset_id: str, document_id: str) -> NotFound:
    return NotFound(
        f"Document {document_id} is not in dataset {dataset_id} any more; list its folder again"
    )
