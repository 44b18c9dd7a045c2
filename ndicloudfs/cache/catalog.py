"""What there is: organizations, datasets, classes and documents, from the index and the server.

A listing that was never fetched is fetched while the caller waits, with the fewest calls that
answer the question. A listing older than ``ttl`` is served as it is and fetched again in the
background. Nothing here knows a name or a path.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from cachetools import TTLCache

from ndicloudfs.cache.changes import Changes
from ndicloudfs.cache.flight import SingleFlight, settled
from ndicloudfs.cache.index import DocumentRow, Index
from ndicloudfs.cache.uplink import Uplink
from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    NotFound,
    NotSignedIn,
    PermissionDenied,
    ServerFault,
    TimedOut,
    Unreachable,
)
from ndicloudfs.cloud.values import UNKNOWN_CLASS, DatasetRow, Json, Organization, SummaryPage

log = logging.getLogger(__name__)

Item = TypeVar("Item")

PAGE_SIZE = 1000  # the server's cap, section 5.1
PAGES_IN_PARALLEL = 4  # section 8.4: 3 to 6 are in use, more was called risky
# What is older (s) than this is only served where nothing newer can be had: somebody who comes
# back after a night must not see yesterday's state first.
TOO_OLD = 3600.0
# s: so long a reader waits for the newer state; then the old one serves.
OLD_PATIENCE = 1.5
_MOST_PAGES = 1000  # no dataset has a million documents; a server that repeats itself ends here
_ORGANIZATIONS = "organizations"
_PUBLISHED = "published"


@dataclass(frozen=True, slots=True)
class Upstream:
    """What every part of the cache needs to ask the server."""

    cloud: NdiCloud
    uplink: Uplink
    object_uplink: Uplink  # another machine: a firewall may let through one and not the other
    flight: SingleFlight
    pool: ThreadPoolExecutor
    stopping: threading.Event  # the mount goes away: long work ends early
    clock: Callable[[], float]
    changes: Changes
    ttl: float  # seconds for which what was fetched is believed
    patience: float  # seconds for which a reader waits for what another one is fetching

    def age(self, fetched_at: float) -> float:
        """Seconds since ``fetched_at``; for ever where the clock has been set back since."""
        age = self.clock() - fetched_at
        return age if age >= 0 else float("inf")

    def call(self, work: Callable[[], Item]) -> Item:
        """Run ``work``, which talks to the API; raises ``Unreachable`` once the mount ends."""
        return self.uplink.call(work)

    def try_first(self, fetch: Callable[[], object], what: str) -> bool:
        """Fetch ``what`` before what is known of it is shown, if that can be done soon.

        Where the server is slow or away, what is known goes on serving and it comes later. Tells
        whether it came. Raises what trying again will not help.
        """
        if self.uplink.down is not None:
            return False
        try:
            job = self.pool.submit(fetch)
        except RuntimeError:  # the mount is going away
            return False
        try:
            if settled(job, OLD_PATIENCE):
                job.result()
                return True
        except CloudError as error:
            if not error.retryable:
                raise
            log.info("%s could not be refreshed, the old state goes on serving: %s", what, error)
        return False


@dataclass(frozen=True, slots=True)
class Listing(Generic[Item]):
    """The whole of a list; ``version`` changes whenever ``items`` may have."""

    version: int
    items: tuple[Item, ...]


class Catalog:
    """Organizations, datasets, classes and documents, as the account may see them."""

    def __init__(self, index: Index, upstream: Upstream) -> None:
        self._index = index
        self._up = upstream
        self._lock = threading.Lock()
        self._listings: dict[str, Listing[Any]] = {}
        self._asked_again: dict[str, float] = {}
        self._found: TTLCache[tuple[str, str], bool] = TTLCache(
            10_000, upstream.ttl, timer=upstream.clock
        )
        self._absent: TTLCache[tuple[str, str], bool] = TTLCache(
            10_000, upstream.ttl, timer=upstream.clock
        )

    @property
    def anonymous(self) -> bool:
        """Whether nobody is signed in, so that only published data can be seen."""
        return self._up.cloud.account.anonymous

    def connect(self) -> None:
        """Make sure that the server answers and knows the account.

        Where it cannot be reached, what the index remembers must do. Raises ``WrongCredentials``
        and ``NotSignedIn``, and what keeps the server away where nothing is remembered.
        """
        key = _PUBLISHED if self.anonymous else _ORGANIZATIONS
        fetch = self._fetch_published if self.anonymous else self._fetch_organizations
        if self._index.fetched_at(key) is None:
            fetch()
        elif not self._up.try_first(fetch, key):
            log.warning("the server is away or slow, showing what is remembered")

    # Organizations and datasets

    def organizations(self) -> Listing[Organization]:
        """The organizations of the account, by id; none for an anonymous one."""
        if self.anonymous:
            return Listing(0, ())
        self._known(_ORGANIZATIONS, self._fetch_organizations)
        return self._listing(_ORGANIZATIONS, self._index.organizations)

    def datasets(self, organization_id: str) -> Listing[DatasetRow]:
        """The datasets of an organization, by id."""
        key = f"datasets/{organization_id}"
        self._known(key, lambda: self._fetch_datasets(key, organization_id))
        return self._listing(key, lambda: self._index.datasets(key))

    def published(self) -> Listing[DatasetRow]:
        """All published datasets, by id."""
        self._known(_PUBLISHED, self._fetch_published)
        return self._listing(_PUBLISHED, lambda: self._index.datasets(_PUBLISHED))

    def dataset(self, dataset_id: str) -> DatasetRow | None:
        """A dataset by id, whether or not a list shows it; None if there is none to see."""
        row = self._index.dataset(dataset_id)
        if row is not None or ("dataset", dataset_id) in self._absent:
            return row
        try:
            self.fields(dataset_id)
        except (NotFound, NotSignedIn, PermissionDenied) as error:
            # Section 11: data without right are a 401, 403 or 404. A 401 may also be the end of
            # a token that nothing renews, and then the reader must know.
            account = self._up.cloud.account
            only_a_token = not account.anonymous and not account.can_sign_in
            if isinstance(error, NotSignedIn) and only_a_token:
                raise
            with self._lock:
                self._absent["dataset", dataset_id] = True
            return None
        fields = self._index.dataset_fields(dataset_id)
        return None if fields is None else DatasetRow.from_json(fields)

    def fields(self, dataset_id: str) -> Json:
        """The metadata of a dataset: dataset detail without its arrays.

        Fetched again when the dataset's list says that it has changed.
        """
        row = self._index.dataset(dataset_id)
        known = self._index.dataset_fields(dataset_id)
        if known is None:
            self.fetch_detail(dataset_id)
        elif row is not None and row.updated_at not in (known.get("updatedAt"), ""):
            self._in_background(_detail_key(dataset_id), lambda: self._fetch_detail(dataset_id))
        fields = self._index.dataset_fields(dataset_id)
        if fields is None:
            raise NotFound(
                f"Dataset {dataset_id} is not on the server, or not visible to this account;"
                " see: ndicloudfs whoami"
            )
        return fields

    def fetch_detail(self, dataset_id: str) -> None:
        """Make dataset detail known: the metadata and the only list of object sizes there is.

        A call of megabytes and seconds for a large dataset (section 4.3).
        """
        key = _detail_key(dataset_id)

        def first() -> None:
            if self._index.fetched_at(key) is None:
                self._fetch_detail(dataset_id)

        self._up.flight.run(key, first)

    # Classes and documents

    def classes(self, dataset_id: str) -> Listing[tuple[str, int]]:
        """Each class with its number of documents, which is the server's and may lag behind."""
        key = _classes_key(dataset_id)
        self._known(key, lambda: self._fetch_classes(key, dataset_id))
        return self._listing(key, lambda: self._index.class_counts(dataset_id))

    def documents(self, dataset_id: str, class_name: str) -> Iterator[DocumentRow]:
        """Every document of a class, by (ndi id, cloud id)."""
        self._know_class(dataset_id, class_name)
        return self._index.every_document_of_class(dataset_id, class_name)

    def know_all(self, dataset_id: str) -> None:
        """List every class of a dataset, all at once where they are not known yet."""
        names = [name for name, _ in self.classes(dataset_id).items]
        known = set(self.known_classes(dataset_id))
        if len(known) < len(names) - len(known):
            self._crawl(dataset_id)
        for name in names:
            self._know_class(dataset_id, name)

    def bodies_wanted(
        self, dataset_id: str, row: DocumentRow, most: int, *, old: bool, around: bool
    ) -> list[DocumentRow]:
        """Up to ``most`` documents that follow ``row`` in its class and whose bodies are not known.

        ``old``: also those that are not believed any more. ``around``: those before ``row``, too.
        """
        now = self._up.clock()
        believed = (now - self._up.ttl, now) if old else None
        wanted = partial(self._index.bodies_wanted, dataset_id, row.class_name, believed=believed)
        rows = wanted(after=(row.ndi_id, row.id), limit=most)
        if around and len(rows) < most:
            rows += wanted(before=(row.ndi_id, row.id), limit=most - len(rows))
        return rows

    def known_document(self, dataset_id: str, document_id: str) -> DocumentRow | None:
        """A document by cloud id, as far as the index knows; never a call."""
        return self._index.document(dataset_id, document_id)

    def documents_with_ndi_id(
        self, dataset_id: str, class_name: str, ndi_id: str
    ) -> list[DocumentRow]:
        """The documents of a class with an ndi id, by cloud id; usually one or none.

        One query where the class was never listed; the listing of the class where a query
        answers nothing, as it may for an anonymous reader (section 5.11).
        """
        place = (dataset_id, ndi_id)
        key = _class_key(dataset_id, class_name)
        fetched_at = self._index.fetched_at(key)
        if fetched_at is None:
            if place not in self._found and not self._query_ndi_id(dataset_id, ndi_id):
                self._know_class(dataset_id, class_name)
        elif self._up.age(fetched_at) > self._up.ttl:
            self._know_class(dataset_id, class_name)
        return self._index.documents_with_ndi_id(dataset_id, class_name, ndi_id)

    def forget_documents(self, dataset_id: str, ids: list[str], tick: int) -> None:
        """Take documents out that the server did not have when it was asked after ``tick``."""
        self._up.changes.tell(dataset_id, self._index.remove_documents(dataset_id, ids, tick))

    # Again, whatever its age. Each tells whether there was anything to renew.

    def renew_organizations(self) -> bool:
        """Fetch the organizations again, where they are known."""
        return self._renew(_ORGANIZATIONS, self._fetch_organizations)

    def renew_datasets(self, organization_id: str) -> bool:
        """Fetch the datasets of an organization again, where they are known."""
        key = f"datasets/{organization_id}"
        return self._renew(key, lambda: self._fetch_datasets(key, organization_id))

    def renew_published(self) -> bool:
        """Fetch the published datasets again, where they are known."""
        return self._renew(_PUBLISHED, self._fetch_published)

    def renew_fields(self, dataset_id: str) -> bool:
        """Fetch dataset detail again, where it is known."""
        return self._renew(_detail_key(dataset_id), lambda: self._fetch_detail(dataset_id))

    def renew_classes(self, dataset_id: str) -> bool:
        """Fetch the class counts of a dataset again, where they are known."""
        key = _classes_key(dataset_id)
        return self._renew(key, lambda: self._fetch_classes(key, dataset_id))

    def renew_documents(self, dataset_id: str, class_names: Iterable[str]) -> Iterator[str]:
        """List classes again, where they are known; yields each when it is done.

        ``renew_classes`` comes first.
        """
        started = self._up.clock()
        counts = dict(self._index.class_counts(dataset_id))
        # The largest first: it may be cheaper to list all documents, and then all is done.
        for name in sorted(class_names, key=lambda name: -counts.get(name, 0)):
            key = _class_key(dataset_id, name)
            fetch = partial(self._fetch_class, key, dataset_id, name)
            if started <= (self._index.fetched_at(key) or 0.0) or self._renew(key, fetch):
                yield name

    def known_datasets(self, organization_id: str) -> list[DatasetRow]:
        """The datasets of an organization, or the published ones for ``""``; never a call."""
        return self._index.datasets(
            f"datasets/{organization_id}" if organization_id else _PUBLISHED
        )

    def known_fields(self, dataset_id: str) -> Json | None:
        """The metadata of a dataset, as far as they are known; never a call."""
        return self._index.dataset_fields(dataset_id)

    def known_classes(self, dataset_id: str) -> list[str]:
        """The classes of a dataset whose documents have been listed; never a call."""
        return [
            name
            for name, _ in self._index.class_counts(dataset_id)
            if self._index.fetched_at(_class_key(dataset_id, name)) is not None
        ]

    def known_documents(self, dataset_id: str, class_name: str) -> Iterator[DocumentRow]:
        """The documents of a class by (ndi id, cloud id), as far as they are known; no call."""
        return self._index.every_document_of_class(dataset_id, class_name)

    def _renew(self, key: str, fetch: Callable[[], None]) -> bool:
        if self._index.fetched_at(key) is None:
            return False
        begun = False

        def mine() -> None:
            nonlocal begun
            begun = True
            fetch()

        while not begun:  # one that was under way may have asked before the server changed
            self._up.flight.run(key, mine)
        with self._lock:
            self._absent.clear()
            self._found.clear()
        return True

    # Fetching

    def _known(self, key: str, fetch: Callable[[], None]) -> None:
        """Make listing ``key`` known: now if it never was, in the background if it is old."""
        fetched_at = self._index.fetched_at(key)
        if fetched_at is None:

            def first() -> None:
                if self._index.fetched_at(key) is None:
                    fetch()

            self._up.flight.run(key, first)
        elif self._up.age(fetched_at) > max(TOO_OLD, self._up.ttl):
            # Without a token that is still good, the cache is all there is until a login.
            with suppress(NotSignedIn):
                self._up.try_first(lambda: self._up.flight.run(key, fetch), key)
        elif self._up.age(fetched_at) > self._up.ttl:
            self._in_background(key, fetch)

    def _listing(self, key: str, load: Callable[[], list[Item]]) -> Listing[Item]:
        version = self._index.version(key)
        held = self._listings.get(key)
        if held is None or held.version != version:
            # Loaded after the version was read: at worst it is loaded once more than needed.
            held = self._listings[key] = Listing(version, tuple(load()))
        return held

    def _in_background(self, key: str, fetch: Callable[[], None]) -> None:
        if self._up.uplink.down is not None:
            return
        now = self._up.clock()
        with self._lock:
            asked = self._asked_again.get(key, float("-inf"))
            if 0 <= now - asked <= self._up.ttl or self._up.flight.running(key):
                return
            self._asked_again[key] = now

        def run() -> None:
            try:
                self._up.flight.run(key, fetch)
            except CloudError as error:
                log.info("%s could not be refreshed, the old state goes on serving: %s", key, error)

        with suppress(RuntimeError):  # the pool is closed: the mount is going away
            self._up.pool.submit(run)

    def _fetch_organizations(self) -> None:
        user = self._up.call(self._up.cloud.account.user)
        self._index.replace_organizations(_ORGANIZATIONS, user.organizations, self._up.clock())

    def _fetch_published(self) -> None:
        self._fetch_datasets(_PUBLISHED, None)

    def _fetch_datasets(self, key: str, organization_id: str | None) -> None:
        datasets = self._up.cloud.datasets
        if organization_id is None:
            rows = self._up.call(datasets.published)
        else:
            rows = self._up.call(lambda: datasets.of_organization(organization_id))
        self._index.replace_datasets(key, rows, self._up.clock())

    def _fetch_detail(self, dataset_id: str) -> None:
        detail = self._up.call(lambda: self._up.cloud.datasets.detail(dataset_id))
        sizes = [
            (entry.uid, entry.size)
            for entry in detail.files
            if entry.size is not None and entry.uploaded is not False
        ]
        key = _detail_key(dataset_id)
        known = self._index.dataset_fields(dataset_id)
        self._index.put_detail(key, dataset_id, detail.fields, sizes, self._up.clock())
        if known not in (None, detail.fields):
            self._up.changes.tell(dataset_id)

    def _fetch_classes(self, key: str, dataset_id: str) -> None:
        try:
            counts = self._up.call(lambda: self._up.cloud.datasets.class_counts(dataset_id))
        except (Unreachable, TimedOut, NotFound, NotSignedIn):
            raise
        except CloudError as error:
            # Slow on large datasets, up to the gateway's limit (section 4.9): count them ourselves.
            log.info("class counts of dataset %s failed, listing all: %s", dataset_id, error)
            self._crawl(dataset_id)
            counts = {}
        self._index.replace_classes(key, dataset_id, counts.items(), self._up.clock())

    def _know_class(self, dataset_id: str, class_name: str) -> None:
        key = _class_key(dataset_id, class_name)
        self._known(key, lambda: self._fetch_class(key, dataset_id, class_name))

    def _fetch_class(self, key: str, dataset_id: str, class_name: str) -> None:
        """List one class by a query, or by listing the whole dataset where that is no dearer."""
        counts = dict(self.classes(dataset_id).items)
        expected = counts.get(class_name, 0)
        since, now = self._index.tick(), self._up.clock()
        if self.anonymous or class_name == UNKNOWN_CLASS or 2 * expected > sum(counts.values()):
            self._crawl(dataset_id)
            self._index.mark(key, now)  # a class that is counted and has no rows: all there is
            return
        condition = [{"field": "", "operation": "isa", "param1": class_name, "param2": ""}]
        self._fetch_pages(
            dataset_id,
            lambda page: self._up.cloud.documents.query(dataset_id, condition, page, PAGE_SIZE),
        )
        if self._index.count_seen(dataset_id, since, class_name) < expected:
            self._crawl(dataset_id)
            self._index.mark(key, now)
        else:
            gone = self._index.finish_class(key, dataset_id, class_name, since, now)
            self._up.changes.tell(dataset_id, gone)

    def _crawl(self, dataset_id: str) -> None:
        """List every document of the dataset, one page in memory at a time."""

        def crawl() -> None:
            since, now = self._index.tick(), self._up.clock()
            total = self._fetch_pages(
                dataset_id,
                lambda page: self._up.cloud.documents.page(dataset_id, page, PAGE_SIZE),
            )
            if self._index.count_seen(dataset_id, since) < total:
                # Pages have no fixed order (section 5.1): rows that moved between two of them
                # meanwhile are found by looking once more.
                self._fetch_pages(
                    dataset_id,
                    lambda page: self._up.cloud.documents.page(dataset_id, page, PAGE_SIZE),
                )
            gone = self._index.finish_dataset(_class_key(dataset_id, ""), dataset_id, since, now)
            self._up.changes.tell(dataset_id, gone)

        self._up.flight.run(f"crawl/{dataset_id}", crawl)

    def _fetch_pages(self, dataset_id: str, fetch: Callable[[int], SummaryPage]) -> int:
        """Put all pages into the index, several at a time; the number of documents announced."""

        def store(number: int) -> SummaryPage:
            tick = self._index.tick()
            page = self._up.call(lambda: fetch(number))
            self._index.put_summaries(dataset_id, page.documents, tick)
            return page

        first = store(1)
        announced = self._count(dataset_id) if first.total is None else first.total
        if first.rows == 0:
            if announced:
                raise BadAnswer(
                    f"The server announces {announced} documents of dataset {dataset_id} and"
                    " sends none; try again"
                )
            return 0
        last = min(-(-announced // first.rows), _MOST_PAGES)
        with ThreadPoolExecutor(PAGES_IN_PARALLEL, thread_name_prefix="ndi-pages") as pool:
            pages = list(pool.map(store, range(2, last + 1)))
        # Where the number has grown meanwhile, or is not known, pages go on until one is short.
        number, page = max(last, 1), (pages or [first])[-1]
        full = first.rows >= PAGE_SIZE or not announced
        while full and page.rows >= first.rows and number < _MOST_PAGES:
            number += 1
            page = store(number)
        return announced

    def _count(self, dataset_id: str) -> int:
        try:
            return self._up.call(lambda: self._up.cloud.datasets.document_count(dataset_id))
        except ServerFault:  # known to time out on large datasets: then page after page
            return 0

    def _query_ndi_id(self, dataset_id: str, ndi_id: str) -> bool:
        """Ask for an ndi id; tell whether the answer can be believed to be all there is."""
        if self.anonymous:
            return False
        condition = [
            {"field": "base.id", "operation": "exact_string", "param1": ndi_id, "param2": ""}
        ]
        query = self._up.cloud.documents.query

        def ask() -> int:
            tick = self._index.tick()
            page = self._up.call(lambda: query(dataset_id, condition, 1, PAGE_SIZE))
            found = [row for row in page.documents if row.ndi_id in ("", ndi_id)]
            self._index.put_summaries(dataset_id, found, tick)
            return len(found)

        count = self._up.flight.run(f"ndi/{dataset_id}/{ndi_id}", ask)
        if count:
            with self._lock:
                self._found[dataset_id, ndi_id] = True
        return count > 0


def _detail_key(dataset_id: str) -> str:
    return f"detail/{dataset_id}"


def _classes_key(dataset_id: str) -> str:
    return f"classes/{dataset_id}"


def _class_key(dataset_id: str, class_name: str) -> str:
    return f"documents/{dataset_id}/{class_name}"
