"""The metadata index: what is known of organizations, datasets, documents and objects.

One SQLite file per server and account, so that nobody sees another account's drafts. Everything in
it can be fetched again. A *listing* is a set of rows that was fetched as a whole; ``listing`` says
when, and a listing that is not in it is not known, however many of its rows are.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from ndicloudfs.cache.database import Database
from ndicloudfs.cache.rendering import FileLink
from ndicloudfs.cloud.values import DatasetRow, Json, Organization, Summary

Row: TypeAlias = tuple[Any, ...]
Given = ParamSpec("Given")
Result = TypeVar("Result")

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE listing (          -- what was fetched as a whole, and when (epoch s)
    key TEXT PRIMARY KEY,
    fetched_at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE organization (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    can_upload INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE dataset (          -- a row of a dataset list, once per list that shows it
    list TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    is_published INTEGER NOT NULL,
    PRIMARY KEY (list, id)
) WITHOUT ROWID;
CREATE TABLE dataset_fields (   -- dataset detail without its arrays, as JSON
    dataset_id TEXT PRIMARY KEY,
    fields TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE class_count (
    dataset_id TEXT NOT NULL,
    class_name TEXT NOT NULL,
    documents INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, class_name)
) WITHOUT ROWID;
CREATE TABLE document (         -- size, mtime and has_files are known once the body was seen
    dataset_id TEXT NOT NULL,
    id TEXT NOT NULL,
    ndi_id TEXT NOT NULL,
    class_name TEXT NOT NULL,
    name TEXT NOT NULL,
    seen_at REAL NOT NULL,      -- when a listing or query last showed it
    body_at REAL,               -- when its body was last fetched
    size INTEGER,               -- bytes of the rendered body
    mtime_ns INTEGER,
    has_files INTEGER,
    PRIMARY KEY (dataset_id, id)
) WITHOUT ROWID;
CREATE INDEX document_by_class ON document (dataset_id, class_name, ndi_id, id);
CREATE TABLE document_file (    -- the files a document names, in its own order
    dataset_id TEXT NOT NULL,
    document_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    PRIMARY KEY (dataset_id, document_id, position),
    FOREIGN KEY (dataset_id, document_id) REFERENCES document (dataset_id, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE object (           -- size as a list stated it, or verified against the object itself
    dataset_id TEXT NOT NULL,
    uid TEXT NOT NULL,
    size INTEGER NOT NULL,
    verified INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, uid)
) WITHOUT ROWID;
"""

