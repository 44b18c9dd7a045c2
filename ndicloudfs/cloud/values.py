"""What NDI Cloud answers, as typed values that tolerate what the real server sends.

Every ``from_json`` accepts the variations of section 11 of the API contract: ``id`` or ``_id``,
missing, null, ``""``, ``[]`` or ``{}`` for "nothing", a bare object for a one-element list, and
unknown keys. A row that has no usable identity gives ``None``; the caller leaves it out, so one
odd row never fails a listing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

CLOUD_ID = re.compile(r"[0-9a-f]{24}")
NDI_ID = re.compile(r"[0-9a-f]{16}_[0-9a-f]{16}")
UNKNOWN_CLASS = "unknown"

_MAX_SIZE = 2**63 - 1  # what off_t and SQLite can hold
_INJECTED_KEYS = frozenset({"id", "_id", "ndiId", "name", "className", "datasetId"})


def is_cloud_id(text: str) -> bool:
    """Tell whether ``text`` has the form of a cloud id: 24 lower-case hex digits."""
    return CLOUD_ID.fullmatch(text) is not None


def is_ndi_id(text: str) -> bool:
    """Tell whether ``text`` has the form of an ndi id: 16 hex digits, ``_``, 16 hex digits."""
    return NDI_ID.fullmatch(text) is not None


def as_list(value: object) -> list[Any]:
    """Undo the list-or-single quirk: nothing gives ``[]``, a single value a list of one."""
    if isinstance(value, list):
        return value
    if value is None or value in ("", {}):
        return []
    return [value]


def as_object(value: object) -> Json:
    """``value`` where it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_text(value: object) -> str:
    """``value`` where it is a string, else ``""``; what UTF-8 cannot hold becomes ``?``."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")


def as_size(value: object) -> int | None:
    """``value`` where it is a whole number of bytes from 0 to 2^63 - 1, else None."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= _MAX_SIZE and value == int(value) else None


def _identity(row: Json) -> str:
    return as_text(row.get("id")) or as_text(row.get("_id"))


@dataclass(frozen=True, slots=True)
class Organization:
    """An organization of the signed-in user."""

    id: str
    name: str
    can_upload: bool

    @classmethod
    def from_json(cls, row: object) -> Organization | None:
        """Read one item of ``user.organizations`` (section 3)."""
        data = as_object(row)
        if not _identity(data):
            return None
        return cls(_identity(data), as_text(data.get("name")), data.get("canUploadDataset") is True)


