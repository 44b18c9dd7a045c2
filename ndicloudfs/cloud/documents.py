"""Documents: lists, queries, bodies, and the calls that change them (section 5)."""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from typing import IO, Any

from ndicloudfs.cloud.answers import Malformed, an_object, new_id, present, rows, text, whole_number
from ndicloudfs.cloud.api import Api
from ndicloudfs.cloud.datasets import DEFAULT_DELAY
from ndicloudfs.cloud.objects import Objects
from ndicloudfs.cloud.values import (
    UNKNOWN_CLASS,
    Document,
    Fetched,
    Json,
    Summary,
    SummaryPage,
    as_object,
    as_text,
    is_cloud_id,
)

PAGE_SIZE = 1000  # the most that the server gives (section 5.1)
MAX_FETCH = 500  # ids of one bulk-fetch (section 5.8)
MAX_DELETE = 1000  # ids of one bulk-delete that other clients send (section 5.6)

_TOTALS = ("totalNumber", "number_matches", "totalItems")


class Documents:
    """The calls about documents."""

    def __init__(self, api: Api, objects: Objects) -> None:
        self._api = api
        self._objects = objects

    def page(self, dataset_id: str, page: int, page_size: int = PAGE_SIZE) -> SummaryPage:
        """Page ``page`` >= 1 of the documents of a dataset (section 5.1).

        A page with fewer rows than asked for need not be the last; an empty one is.
        """
        return self._list("/datasets/{dataset_id}/documents", dataset_id, page, page_size)

    def deleted(self, dataset_id: str, page: int = 1, page_size: int = PAGE_SIZE) -> SummaryPage:
        """Page ``page`` >= 1 of the deleted documents that are not yet gone (section 5.7)."""
        return self._list("/datasets/{dataset_id}/documents/deleted", dataset_id, page, page_size)

    def query(
        self,
        scope: str,
        searchstructure: Sequence[Json],
        page: int = 1,
        page_size: int = PAGE_SIZE,
    ) -> SummaryPage:
        """Page ``page`` >= 1 of the documents that meet every condition (section 5.11).

        ``scope`` is ``public``, ``private``, ``all``, or dataset ids separated by commas. An
        anonymous reader may get nothing where there is something.
        """
        return self._api.post(
            "/ndiquery",
            _summaries,
            body={"scope": scope, "searchstructure": list(searchstructure)},
            params={"page": page, "pageSize": page_size},
            idempotent=True,
        )

    def fetch(self, dataset_id: str, ids: Sequence[str]) -> Fetched:
        """The documents ``ids`` (1 to 500 different ones) with their bodies, each at most once.

        The server leaves out silently what it does not have or does not show, and sometimes
        sends a hollow body (section 12); such a one is asked for once more. What is missing in
        the result is not on the server: compare. Raises ValueError for no ids or too many.
        """
        wanted = list(dict.fromkeys(ids))
        if not 1 <= len(wanted) <= MAX_FETCH:
            raise ValueError(f"{len(wanted)} ids: one bulk-fetch takes 1 to {MAX_FETCH}")
        found, hollow = self._fetch(dataset_id, wanted)
        if hollow:
            more, hollow = self._fetch(dataset_id, hollow)
            found += more
        return Fetched(tuple(found), tuple(hollow))

    def get(self, dataset_id: str, document_id: str) -> Document:
        """One document by cloud id (section 5.2)."""

        def read(value: Any) -> Document:
            answer = an_object(value)
            if not (answer.get("id") or answer.get("_id")):
                answer = {**answer, "id": document_id}
            document = Document.from_json(answer)
            if document is None or document.summary.id != document_id or not document.body:
                raise Malformed("another document" if document else "no document")
            return document

        template = "/datasets/{dataset_id}/documents/{document_id}"
        return self._api.get(template, read, dataset_id=dataset_id, document_id=document_id)

    def add(self, dataset_id: str, body: Json) -> str:
        """Add a document; gives its cloud id. The same body twice makes two documents (5.3)."""
        return self._api.post(
            "/datasets/{dataset_id}/documents", new_id, body=body, dataset_id=dataset_id
        )

    def update(self, dataset_id: str, document_id: str, body: Json) -> None:
        """Replace the body of a document (section 5.4)."""
        self._api.act(
            "POST",
            "/datasets/{dataset_id}/documents/{document_id}",
            body=body,
            dataset_id=dataset_id,
            document_id=document_id,
        )

    def delete(self, dataset_id: str, document_id: str, when: str = DEFAULT_DELAY) -> None:
        """Delete one document, through bulk-delete: the single call has failed (issue #813)."""
        self.bulk_delete(dataset_id, [document_id], when)

    def bulk_delete(self, dataset_id: str, ids: Iterable[str], when: str = DEFAULT_DELAY) -> None:
        """Delete documents ``now`` or after a delay such as ``30m``, 1000 in a call (5.6)."""
        unique = list(dict.fromkeys(ids))
        for start in range(0, len(unique), MAX_DELETE):
            self._api.act(
                "POST",
                "/datasets/{dataset_id}/documents/bulk-delete",
                body={"documentIds": unique[start : start + MAX_DELETE], "when": when},
                dataset_id=dataset_id,
            )

    def bulk_upload(
        self,
        dataset_id: str,
        bodies: Iterable[Json],
        sending: Callable[[], None] = lambda: None,
    ) -> int:
        """Send bodies as one ZIP; gives their number (section 5.10).

        ``sending`` is called before the first byte leaves: what fails earlier had no effect.

        The server imports them in its own time and says nothing when it has; never send again
        without looking, or there will be two of each. Raises ValueError for a body that is not
        strict JSON.
        """
        with tempfile.TemporaryFile() as archive:
            count = _pack(bodies, archive)
            if count == 0:
                return 0
            size = archive.tell()
            archive.seek(0)
            url = self._api.post(
                "/datasets/{dataset_id}/documents/bulk-upload", text("url"), dataset_id=dataset_id
            )
            sending()
            self._objects.put(url, archive, size)
        return count

    def bulk_download_url(self, dataset_id: str, ids: Iterable[str]) -> str:
        """Order a ZIP of documents; gives the URL where it will be (section 5.9).

        The ids must be named and are sent once each: a ZIP of everything has hollow bodies, and
        an id named twice is in it twice (issue #948). Raises ValueError for no ids.
        """
        unique = list(dict.fromkeys(ids))
        if not unique:
            raise ValueError("no ids: name the documents")
        return self._api.post(
            "/datasets/{dataset_id}/documents/bulk-download",
            text("url"),
            body={"documentIds": unique},
            dataset_id=dataset_id,
        )

    def _list(self, template: str, dataset_id: str, page: int, page_size: int) -> SummaryPage:
        params = {"page": page, "pageSize": page_size}
        return self._api.get(template, _summaries, params=params, dataset_id=dataset_id)

    def _fetch(self, dataset_id: str, ids: list[str]) -> tuple[list[Document], list[str]]:
        """The documents that came whole, and the ids of those that came hollow."""
        answer = self._api.post(
            "/datasets/{dataset_id}/documents/bulk-fetch",
            lambda value: rows(value, "documents"),
            body={"documentIds": ids},
            idempotent=True,
            dataset_id=dataset_id,
        )
        asked, whole, hollow = set(ids), dict[str, Document](), dict[str, None]()
        for document in present(Document.from_json(row) for row in answer):
            identity = document.summary.id
            if identity not in asked:
                continue
            if _is_hollow(document):
                hollow[identity] = None
            else:
                whole.setdefault(identity, document)
        return list(whole.values()), [identity for identity in hollow if identity not in whole]


def _is_hollow(document: Document) -> bool:
    base_id = as_text(as_object(document.body.get("base")).get("id"))
    return not document.body or (bool(document.summary.ndi_id) and not base_id)


def _summaries(value: Any) -> SummaryPage:
    found = rows(value, "documents", "ids")
    documents = present(_summary(row) for row in found)
    return SummaryPage(tuple(documents), len(found), whole_number(value, *_TOTALS))


def _summary(row: object) -> Summary | None:
    if isinstance(row, str) and is_cloud_id(row):
        return Summary(row, "", UNKNOWN_CLASS, "")
    return Summary.from_json(row)


def _pack(bodies: Iterable[Json], archive: IO[bytes]) -> int:
    """Write a ZIP with one JSON array, body by body."""
    count = 0
    with (
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed,
        packed.open("documents.json", "w", force_zip64=True) as member,
    ):
        for body in bodies:
            member.write(b",\n" if count else b"[")
            member.write(json.dumps(body, allow_nan=False).encode())
            count += 1
        member.write(b"]")
    return count
