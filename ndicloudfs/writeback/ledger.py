"""What the journal holds, to be read: over what the server lists, and in order as the queue."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TypeVar

from ndicloudfs.writeback import rows
from ndicloudfs.writeback.database import Database, unusable
from ndicloudfs.writeback.entries import Entry, Kind, Place, Scope, State
from ndicloudfs.writeback.heard import Heard
from ndicloudfs.writeback.rows import entries_of, entry_of

LOCAL_PREFIX = "local-"  # of the id of a dataset that the server has not made yet
# Takes the id of a dataset twice; ``dataset_of`` says why it is asked of the same transaction.
_IN_DATASET = (
    "dataset_id = coalesce((SELECT datasets.dataset_id FROM datasets WHERE local_id = ?), ?)"
)
# All that ``named`` and ``alias`` find documents by.
_NAMES = """
SELECT name FROM entries UNION ALL SELECT ndi_id FROM entries UNION ALL SELECT name FROM made
"""
Result = TypeVar("Result")
FILES = (Kind.ATTACHMENT, Kind.DETACHMENT)


class Ledger:
    """The entries of one account on one host. Used by any thread of the process that owns it."""

    def __init__(self, path: Path) -> None:
        self._database = Database(path, rows.SCHEMA, rows.SCHEMA_VERSION)
        self._lock = threading.Lock()
        self._revision = 0
        try:
            with self._database.read() as connection:
                self._begin(connection)
        except sqlite3.DatabaseError as error:
            self._database.close()
            raise unusable(path, error) from error

    def _begin(self, connection: sqlite3.Connection) -> None:
        # Few: found by steps from one to the next, however long the queue is.
        self._datasets = set(_distinct(connection, "entries", "dataset_id"))
        self._datasets.update(_distinct(connection, "classes", "dataset_id"))
        self._made_datasets: dict[str, str] = {
            row[0]: row[1] for row in connection.execute("SELECT * FROM datasets").fetchall()
        }
        self._first_ids = {known: local for local, known in self._made_datasets.items()}
        self._heard = Heard(row[0] for row in connection.execute(_NAMES))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # -- the overlay: cheap where nothing is pending ---------------------------------------------

    def dataset(self, dataset_id: str) -> str:
        """The id of a dataset on the server, for one that was made here and had another."""
        return self._made_datasets.get(dataset_id, dataset_id)

    def first_id(self, dataset_id: str) -> str:
        """The id that a dataset had here at first, for its id on the server."""
        return self._first_ids.get(dataset_id, dataset_id)

    def pending_in(self, dataset_id: str) -> bool:
        """Whether there is anything about a dataset; asks nobody."""
        return dataset_id in self._datasets or self.dataset(dataset_id) in self._datasets

    @property
    def writes(self) -> int:
        """Another number after anything was written."""
        return self._database.writes

    @property
    def revision(self) -> int:
        """Another number after everything but a new document or one more file of a document.

        What was read once need not be read again while it stays; ``files_after`` tells what came.
        """
        return self._revision

    def documents(self, dataset_id: str, class_name: str) -> list[Entry]:
        """The newest entry (body or deletion) of each document of a class that has one."""
        if not self.pending_in(dataset_id):
            return []
        found = self._select(
            f"{_IN_DATASET} AND class_name = ? AND kind IN ('document', 'deletion')",
            (dataset_id, dataset_id, class_name),
        )
        newest: dict[str, list[Entry]] = {}
        for entry in found:
            others = newest.get(entry.ndi_id, [])
            newest[entry.ndi_id] = [one for one in others if not one.same_document(entry)]
            newest[entry.ndi_id].append(entry)
        return [entry for entries in newest.values() for entry in entries]

    def document(self, place: Place) -> Entry | None:
        """The newest entry (body or deletion) of a document."""
        if not self.pending_in(place.dataset_id):
            return None
        with self._database.glance() as connection:
            here = on_server(connection, place)
            found = of_document(connection, here, "kind IN ('document', 'deletion')")
        return found[-1] if found else None

    def named(self, dataset_id: str, class_name: str, name: str) -> Entry | None:
        """The newest entry of a document that was written as ``name``, or has it as its ndi id."""
        if self._heard.never(name) or not self.pending_in(dataset_id):
            return None
        with self._database.glance() as connection:
            here = dataset_of(connection, dataset_id)
            row = connection.execute(
                "SELECT * FROM (SELECT * FROM entries WHERE dataset_id = ? AND class_name = ?"
                " AND name = ? UNION ALL SELECT * FROM entries WHERE dataset_id = ? AND ndi_id = ?"
                " AND class_name = ?) WHERE kind IN ('document', 'deletion')"
                " ORDER BY generation DESC LIMIT 1",
                (here, class_name, name, here, name, class_name),
            ).fetchone()
        return None if row is None else entry_of(row)

    def classes(self, dataset_id: str) -> set[str]:
        """The classes that somebody made a folder of, or wrote a document of."""
        if not self.pending_in(dataset_id):
            return set()
        with self._database.read() as connection:
            here = dataset_of(connection, dataset_id)
            found = connection.execute(
                "SELECT class_name FROM classes WHERE dataset_id = ? UNION"
                " SELECT class_name FROM entries WHERE dataset_id = ? AND kind = 'document'",
                (here, here),
            ).fetchall()
        return {row[0] for row in found}

    def files(self, place: Place) -> list[Entry]:
        """The attachments and detachments of a document, in order."""
        return self.files_after(place, 0)

    def files_after(self, place: Place, generation: int) -> list[Entry]:
        """Those that came after ``generation``."""
        if not self.pending_in(place.dataset_id):
            return []
        with self._database.read() as connection:
            here = on_server(connection, place)
            found = of_document(connection, here, f"generation > {generation:d}")
            return [entry for entry in found if entry.kind in FILES]

    def of_uid(self, uid: str) -> list[Entry]:
        """The entries about an object."""
        return self._select("uid = ? AND uid != ''", (uid,))

    def body(self, generation: int) -> bytes | None:
        """The body of an entry, None where it has none or is gone."""
        with self._database.glance() as connection:
            row = connection.execute(
                "SELECT data FROM bodies WHERE generation = ?", (generation,)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def bodies(self, generations: Sequence[int]) -> dict[int, bytes]:
        """The bodies of many entries."""
        found: dict[int, bytes] = {}
        with self._database.read() as connection:
            for start in range(0, len(generations), 500):
                part = generations[start : start + 500]
                marks = ",".join("?" * len(part))
                rows_ = connection.execute(
                    f"SELECT generation, data FROM bodies WHERE generation IN ({marks})", part
                )
                found.update({row[0]: bytes(row[1]) for row in rows_.fetchall()})
        return found

    def get(self, generation: int) -> Entry | None:
        """The entry of a generation, if it is still there."""
        found = self._select("generation = ?", (generation,))
        return found[0] if found else None

    def alias(self, dataset_id: str, class_name: str, name: str) -> tuple[str, str] | None:
        """Ndi id and cloud id of the document that was written here under ``name``."""
        if self._heard.never(name):
            return None
        with self._database.glance() as connection:
            row = connection.execute(
                # Left to itself, SQLite goes through all that was made in the dataset.
                "SELECT ndi_id, document_id FROM made INDEXED BY made_by_name"
                " WHERE dataset_id = ? AND class_name = ? AND name = ? ORDER BY made_at DESC",
                (dataset_of(connection, dataset_id), class_name, name),
            ).fetchone()
        return None if row is None else (row[0], row[1])

    # -- the queue -------------------------------------------------------------------------------

    def all(self, scope: Scope) -> list[Entry]:
        """The queue, in order."""
        return self._select(*self._within(scope))

    def about_datasets(self) -> list[Entry]:
        """The entries about datasets themselves, in order."""
        return self._select(f"kind IN {rows.ABOUT_DATASETS}", ())

    def wants(self, uid: str) -> bool:
        """Whether an entry needs the staged object ``uid``."""
        return any(entry.staged for entry in self.of_uid(uid))

    def parked(self, state: State) -> list[Entry]:
        """The entries that wait for a decision."""
        return self._select("state = ?", (state.value,))

    def totals(self) -> dict[State, int]:
        """How many entries there are of each state."""
        with self._database.read() as connection:
            counted = connection.execute(
                "SELECT CASE WHEN state = 'pending' AND sent_at IS NOT NULL THEN 'uploading'"
                " ELSE state END, count(*) FROM entries GROUP BY 1"
            ).fetchall()
        return {State(row[0]): row[1] for row in counted}

    def oldest(self) -> float | None:
        """When the entry that has waited longest was queued (epoch s); None without entries."""
        with self._database.read() as connection:
            row = connection.execute("SELECT min(queued_at) FROM entries").fetchone()
        return None if row[0] is None else float(row[0])

    def ready_files(self, now: float, most: int) -> list[Entry]:
        """The oldest files whose bytes are to be sent."""
        return self._select(
            f"state = 'pending' AND due_at <= ? AND {rows.BYTES_TO_SEND}"
            f" AND dataset_id NOT LIKE '{LOCAL_PREFIX}%'",
            (now,),
            f"LIMIT {most}",
        )

    def ready_documents(self, dataset_id: str, now: float, most: int) -> list[Entry]:
        """The oldest entries of the documents of a dataset for which nothing is to be waited."""
        return self._select(
            "dataset_id = ? AND state = 'pending' AND due_at <= ?"
            " AND kind IN ('document', 'deletion', 'attachment', 'detachment') AND NOT EXISTS"
            " (SELECT 1 FROM entries AS other WHERE other.dataset_id = entries.dataset_id"
            " AND other.ndi_id = entries.ndi_id AND other.state = 'pending'"
            " AND (other.due_at > ? OR (other.staged = 1 AND other.arrived = 0)))",
            (dataset_id, now, now),
            f"LIMIT {most}",
        )

    def next_due(self, now: float) -> float | None:
        """When the next entry is due that is not due yet."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT min(due_at) FROM entries WHERE state = 'pending' AND due_at > ?", (now,)
            ).fetchone()
        due: float | None = row[0]
        return due

    def waiting_datasets(self) -> set[str]:
        """The datasets with anything in the journal; asks nobody."""
        with self._lock:
            return set(self._datasets)

    def left(self, scope: Scope) -> tuple[int, int]:
        """How many entries are still to be done, and their bytes."""
        where, values = self._within(scope)
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT count(*), coalesce(sum(size), 0) FROM entries"
                f" WHERE state = 'pending' AND {where}",
                values,
            ).fetchone()
        return row[0], row[1]

    def hopeless(self, scope: Scope, tries: int) -> bool:
        """Whether something is left, and all of it has failed ``tries`` times in a row."""
        where, values = self._within(scope)
        pending = f"SELECT 1 FROM entries WHERE state = 'pending' AND {where}"
        with self._database.read() as connection:
            left, hopeful = connection.execute(
                f"SELECT EXISTS ({pending}), EXISTS ({pending} AND tries < ?)",
                (*values, *values, tries),
            ).fetchone()
        return bool(left) and not hopeful

    def hurry(self, scope: Scope) -> None:
        """Let nothing wait because it has failed before."""
        where, values = self._within(scope)
        self._write(
            lambda connection: connection.execute(
                "UPDATE entries SET due_at = 0, tries = 0"
                f" WHERE state = 'pending' AND (due_at > 0 OR tries > 0) AND {where}",
                values,
            )
        )

    # -- inside --------------------------------------------------------------------------------

    def _write(
        self, work: Callable[[sqlite3.Connection], Result], adds: Callable[[], bool] = lambda: False
    ) -> Result:
        """Write; ``adds`` tells afterwards whether what was known before is all still right."""
        added = False
        try:
            result = self._database.write(work)
            added = adds()
        finally:
            if not added:
                with self._lock:
                    self._revision += 1
        return result

    def _select(self, where: str, values: tuple[object, ...], limit: str = "") -> list[Entry]:
        with self._database.read() as connection:
            return entries_of(
                connection.execute(
                    f"SELECT * FROM entries WHERE {where} ORDER BY generation {limit}", values
                ).fetchall()
            )

    def _within(self, scope: Scope) -> tuple[str, tuple[str, ...]]:
        conditions: dict[str, tuple[str, ...]] = {}
        if scope.dataset_id:
            conditions[_IN_DATASET] = (scope.dataset_id, scope.dataset_id)
        if scope.class_name:
            conditions["class_name = ?"] = (scope.class_name,)
        if scope.ndi_id:
            conditions["ndi_id = ?"] = (scope.ndi_id,)
        return " AND ".join(conditions) or "1", tuple(chain(*conditions.values()))

    def _forget_dataset(self, dataset_id: str) -> None:
        """Note where nothing is pending any more."""
        with self._lock, self._database.read() as connection:
            for table in ("entries", "classes"):
                left = connection.execute(
                    f"SELECT 1 FROM {table} WHERE dataset_id = ? LIMIT 1", (dataset_id,)
                ).fetchone()
                if left is not None:
                    return
            self._datasets.discard(dataset_id)


