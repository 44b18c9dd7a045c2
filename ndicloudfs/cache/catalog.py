"""What there is: organizations, datasets, classes and documents, from the index and the server.

A listing that was never fetched is fetched while the caller waits, with the fewest calls that
answer the question. A listing older than ``ttl`` is served as it is and fetched again in the
background. Nothing here knows a name or a path.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from cachetools import TTLCache

from ndicloudfs.cache.document_lists import DocumentLists, class_key, classes_key
from ndicloudfs.cache.index import DocumentRow, Index
from ndicloudfs.cache.listings import Listing, Listings
from ndicloudfs.cache.upstream import Upstream
from ndicloudfs.cloud.errors import NotFound, NotSignedIn, PermissionDenied
from ndicloudfs.cloud.values import DatasetRow, Json, Organization

log = logging.getLogger(__name__)

_ORGANIZATIONS = "organizations"
_PUBLISHED = "published"


class Catalog:
    """Organizations, datasets, classes and documents, as the account may see them."""

    def __init__(self, index: Index, upstream: Upstream) -> None:
        self._index = index
        self._up = upstream
        self._lock = threading.Lock()
        self._listings = Listings(index, upstream)
        self._documents = DocumentLists(index, upstream)
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
        self._listings.know(_ORGANIZATIONS, self._fetch_organizations)
        return self._listings.read(_ORGANIZATIONS, self._index.organizations)

    def datasets(self, organization_id: str) -> Listing[DatasetRow]:
        """The datasets of an organization, by id."""
        key = _datasets_key(organization_id)
        self._listings.know(key, lambda: self._fetch_datasets(key, organization_id))
        return self._listings.read(key, lambda: self._index.datasets(key))

    def published(self) -> Listing[DatasetRow]:
        """All published datasets, by id."""
        self._listings.know(_PUBLISHED, self._fetch_published)
        return self._listings.read(_PUBLISHED, lambda: self._index.datasets(_PUBLISHED))

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
            self._listings.fetch_behind(
                _detail_key(dataset_id), lambda: self._fetch_detail(dataset_id)
            )
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
        fetch = partial(self._fetch_detail, dataset_id)
        self._listings.fetch_unknown(_detail_key(dataset_id), fetch)

    # Classes and documents

    def classes(self, dataset_id: str) -> Listing[tuple[str, int]]:
        """Each class with its number of documents, which is the server's and may lag behind."""
        key = classes_key(dataset_id)
        self._listings.know(key, lambda: self._documents.fetch_classes(dataset_id))
        return self._listings.read(key, lambda: self._index.class_counts(dataset_id))

    def documents(self, dataset_id: str, class_name: str) -> Iterator[DocumentRow]:
        """Every document of a class, by (ndi id, cloud id)."""
        self._know_class(dataset_id, class_name)
        return self._index.every_document_of_class(dataset_id, class_name)

    def know_all(self, dataset_id: str) -> None:
        """List every class of a dataset, all at once where they are not known yet."""
        names = [name for name, _ in self.classes(dataset_id).items]
        known = set(self.known_classes(dataset_id))
        if len(known) < len(names) - len(known):
            self._documents.fetch_all(dataset_id)
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
        key = class_key(dataset_id, class_name)
        fetched_at = self._index.fetched_at(key)
        if fetched_at is None:
            if place not in self._found:
                if self._documents.fetch_ndi_id(dataset_id, ndi_id):
                    with self._lock:
                        self._found[place] = True
                else:
                    self._know_class(dataset_id, class_name)
        elif not self._up.believes(fetched_at):
            self._know_class(dataset_id, class_name)
        return self.known_with_ndi_id(dataset_id, class_name, ndi_id)

    def known_with_ndi_id(self, dataset_id: str, class_name: str, ndi_id: str) -> list[DocumentRow]:
        """The documents of a class with an ndi id, by cloud id, as far as is known; no call."""
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
        key = _datasets_key(organization_id)
        return self._renew(key, lambda: self._fetch_datasets(key, organization_id))

    def renew_published(self) -> bool:
        """Fetch the published datasets again, where they are known."""
        return self._renew(_PUBLISHED, self._fetch_published)

    def renew_fields(self, dataset_id: str) -> bool:
        """Fetch dataset detail again, where it is known."""
        return self._renew(_detail_key(dataset_id), lambda: self._fetch_detail(dataset_id))

    def renew_classes(self, dataset_id: str) -> bool:
        """Fetch the class counts of a dataset again, where they are known."""
        key = classes_key(dataset_id)
        return self._renew(key, lambda: self._documents.fetch_classes(dataset_id))

    def renew_documents(self, dataset_id: str, class_names: Iterable[str]) -> Iterator[str]:
        """List classes again, where they are known; yields each when it is done.

        ``renew_classes`` comes first.
        """
        started = self._up.clock()
        counts = dict(self._index.class_counts(dataset_id))
        # The largest first: it may be cheaper to list all documents, and then all is done.
        for name in sorted(class_names, key=lambda name: -counts.get(name, 0)):
            key = class_key(dataset_id, name)
            fetch = partial(self._fetch_class, dataset_id, name)
            if started <= (self._index.fetched_at(key) or 0.0) or self._renew(key, fetch):
                yield name

    def known_datasets(self, organization_id: str) -> list[DatasetRow]:
        """The datasets of an organization, or the published ones for ``""``; never a call."""
        key = _datasets_key(organization_id) if organization_id else _PUBLISHED
        return self._index.datasets(key)

    def known_fields(self, dataset_id: str) -> Json | None:
        """The metadata of a dataset, as far as they are known; never a call."""
        return self._index.dataset_fields(dataset_id)

    def known_classes(self, dataset_id: str) -> list[str]:
        """The classes of a dataset whose documents have been listed; never a call."""
        return [
            name
            for name, _ in self._index.class_counts(dataset_id)
            if self._index.fetched_at(class_key(dataset_id, name)) is not None
        ]

    def known_documents(self, dataset_id: str, class_name: str) -> Iterator[DocumentRow]:
        """The documents of a class by (ndi id, cloud id), as far as they are known; no call."""
        return self._index.every_document_of_class(dataset_id, class_name)

    def _renew(self, key: str, fetch: Callable[[], None]) -> bool:
        if not self._listings.renew(key, fetch):
            return False
        with self._lock:
            self._absent.clear()
            self._found.clear()
        return True

    # Fetching

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

    def _know_class(self, dataset_id: str, class_name: str) -> None:
        fetch = partial(self._fetch_class, dataset_id, class_name)
        self._listings.know(class_key(dataset_id, class_name), fetch)

    def _fetch_class(self, dataset_id: str, class_name: str) -> None:
        counts = dict(self.classes(dataset_id).items)
        self._documents.fetch_class(dataset_id, class_name, counts)


def _datasets_key(organization_id: str) -> str:
    return f"datasets/{organization_id}"


def _detail_key(dataset_id: str) -> str:
    return f"detail/{dataset_id}"
