"""Which documents a dataset has, asked with the fewest calls that tell.

One class is listed by a query, all classes by the document list of the dataset
(docs/decisions/0003-class-listings-by-query.md). Either puts its pages into the index as they come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from ndicloudfs.cache.index import Index
from ndicloudfs.cache.upstream import Upstream
from ndicloudfs.cloud.documents import PAGE_SIZE
from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    NotFound,
    NotSignedIn,
    ServerFault,
    TimedOut,
    Unreachable,
)
from ndicloudfs.cloud.values import UNKNOWN_CLASS, SummaryPage

log = logging.getLogger(__name__)

PAGES_IN_PARALLEL = 4  # section 8.4: 3 to 6 are in use, more was called risky
_MOST_PAGES = 1000  # no dataset has a million documents; a server that repeats itself ends here


def classes_key(dataset_id: str) -> str:
    """The key of the listing of a dataset's classes."""
    return f"classes/{dataset_id}"


def class_key(dataset_id: str, class_name: str) -> str:
    """The key of the listing of a class's documents."""
    return f"documents/{dataset_id}/{class_name}"


class DocumentLists:
    """Fetches classes and documents into the index, as the account may see them."""

    def __init__(self, index: Index, upstream: Upstream) -> None:
        self._index = index
        self._up = upstream

    def fetch_classes(self, dataset_id: str) -> None:
        """Fetch the number of documents of each class."""
        try:
            counts = self._up.call(lambda: self._up.cloud.datasets.class_counts(dataset_id))
        except (Unreachable, TimedOut, NotFound, NotSignedIn):
            raise
        except CloudError as error:
            # Slow on large datasets, up to the gateway's limit (section 4.9): count them ourselves.
            log.info("class counts of dataset %s failed, listing all: %s", dataset_id, error)
            self.fetch_all(dataset_id)
            counts = {}
        self._index.replace_classes(
            classes_key(dataset_id), dataset_id, counts.items(), self._up.clock()
        )

    def fetch_class(self, dataset_id: str, class_name: str, counts: Mapping[str, int]) -> None:
        """List one class by a query, or by listing the whole dataset where that is no dearer.

        ``counts``: the number of documents of each class.
        """
        key = class_key(dataset_id, class_name)
        expected = counts.get(class_name, 0)
        since, now = self._index.tick(), self._up.clock()
        cannot_be_asked_for = self._up.cloud.account.anonymous or class_name == UNKNOWN_CLASS
        if cannot_be_asked_for or 2 * expected > sum(counts.values()):
            self.fetch_all(dataset_id)
            self._index.mark(key, now)  # a class that is counted and has no rows: all there is
            return
        condition = [{"field": "", "operation": "isa", "param1": class_name, "param2": ""}]
        query = self._up.cloud.documents.query
        self._fetch_pages(dataset_id, lambda page: query(dataset_id, condition, page, PAGE_SIZE))
        if self._index.count_seen(dataset_id, since, class_name) < expected:
            self.fetch_all(dataset_id)
            self._index.mark(key, now)
        else:
            gone = self._index.finish_class(key, dataset_id, class_name, since, now)
            self._up.changes.tell(dataset_id, gone)

    def fetch_all(self, dataset_id: str) -> None:
        """List every document of the dataset, one page in memory at a time."""

        def page(number: int) -> SummaryPage:
            return self._up.cloud.documents.page(dataset_id, number, PAGE_SIZE)

        def crawl() -> None:
            since, now = self._index.tick(), self._up.clock()
            total = self._fetch_pages(dataset_id, page)
            if self._index.count_seen(dataset_id, since) < total:
                # Pages have no fixed order (section 5.1): rows that moved between two of them
                # meanwhile are found by looking once more.
                self._fetch_pages(dataset_id, page)
            gone = self._index.finish_dataset(class_key(dataset_id, ""), dataset_id, since, now)
            self._up.changes.tell(dataset_id, gone)

        self._up.flight.run(f"crawl/{dataset_id}", crawl)

    def fetch_ndi_id(self, dataset_id: str, ndi_id: str) -> bool:
        """Ask for the documents with an ndi id; whether the answer can be believed to be all."""
        if self._up.cloud.account.anonymous:
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

        return self._up.flight.run(f"ndi/{dataset_id}/{ndi_id}", ask) > 0

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