@dataclass(frozen=True, slots=True)
class User:
    """The signed-in user and their organizations."""

    id: str
    email: str
    name: str
    is_admin: bool
    organizations: tuple[Organization, ...]

    @classmethod
    def from_json(cls, row: object) -> User:
        """Read ``user`` of the login answer, or the answer of ``/users/me`` (section 3)."""
        data = as_object(row)
        found = (Organization.from_json(item) for item in as_list(data.get("organizations")))
        return cls(
            id=_identity(data),
            email=as_text(data.get("email")),
            name=as_text(data.get("name")),
            is_admin=data.get("isAdmin") is True,
            organizations=tuple(item for item in found if item is not None),
        )


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A row of a dataset list (section 4.2). ``updated_at`` is ISO text, ``""`` when absent."""

    id: str
    name: str
    organization_id: str
    updated_at: str
    is_published: bool

    @classmethod
    def from_json(cls, row: object) -> DatasetRow | None:
        """Read one row of any dataset list."""
        data = as_object(row)
        if not _identity(data):
            return None
        return cls(
            id=_identity(data),
            name=as_text(data.get("name")),
            organization_id=as_text(data.get("organizationId")),
            updated_at=as_text(data.get("updatedAt")) or as_text(data.get("createdAt")),
            is_published=data.get("isPublished") is True,
        )


@dataclass(frozen=True, slots=True)
class FileEntry:
    """An element of ``files`` in dataset detail (section 4.3): ``size`` in bytes or None."""

    uid: str
    size: int | None
    uploaded: bool | None


@dataclass(frozen=True, slots=True)
class DatasetDetail:
    """Dataset detail (section 4.3): ``fields`` is the answer without ``documents`` and ``files``.

    ``files`` holds one entry per uid, the first where the server repeats one.
    """

    row: DatasetRow
    fields: Json
    files: tuple[FileEntry, ...]

    @classmethod
    def from_json(cls, answer: object) -> DatasetDetail | None:
        """Read the answer of ``GET /datasets/{id}``."""
        data = as_object(answer)
        row = DatasetRow.from_json(data)
        if row is None:
            return None
        entries: dict[str, FileEntry] = {}
        for item in as_list(data.get("files")):
            entry = as_object(item)
            uid = as_text(entry.get("uid"))
            if uid and uid not in entries:
                uploaded = entry.get("uploaded")
                entries[uid] = FileEntry(
                    uid,
                    as_size(entry.get("size")),
                    uploaded if isinstance(uploaded, bool) else None,
                )
        fields = {key: value for key, value in data.items() if key not in ("documents", "files")}
        return cls(row, fields, tuple(entries.values()))


@dataclass(frozen=True, slots=True)
class Summary:
    """A document as lists and queries give it (section 5.1): ids, class and name, no body.

    ``ndi_id`` and ``name`` may be ``""``; ``class_name`` never is (``unknown`` then).
    """

    id: str
    ndi_id: str
    class_name: str
    name: str

    @classmethod
    def from_json(cls, row: object) -> Summary | None:
        """Read one row of a document list or of an ndiquery answer."""
        data = as_object(row)
        if not _identity(data):
            return None
        return cls(
            id=_identity(data),
            ndi_id=as_text(data.get("ndiId")),
            class_name=as_text(data.get("className")) or UNKNOWN_CLASS,
            name=as_text(data.get("name")),
        )


@dataclass(frozen=True, slots=True)
class Document:
    """A document with its body: the NDI JSON, without what the server put around it."""

    summary: Summary
    body: Json = field(repr=False)

    @classmethod
    def from_json(cls, answer: object) -> Document | None:
        """Read a hoisted (5.2, 5.9) or wrapped (5.8) document.

        The class and the ndi id come from the columns, else from the body.
        """
        data = as_object(answer)
        if not _identity(data):
            return None
        body = as_object(data.get("data"))
        if not body:
            body = {
                key: value
                for key, value in data.items()
                if key not in _INJECTED_KEYS and not (key == "data" and not value)
            }
        base = as_object(body.get("base"))
        document_class = as_object(body.get("document_class"))
        summary = Summary(
            id=_identity(data),
            ndi_id=as_text(data.get("ndiId")) or as_text(base.get("id")),
            class_name=as_text(data.get("className"))
            or as_text(document_class.get("class_name"))
            or UNKNOWN_CLASS,
            name=as_text(data.get("name")) or as_text(base.get("name")),
        )
        return cls(summary, body)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a bulk-fetch brought. ``hollow``: ids whose bodies came without content, twice."""

    documents: tuple[Document, ...]
    hollow: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SummaryPage:
    """A page of summaries. ``rows`` counts what the server sent, ``total`` what it announced."""

    documents: tuple[Summary, ...]
    rows: int
    total: int | None


@dataclass(frozen=True, slots=True)
class FileDetail:
    """File detail (section 6.2): ``size`` in bytes or None; ``url`` None when not available yet."""

    uid: str
    size: int | None
    url: str | None = field(repr=False)

    @classmethod
    def from_json(cls, answer: object, uid: str) -> FileDetail:
        """Read the answer of ``GET .../files/{uid}/detail``; ``uid`` is the one asked for."""
        data = as_object(answer)
        return cls(uid, as_size(data.get("size")), as_text(data.get("downloadUrl")) or None)


def always() -> bool:
    """Of an answer that is wanted whatever happens."""
    return True


class NotWanted(Exception):
    """Nobody wants an answer any more: what is left of it stays unread."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of an object go, and whether they are still wanted; asked by any thread."""

    bytes: memoryview = field(repr=False)
    wanted: Callable[[], bool] = always


@dataclass(frozen=True, slots=True)
class ObjectRange:
    """Bytes of an object from ``start``; ``total`` is the size of the whole object in bytes.

    ``ranged``: the answer was one to a range, as only an object store gives it. Anything that
    stands between may give a whole other thing instead. ``placed``: how many bytes were put where
    the caller wanted them; then there are none here.
    """

    data: bytes = field(repr=False)
    start: int
    total: int
    ranged: bool = True
    placed: int = 0


@dataclass(frozen=True, slots=True)
class BulkJob:
    """A bulk upload of files (section 6.4). ``state``: queued, extracting, complete or failed."""

    id: str
    state: str
    files_extracted: int | None
    total_files: int | None
    error: str

    @classmethod
    def from_json(cls, row: object) -> BulkJob | None:
        """Read a job, alone or as a row of ``jobs``."""
        data = as_object(row)
        identity = as_text(data.get("jobId")) or _identity(data)
        if not identity:
            return None
        return cls(
            id=identity,
            state=as_text(data.get("state")),
            files_extracted=as_size(data.get("filesExtracted")),
            total_files=as_size(data.get("totalFiles")),
            error=as_text(data.get("error")),
        )
