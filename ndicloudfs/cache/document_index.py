"""The metadata index's documents: which there are, and what is known of their bodies."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ndicloudfs.cache.rendering import FileLink
from ndicloudfs.cache.tables import Tables, mark_listing, whatever_the_disk_does
from ndicloudfs.cloud.values import Summary

_ANY_TIME = (float("-inf"), float("inf"))
# No answer comes later than so many ticks after it was asked for.
_TICKS_REMEMBERED = 10_000
_DOCUMENT_COLUMNS = "id, ndi_id, class_name, name, body_at, size, mtime_ns, has_files, digest"


class DocumentRow(NamedTuple):  # as a dataclass it would take a tenth of a listing's time
    """A document as the index knows it; the last five are None until its body was seen."""

    id: str
    ndi_id: str
    class_name: str
    name: str
    body_at: float | None
    size: int | None
    mtime_ns: int | None
    has_files: int | None  # 0 or 1
    digest: bytes | None  # of the rendered body


@dataclass(frozen=True, slots=True)
class DocumentName:
    """What a document is called by: its cloud id and its ndi id."""

    id: str
    ndi_id: str


@dataclass(frozen=True, slots=True)
class BodyFacts:
    """What the index keeps of a body that was fetched."""

    summary: Summary
    size: int
    mtime_ns: int | None
    files: tuple[FileLink, ...]
    digest: bytes = b""


class DocumentIndex(Tables):
    """Typed questions about documents."""

    @whatever_the_disk_does
    def put_summaries(self, dataset_id: str, summaries: Iterable[Summary], tick: int) -> None:
        """Add or update documents that an answer showed which was asked for after ``tick``.

        What is known of a body stays, and so does what newer answers have said.
        """
        with self.database.write() as database:
            news = _News(database, dataset_id, tick)
            database.executemany(
                "INSERT INTO document (dataset_id, id, ndi_id, class_name, name, seen)"
                " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET ndi_id = excluded.ndi_id,"
                " class_name = excluded.class_name, name = excluded.name, seen = excluded.seen"
                " WHERE excluded.seen >= seen",
                [
                    (dataset_id, s.id, s.ndi_id, s.class_name, s.name, tick)
                    for s in summaries
                    if news.tells(s)
                ],
            )

    @whatever_the_disk_does
    def finish_class(
        self, key: str, dataset_id: str, class_name: str, since: int, now: float
    ) -> list[DocumentName]:
        """Make the class's listing whole: what no answer has shown since ``since`` is gone.

        Gives the documents that are.
        """
        with self.database.write() as database:
            condition = "dataset_id = ? AND class_name = ? AND seen < ?"
            gone = _remove(database, condition, (dataset_id, class_name, since))
            _be_whole(database, dataset_id, class_name, since)
            mark_listing(database, key, now)
        return gone

    @whatever_the_disk_does
    def finish_dataset(
        self, class_key_prefix: str, dataset_id: str, since: int, now: float
    ) -> list[DocumentName]:
        """Make the listing of every class whole: what no answer has shown since ``since`` is gone.

        Gives the documents that are.
        """
        with self.database.write() as database:
            gone = _remove(database, "dataset_id = ? AND seen < ?", (dataset_id, since))
            _be_whole(database, dataset_id, "", since)
            classes = database.execute(
                "SELECT DISTINCT class_name FROM document WHERE dataset_id = ?", (dataset_id,)
            ).fetchall()
            for (class_name,) in classes:
                mark_listing(database, class_key_prefix + class_name, now)
        return gone

    @whatever_the_disk_does
    def remove_documents(
        self, dataset_id: str, ids: Iterable[str], tick: int
    ) -> list[DocumentName]:
        """Forget documents that an answer which was asked for after ``tick`` did not have.

        Gives those that were known.
        """
        removed = []
        with self.database.write() as database:
            for id_ in ids:
                condition = "dataset_id = ? AND id = ? AND seen <= ?"
                removed += _remove(database, condition, (dataset_id, id_, tick))
                database.execute(
                    "INSERT INTO gone VALUES (?, ?, ?)"
                    " ON CONFLICT DO UPDATE SET tick = max(tick, excluded.tick)",
                    (dataset_id, id_, tick),
                )
            database.execute("DELETE FROM gone WHERE tick < ?", (tick - _TICKS_REMEMBERED,))
        return removed

    def count_seen(self, dataset_id: str, since: int, class_name: str = "") -> int:
        """Documents of the dataset, or of one class of it, that were seen since ``since``."""
        row = self.one(
            "SELECT count(*) FROM document WHERE dataset_id = ? AND seen >= ?"
            " AND ? IN ('', class_name)",
            (dataset_id, since, class_name),
        )
        return 0 if row is None else int(row[0])

    def document(self, dataset_id: str, document_id: str) -> DocumentRow | None:
        """One document by cloud id."""
        row = self.one(
            f"SELECT {_DOCUMENT_COLUMNS} FROM document WHERE dataset_id = ? AND id = ?",
            (dataset_id, document_id),
        )
        return None if row is None else DocumentRow._make(row)

    def documents_with_ndi_id(
        self, dataset_id: str, class_name: str, ndi_id: str
    ) -> list[DocumentRow]:
        """The documents of a class that share an ndi id, by cloud id."""
        rows = self.all(
            f"SELECT {_DOCUMENT_COLUMNS} FROM document"
            " WHERE dataset_id = ? AND class_name = ? AND ndi_id = ? ORDER BY ndi_id, id",
            (dataset_id, class_name, ndi_id),
        )
        return list(map(DocumentRow._make, rows))

    def documents_of_class(
        self,
        dataset_id: str,
        class_name: str,
        after: tuple[str, str] = ("", ""),
        limit: int = 1000,
    ) -> list[DocumentRow]:
        """Up to ``limit`` documents of a class after (ndi id, cloud id), in that order."""
        rows = self.all(
            f"SELECT {_DOCUMENT_COLUMNS} FROM document"
            " WHERE dataset_id = ? AND class_name = ? AND (ndi_id, id) > (?, ?)"
            " ORDER BY ndi_id, id LIMIT ?",
            (dataset_id, class_name, *after, limit),
        )
        return list(map(DocumentRow._make, rows))

    def every_document_of_class(self, dataset_id: str, class_name: str) -> Iterator[DocumentRow]:
        """Every document of a class by (ndi id, cloud id), a page in memory at a time."""
        after = ("", "")
        while page := self.documents_of_class(dataset_id, class_name, after):
            yield from page
            after = (page[-1].ndi_id, page[-1].id)

    def bodies_wanted(
        self,
        dataset_id: str,
        class_name: str,
        *,
        limit: int,
        after: tuple[str, str] = ("", ""),
        before: tuple[str, str] = ("\U0010ffff", ""),
        believed: tuple[float, float] | None = None,
    ) -> list[DocumentRow]:
        """Documents of a class between two (ndi id, cloud id) whose bodies were never fetched.

        Or not between the times ``believed`` (epoch s), where these are given.
        """
        rows = self.all(
            f"SELECT {_DOCUMENT_COLUMNS} FROM document"
            " WHERE dataset_id = ? AND class_name = ? AND (ndi_id, id) > (?, ?)"
            " AND (ndi_id, id) < (?, ?) AND (body_at IS NULL OR NOT body_at BETWEEN ? AND ?)"
            " ORDER BY ndi_id, id LIMIT ?",
            (dataset_id, class_name, *after, *before, *(believed or _ANY_TIME), limit),
        )
        return list(map(DocumentRow._make, rows))

    # Bodies

    @whatever_the_disk_does
    def put_bodies(
        self, dataset_id: str, bodies: Sequence[BodyFacts], tick: int, now: float
    ) -> list[DocumentName]:
        """Keep what was learnt from bodies that were asked for after ``tick``.

        Gives the documents whose size was known and is another one now.
        """
        with self.database.write() as database:
            news = _News(database, dataset_id, tick)
            bodies = [body for body in bodies if news.has(body.summary)]
            resized = _resized(database, dataset_id, bodies)
            database.executemany(
                "INSERT INTO document VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
                # Lists decide about class and ndi id, which make the path: a body that says more
                # than its row must not move the document.
                " ON CONFLICT DO UPDATE SET body_at = excluded.body_at, size = excluded.size,"
                " mtime_ns = excluded.mtime_ns, has_files = excluded.has_files,"
                " digest = excluded.digest",
                [
                    (
                        dataset_id,
                        body.summary.id,
                        body.summary.ndi_id,
                        body.summary.class_name,
                        body.summary.name,
                        tick,
                        now,
                        body.size,
                        body.mtime_ns,
                        bool(body.files),
                        body.digest,
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
        return resized

    def files(self, dataset_id: str, document_id: str) -> list[FileLink]:
        """The files that a document names, in its own order."""
        rows = self.all(
            "SELECT name, uid FROM document_file WHERE dataset_id = ? AND document_id = ?"
            " ORDER BY position",
            (dataset_id, document_id),
        )
        return [FileLink(name, uid) for name, uid in rows]


class _News:
    """What newer answers leave of one that was asked for after ``tick``."""

    def __init__(self, database: sqlite3.Connection, dataset_id: str, tick: int) -> None:
        newer = "FROM {} WHERE dataset_id = ? AND tick > ?"
        whole = database.execute("SELECT class_name " + newer.format("whole"), (dataset_id, tick))
        self._whole = {class_name for (class_name,) in whole}
        gone = database.execute("SELECT id " + newer.format("gone"), (dataset_id, tick))
        self._gone = {id_ for (id_,) in gone}
        self._database = database
        self._dataset_id = dataset_id

    def tells(self, summary: Summary) -> bool:
        """Whether the document may be there, as far as is known without the answer."""
        # A newer listing of the whole class has shown it, or it is not there.
        return summary.id not in self._gone and not self._whole.intersection(
            ("", summary.class_name)
        )

    def has(self, summary: Summary) -> bool:
        """Whether the document is there."""
        if self.tells(summary):
            return True
        row = self._database.execute(
            "SELECT 1 FROM document WHERE dataset_id = ? AND id = ?",
            (self._dataset_id, summary.id),
        ).fetchone()
        return row is not None


def _be_whole(database: sqlite3.Connection, dataset_id: str, class_name: str, since: int) -> None:
    database.execute(
        "INSERT INTO whole VALUES (?, ?, ?)"
        " ON CONFLICT DO UPDATE SET tick = max(tick, excluded.tick)",
        (dataset_id, class_name, since),
    )


def _remove(
    database: sqlite3.Connection, condition: str, values: Sequence[object]
) -> list[DocumentName]:
    rows = database.execute(f"SELECT id, ndi_id FROM document WHERE {condition}", values).fetchall()
    if rows:
        database.execute(f"DELETE FROM document WHERE {condition}", values)
    return [DocumentName(*row) for row in rows]


def _resized(
    database: sqlite3.Connection, dataset_id: str, bodies: Iterable[BodyFacts]
) -> list[DocumentName]:
    found = []
    for body in bodies:
        row = database.execute(
            "SELECT ndi_id, size FROM document WHERE dataset_id = ? AND id = ?",
            (dataset_id, body.summary.id),
        ).fetchone()
        if row is not None and row[1] not in (None, body.size):
            found.append(DocumentName(body.summary.id, row[0]))
    return found