def dataset_of(connection: sqlite3.Connection, dataset_id: str) -> str:
    """As ``Ledger.dataset``, for what else is read or written in the same transaction.

    The entries of a dataset get its new id in a transaction. Memory hears of it later: an entry
    that took its id from there could still be given the old one, and would stay behind.
    """
    if not dataset_id.startswith(LOCAL_PREFIX):
        return dataset_id
    row = connection.execute(
        "SELECT dataset_id FROM datasets WHERE local_id = ?", (dataset_id,)
    ).fetchone()
    return dataset_id if row is None else str(row[0])


def on_server(connection: sqlite3.Connection, place: Place) -> Place:
    """The same document in the dataset as the server knows it."""
    here = dataset_of(connection, place.dataset_id)
    return place if place.dataset_id == here else replace(place, dataset_id=here)


def of_document(connection: sqlite3.Connection, place: Place, where: str = "1") -> list[Entry]:
    """The entries about a document that meet a condition, in order."""
    found = connection.execute(
        f"SELECT * FROM entries WHERE dataset_id = ? AND ndi_id = ? AND {where}"
        " ORDER BY generation",
        (place.dataset_id, place.ndi_id),
    ).fetchall()
    return [entry for entry in entries_of(found) if entry.same_document(place)]


def _distinct(connection: sqlite3.Connection, table: str, column: str) -> list[str]:
    found = connection.execute(
        f"WITH RECURSIVE step(value) AS (SELECT min({column}) FROM {table} UNION ALL"
        f" SELECT (SELECT min({column}) FROM {table} WHERE {column} > value) FROM step"
        " WHERE value IS NOT NULL) SELECT value FROM step WHERE value IS NOT NULL"
    ).fetchall()
    return [row[0] for row in found]