_DOCUMENT_COLUMNS = "id, ndi_id, class_name, name, body_at, size, mtime_ns, has_files"


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document as the index knows it; the last four are None until its body was seen."""

    id: str
    ndi_id: str
    class_name: str
    name: str
    body_at: float | None
    size: int | None
    mtime_ns: int | None
    has_files: bool | None


@dataclass(frozen=True, slots=True)
class BodyFacts:
    """What the index keeps of a body that was fetched."""

    summary: Summary
    size: int
    mtime_ns: int | None
    files: tuple[FileLink, ...]


def _whatever_the_disk_does(
    method: Callable[Concatenate[Index, Given], Result],
) -> Callable[Concatenate[Index, Given], Result]:
    """Run ``method``, which is one transaction, again in memory where the file fails it."""

    @wraps(method)
    def run(self: Index, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return method(self, *args, **kwargs)
        except sqlite3.DatabaseError as error:
            if not self.give_up_file(error):
                raise
            return method(self, *args, **kwargs)

    return run


class Index:
    """Typed questions to the index; every method is one short transaction."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def give_up_file(self, error: sqlite3.Error) -> bool:
        """Go on in memory where ``error`` is the disk's or the file's; whether it is."""
        return self._database.give_up_file(error)

    # Listings

    def fetched_at(self, key: str) -> float | None:
        """When listing ``key`` was last fetched (epoch s), or None."""
        row = self._one("SELECT fetched_at FROM listing WHERE key = ?", (key,))
        return None if row is None else row[0]

    @_whatever_the_disk_does
    def mark(self, key: str, now: float) -> None:
        """Note that listing ``key`` was fetched, as other work has done."""
        with self._database.write() as database:
            _mark(database, key, now)

    # Organizations and datasets

    @_whatever_the_disk_does
    def replace_organizations(self, key: str, rows: Iterable[Organization], now: float) -> None:
        """Keep ``rows`` as all organizations of the account."""
        with self._database.write() as database:
            database.execute("DELETE FROM organization")
            database.executemany(
                "INSERT OR IGNORE INTO organization VALUES (?, ?, ?)",
                [(row.id, row.name, row.can_upload) for row in rows],
            )
            _mark(database, key, now)

    def organizations(self) -> list[Organization]:
        """All organizations, by id."""
        rows = self._all("SELECT id, name, can_upload FROM organization ORDER BY id")
        return [Organization(id_, name, bool(upload)) for id_, name, upload in rows]

    @_whatever_the_disk_does
    def replace_datasets(self, key: str, rows: Iterable[DatasetRow], now: float) -> None:
        """Keep ``rows`` as the whole of dataset list ``key``."""
        with self._database.write() as database:
            database.execute("DELETE FROM dataset WHERE list = ?", (key,))
            database.executemany(
                "INSERT OR IGNORE INTO dataset VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (key, row.id, row.name, row.organization_id, row.updated_at, row.is_published)
                    for row in rows
                ],
            )
            _mark(database, key, now)

    def datasets(self, key: str) -> list[DatasetRow]:
        """The datasets of list ``key``, by id."""
        rows = self._all(
            "SELECT id, name, organization_id, updated_at, is_published FROM dataset"
            " WHERE list = ? ORDER BY id",
            (key,),
        )
        return [_dataset_row(row) for row in rows]

    def dataset(self, dataset_id: str) -> DatasetRow | None:
        """The dataset in whichever list shows it."""
        row = self._one(
            "SELECT id, name, organization_id, updated_at, is_published FROM dataset"
            " WHERE id = ? ORDER BY updated_at DESC LIMIT 1",
            (dataset_id,),
        )
        return None if row is None else _dataset_row(row)

    @_whatever_the_disk_does
    def put_detail(
        self,
        key: str,
        dataset_id: str,
        fields: Json,
        sizes: Iterable[tuple[str, int]],
        now: float,
    ) -> None:
        """Keep the fields of dataset detail and the object sizes (uid, bytes) that it states."""
        with self._database.write() as database:
            database.execute(
                "INSERT OR REPLACE INTO dataset_fields VALUES (?, ?)",
                (dataset_id, json.dumps(fields)),
            )
            database.executemany(
                "INSERT INTO object VALUES (?, ?, ?, 0) ON CONFLICT DO UPDATE"
                " SET size = excluded.size WHERE NOT verified",
                [(dataset_id, uid, size) for uid, size in sizes],
            )
            _mark(database, key, now)

    def dataset_fields(self, dataset_id: str) -> Json | None:
        """The fields of dataset detail, if they were ever fetched."""
        row = self._one("SELECT fields FROM dataset_fields WHERE dataset_id = ?", (dataset_id,))
        fields: Json | None = None if row is None else json.loads(row[0])
        return fields

    # Classes

    @_whatever_the_disk_does
    def replace_classes(
        self, key: str, dataset_id: str, counts: Iterable[tuple[str, int]], now: float
    ) -> None:
        """Keep ``counts`` (class, documents) as all classes of the dataset."""
        with self._database.write() as database:
            database.execute("DELETE FROM class_count WHERE dataset_id = ?", (dataset_id,))
            database.executemany(
                "INSERT INTO class_count VALUES (?, ?, ?)",
                [(dataset_id, class_name, count) for class_name, count in counts],
            )
            _mark(database, key, now)

    def class_counts(self, dataset_id: str) -> list[tuple[str, int]]:
        """Classes and their number of documents, by class.

        A class of documents that are listed is among them, whatever the server counts: rows
        without a class are counted under that of their body.
        """
        return self._all(
            "WITH counted AS"
            " (SELECT class_name, documents FROM class_count WHERE dataset_id = ?)"
            " SELECT * FROM counted UNION ALL"
            " SELECT class_name, count(*) FROM document WHERE dataset_id = ?"
            "  AND class_name NOT IN (SELECT class_name FROM counted) GROUP BY class_name"
            " ORDER BY class_name",
            (dataset_id, dataset_id),
        )

    # Documents

    @_whatever_the_disk_does
    def put_summaries(self, dataset_id: str, summaries: Iterable[Summary], now: float) -> None:
        """Add or update documents; what is known of a body stays."""
        with self._database.write() as database:
            database.executemany(
                "INSERT INTO document (dataset_id, id, ndi_id, class_name, name, seen_at)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET ndi_id = excluded.ndi_id,"
                " class_name = excluded.class_name, name = excluded.name,"
                " seen_at = excluded.seen_at",
                [(dataset_id, s.id, s.ndi_id, s.class_name, s.name, now) for s in summaries],
            )

    @_whatever_the_disk_does
    def finish_class(self, key: str, dataset_id: str, class_name: str, since: float) -> None:
        """Make the class's listing whole: documents not seen since ``since`` are gone."""
        with self._database.write() as database:
            database.execute(
                "DELETE FROM document WHERE dataset_id = ? AND class_name = ? AND seen_at < ?",
                (dataset_id, class_name, since),
            )
            _mark(database, key, since)

    @_whatever_the_disk_does
    def finish_dataset(self, class_key_prefix: str, dataset_id: str, since: float) -> None:
        """Make the listing of every class whole: documents not seen since ``since`` are gone."""
        with self._database.write() as database:
            database.execute(
                "DELETE FROM document WHERE dataset_id = ? AND seen_at < ?", (dataset_id, since)
            )
            classes = database.execute(
                "SELECT DISTINCT class_name FROM document WHERE dataset_id = ?", (dataset_id,)
            ).fetchall()
            for (class_name,) in classes:
                _mark(database, class_key_prefix + class_name, since)

    @_whatever_the_disk_does
    def remove_documents(self, dataset_id: str, ids: Iterable[str]) -> None:
        """Forget documents that are no longer on the server."""
        with self._database.write() as database:
            database.executemany(
                "DELETE FROM document WHERE dataset_id = ? AND id = ?",
                [(dataset_id, id_) for id_ in ids],
            )

    def count_seen(self, dataset_id: str, since: float, class_name: str = "") -> int:
        """Documents of the dataset, or of one class of it, that were seen since ``since``."""
        row = self._one(
            "SELECT count(*) FROM document WHERE dataset_id = ? AND seen_at >= ?"
            " AND ? IN ('', class_name)",
            (dataset_id, since, class_name),
        )
        return 0 if row is None else int(row[0])

    def document(self, dataset_id: str, document_id: str) -> DocumentRow | None:
        """One document by cloud id."""
        row = self._one(
            f"SELECT {_DOCUMENT_COLUMNS} FROM document WHERE dataset_id = ? AND id = ?",
            (dataset_id, document_id),
        )
        return None if row is None else _document_row(row)

    def documents_with_ndi_id(
        self, dataset_id: str, class_name: str, ndi_id: str
    ) -> list[DocumentRow]:
        """The documents of a class that share an ndi id, by cloud id."""
        rows = self._all(
            # Left to itself SQLite walks the whole dataset: 10 ms a look-up among 100,000.
            f"SELECT {_DOCUMENT_COLUMNS} FROM document INDEXED BY document_by_class"
            " WHERE dataset_id = ? AND class_name = ? AND ndi_id = ? ORDER BY ndi_id, id",
            (dataset_id, class_name, ndi_id),
        )
        return [_document_row(row) for row in rows]

    def documents_of_class(
        self,
        dataset_id: str,
        class_name: str,
        after: tuple[str, str] = ("", ""),
        limit: int = 1000,
    ) -> list[DocumentRow]:
        """Up to ``limit`` documents of a class after (ndi id, cloud id), in that order."""
        rows = self._all(
            f"SELECT {_DOCUMENT_COLUMNS} FROM document"
            " WHERE dataset_id = ? AND class_name = ? AND (ndi_id, id) > (?, ?)"
            " ORDER BY ndi_id, id LIMIT ?",
            (dataset_id, class_name, *after, limit),
        )
        return [_document_row(row) for row in rows]

    def every_document_of_class(self, dataset_id: str, class_name: str) -> Iterator[DocumentRow]:
        """Every document of a class by (ndi id, cloud id), a page in memory at a time."""
        after = ("", "")
        while page := self.documents_of_class(dataset_id, class_name, after):
            yield from page
            after = (page[-1].ndi_id, page[-1].id)

    # Bodies

    @_whatever_the_disk_does
    def put_bodies(self, dataset_id: str, bodies: Sequence[BodyFacts], now: float) -> None:
        """Keep what was learnt from fetched bodies."""
        with self._database.write() as database:
            database.executemany(
                "INSERT INTO document VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                # Lists decide about class and ndi id, which make the path: a body that says more
                # than its row must not move the document.
                " ON CONFLICT DO UPDATE SET body_at = excluded.body_at, size = excluded.size,"
                " mtime_ns = excluded.mtime_ns, has_files = excluded.has_files",
                [
                    (
                        dataset_id,
                        body.summary.id,
                        body.summary.ndi_id,
                        body.summary.class_name,
                        body.summary.name,
                        now,
                        now,
                        body.size,
                        body.mtime_ns,
                        bool(body.files),
                    )
                    for body in bodies
                ],
            )
            database.executemany(
                "DELETE FROM document_file WHERE dataset_id = ? AND document_id = ?",
                [(dataset_id, body.summary.id) for body in bodies],
            )
            database.executemany(
                "INSERT INTO document_file VALUES (?, ?, ?, ?, ?)",
                [
                    (dataset_id, body.summary.id, position, link.name, link.uid)
                    for body in bodies
                    for position, link in enumerate(body.files)
                ],
            )

    def files(self, dataset_id: str, document_id: str) -> list[FileLink]:
        """The files that a document names, in its own order."""
        rows = self._all(
            "SELECT name, uid FROM document_file WHERE dataset_id = ? AND document_id = ?"
            " ORDER BY position",
            (dataset_id, document_id),
        )
        return [FileLink(name, uid) for name, uid in rows]

    # Objects

    def object_size(self, dataset_id: str, uid: str) -> tuple[int, bool] | None:
        """The size of an object in bytes and whether it was verified, or None."""
        row = self._one(
            "SELECT size, verified FROM object WHERE dataset_id = ? AND uid = ?",
            (dataset_id, uid),
        )
        return None if row is None else (row[0], bool(row[1]))

    @_whatever_the_disk_does
    def put_object_size(self, dataset_id: str, uid: str, size: int, *, verified: bool) -> None:
        """Keep the size of an object in bytes."""
        with self._database.write() as database:
            database.execute(
                "INSERT INTO object VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET size = excluded.size, verified = excluded.verified"
                " WHERE excluded.verified OR NOT verified",
                (dataset_id, uid, size, verified),
            )

    @_whatever_the_disk_does
    def _one(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        with self._database.read() as database:
            row: Row | None = database.execute(sql, values).fetchone()
            return row

    @_whatever_the_disk_does
    def _all(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        with self._database.read() as database:
            return database.execute(sql, values).fetchall()


def _mark(database: sqlite3.Connection, key: str, now: float) -> None:
    database.execute("INSERT OR REPLACE INTO listing VALUES (?, ?)", (key, now))


def _dataset_row(row: Row) -> DatasetRow:
    id_, name, organization_id, updated_at, is_published = row
    return DatasetRow(id_, name, organization_id, updated_at, bool(is_published))


def _document_row(row: Row) -> DocumentRow:
    id_, ndi_id, class_name, name, body_at, size, mtime_ns, has_files = row
    files = None if has_files is None else bool(has_files)
    return DocumentRow(id_, ndi_id, class_name, name, body_at, size, mtime_ns, files)
