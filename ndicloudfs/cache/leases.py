"""Presigned URLs as leases, and objects that are not there.

A URL is kept until shortly before it expires and renewed once when the object store says that it
has. What is missing is remembered for a moment, since files appear seconds after their upload.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timezone
from urllib.parse import parse_qs, urlsplit

from cachetools import LRUCache, TLRUCache, TTLCache

from ndicloudfs.cache.index import Index
from ndicloudfs.cache.upstream import Upstream
from ndicloudfs.cloud.errors import BadAnswer, NotFound, ObjectMissing, Refused, UrlExpired
from ndicloudfs.cloud.values import FileDetail, ObjectRange, Place

log = logging.getLogger(__name__)

URL_LIFE_UNKNOWN = 240.0  # s; section 6.5: never cache a URL beyond minutes
URL_LIFE_LIMIT = 600.0
URL_MARGIN = 30.0
MISSING_FOR = 10.0  # s; files become visible 3-10 s after their upload (section 8.5)


class Leases:
    """Ranges of objects by uid, through presigned URLs."""

    def __init__(self, index: Index, upstream: Upstream) -> None:
        self._index = index
        self._up = upstream
        self._lock = threading.Lock()
        self._leases: TLRUCache[tuple[str, str], FileDetail] = TLRUCache(
            10_000, ttu=_lease_end, timer=upstream.clock
        )
        self._offers: TLRUCache[tuple[str, str], str] = TLRUCache(
            10_000, ttu=_url_end, timer=upstream.clock
        )
        self._missing: TTLCache[tuple[str, str], str] = TTLCache(
            100_000, MISSING_FOR, timer=upstream.clock
        )
        self._noted_missing: LRUCache[tuple[str, str], bool] = LRUCache(100_000)

    def read(
        self,
        dataset_id: str,
        uid: str,
        start: int,
        length: int,
        into: Place | None = None,
    ) -> ObjectRange:
        """Read a range, to ``into`` if given; a URL that has expired is renewed once (6.5)."""
        with self._lock:
            offer: str | None = self._offers.get((dataset_id, uid))
        if offer is not None:
            try:
                return self._read_url(offer, start, length, into)
            except (UrlExpired, ObjectMissing, Refused, BadAnswer) as error:
                log.info("a URL that came with a document is not used any more: %s", error)
                with self._lock:
                    self._offers.pop((dataset_id, uid), None)
        lease = self.lease(dataset_id, uid)
        try:
            return self._read_lease(dataset_id, uid, lease, start, length, into)
        except UrlExpired:
            with self._lock:  # unless another thread has renewed it meanwhile
                if self._leases.get((dataset_id, uid)) is lease:
                    del self._leases[dataset_id, uid]
            lease = self.lease(dataset_id, uid)
        try:
            return self._read_lease(dataset_id, uid, lease, start, length, into)
        except UrlExpired:
            if (self._index.object_size(dataset_id, uid) or (0, False))[1]:
                raise
            # A store that may not be listed says 403 for an object that is not there (5.9).
            raise self._note_missing(dataset_id, uid) from None

    def _read_lease(
        self,
        dataset_id: str,
        uid: str,
        lease: FileDetail,
        start: int,
        length: int,
        into: Place | None,
    ) -> ObjectRange:
        if lease.url is None:
            raise self._note_missing(dataset_id, uid)
        try:
            return self._read_url(lease.url, start, length, into)
        except ObjectMissing:
            raise self._note_missing(dataset_id, uid) from None

    def _read_url(self, url: str, start: int, length: int, into: Place | None) -> ObjectRange:
        return self._up.object_uplink.call(
            lambda: self._up.cloud.objects.read(url, start, length, into),
            here=into is not None,  # a call that nobody waits for must not write there
        )

    def offer(self, dataset_id: str, uid: str, url: str) -> None:
        """Keep a URL that came with a document: the first read of the file needs no detail."""
        with self._lock:
            self._offers[dataset_id, uid] = url

    def stated_size(self, dataset_id: str, uid: str) -> int | None:
        """The size of an object that can be read, in bytes, where a lease states it.

        Raises ``ObjectMissing``.
        """
        with self._lock:
            offered = (dataset_id, uid) in self._offers
        return None if offered else self.lease(dataset_id, uid).size

    def lease(self, dataset_id: str, uid: str) -> FileDetail:
        """File detail with a URL that can be used. Raises ``ObjectMissing``."""
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

    def found(self, dataset_id: str, uid: str) -> None:
        """There is an object, whatever was found before."""
        with self._lock:
            self._missing.pop((dataset_id, uid), None)

    def raise_if_missing(self, dataset_id: str, uid: str) -> None:
        """Raise ``ObjectMissing`` where the object was missing a moment ago."""
        with self._lock:
            message: str | None = self._missing.get((dataset_id, uid))
        if message is not None:
            raise ObjectMissing(message)


def _lease_end(place: object, lease: FileDetail, now: float) -> float:
    return _url_end(place, lease.url or "", now)


def _url_end(place: object, url: str, now: float) -> float:
    """When to stop using a presigned URL (epoch s): shortly before it says that it expires."""
    del place
    query = parse_qs(urlsplit(url).query)
    try:
        life = float(query["X-Amz-Expires"][0])
        signed = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ")
        end = signed.replace(tzinfo=timezone.utc).timestamp() + life - URL_MARGIN
    except (KeyError, ValueError):
        end = now + URL_LIFE_UNKNOWN
    return min(end, now + URL_LIFE_LIMIT)
