"""The journal: what was closed and is not seen on the server yet, in order, and safe.

A document has at most one pending entry for its body: a later body takes the place of an earlier
one and inherits what the server may show meanwhile. What was never sent and is taken back leaves
no trace. An entry is named by its generation; the result of one that is gone counts for nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from ndicloudfs.writeback import rows
from ndicloudfs.writeback.database import Database
from ndicloudfs.writeback.entries import ANYTHING, PARKED, Entry, Kind, Place, Scope, State
from ndicloudfs.writeback.rows import change, entries_of, entry_of, insert, remove

Result = TypeVar("Result")

_FILES = (Kind.ATTACHMENT, Kind.DETACHMENT)
LOCAL_PREFIX = "local-"  # of the id of a dataset that the server has not made yet
# Names of documents that were made here go on resolving for so long (s) at least.
ALIASES_KEPT = 90 * 86_400.0


class Journal:
    """The entries of one account on one host. Used by any thread of the process that owns it.

    ``unneeded`` is called with the uid of a staged object that no entry needs any more; ``clock``
    tells seconds of the epoch.
    """

    def __init__(
        self, path: Path, unneeded: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._unneeded = unneeded
        self._database = Database(path, rows.SCHEMA, rows.SCHEMA_VERSION)
        self._clock = clock
        self._lock = threading.Lock()
        self._revision = 0
        with self._database.read() as connection:
            # Few: found by steps from one to the next, however long the queue is.
            self._datasets = set(_distinct(connection, "entries", "dataset_id"))
            self._datasets.update(_distinct(connection, "classes", "dataset_id"))
            self._made_datasets: dict[str, str] = {
                row[0]: row[1] for row in connection.execute("SELECT * FROM datasets").fetchall()
            }
        self._database.write(
            lambda connection: connection.execute(
                "DELETE FROM made WHERE made_at < ?", (clock() - ALIASES_KEPT,)
            )
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    # -- commits: each returns after it is on the disk ------------------------------------------

    def put_document(self, place: Place, data: bytes, base: str, mtime_ns: int) -> Entry:
        """A new body; ``base`` is the fingerprint of the one it was made from, ``""`` for none."""
        first = True

        def work(connection: sqlite3.Connection) -> Entry:
            nonlocal first
            here = self._here(connection, place)
            entry = replace(
                self._new(here, Kind.DOCUMENT, size=len(data), mtime_ns=mtime_ns),
                expected=(base,) if base else (),
                is_new=not (here.document_id or base),
            )
            others = _of_document(connection, here)
            first = entry.is_new and not others
            for old in _waiting(others, Kind.DELETION, Kind.DOCUMENT):
                if _deletion_sent(old):  # the old one is going: this is another one
                    entry = replace(entry, document_id="", expected=(), is_new=True)
                    continue
                remove(connection, [old.generation])
                entry = replace(
                    entry,
                    document_id=entry.document_id or old.document_id,
                    name=old.name or entry.name,
                    queued_at=old.queued_at,
                    expected=old.expected,
                    is_new=old.is_new,
                    sent_at=old.sent_at,
                    sends=old.sends,
                )
            return insert(connection, entry, data)

        return self._commit(work, lambda: first)

    def put_deletion(self, place: Place, base: str) -> Entry:
        """The document is to go, if it is still ``base`` (``""``: whatever it is).

        One that was never sent just goes from the journal.
        """

        def work(connection: sqlite3.Connection) -> tuple[Entry, list[str]]:
            here = self._here(connection, place)
            entry = self._new(here, Kind.DELETION)
            files = self._pending(connection, here, *_FILES)
            remove(connection, [old.generation for old in files])
            entry = replace(entry, expected=(base or ANYTHING,))
            needed = True
            for old in self._pending(connection, here, Kind.DELETION, Kind.DOCUMENT):
                if _deletion_sent(old):
                    needed = False  # unless something was made after it
                    continue
                remove(connection, [old.generation])
                needed = not old.is_new or old.sends > 0
                entry = replace(
                    entry,
                    document_id=entry.document_id or old.document_id,
                    expected=old.expected + entry.expected,
                    is_new=old.is_new,
                    sent_at=old.sent_at if old.is_new else None,
                    sends=old.sends,
                )
            if needed:
                entry = insert(connection, entry)
            return entry, [old.uid for old in files if old.staged]

        entry, unneeded = self._commit(work)
        self._let_go(unneeded)
        return entry

    def put_file(
        self, place: Place, name: str, uid: str, size: int, replaces: str, mtime_ns: int
    ) -> Entry:
        """The document is to name the staged object ``uid``, in place of ``replaces`` or anew."""

        def work(connection: sqlite3.Connection) -> tuple[Entry, list[str]]:
            here = self._here(connection, place)
            entry = replace(
                self._new(here, Kind.ATTACHMENT, size=size, mtime_ns=mtime_ns),
                name=name,
                uid=uid,
                staged=True,
                replaces=(replaces,) if replaces else (),
            )
            unneeded = []
            for old in self._attached(connection, here, replaces):
                entry = replace(
                    entry, replaces=entry.replaces + old.replaces, queued_at=old.queued_at
                )
                remove(connection, [old.generation])
                unneeded += [old.uid] if old.staged else []
            return insert(connection, entry), unneeded

        entry, unneeded = self._commit(work, lambda: not replaces)
        self._let_go(unneeded)
        return entry

    def put_name(self, generation: int, name: str) -> Entry | None:
        """The document that an entry makes is written under another name; None if it is gone."""

        def work(connection: sqlite3.Connection) -> Entry | None:
            change(connection, [generation], name=name)
            row = connection.execute(
                "SELECT * FROM entries WHERE generation = ?", (generation,)
            ).fetchone()
            return None if row is None else entry_of(row)

        return self._commit(work)

    def put_file_name(self, place: Place, uid: str, name: str, size: int) -> Entry:
        """The object ``uid`` of the document is to have another name."""

        def work(connection: sqlite3.Connection) -> Entry:
            here = self._here(connection, place)
            entry = replace(self._new(here, Kind.ATTACHMENT, size=size), name=name, uid=uid)
            for old in self._attached(connection, here, uid):
                remove(connection, [old.generation])
                entry = replace(old, name=name)
            return insert(connection, entry)

        return self._commit(work)

    def put_detachment(self, place: Place, name: str, uid: str) -> Entry:
        """The document is to name ``uid`` no longer."""

        def work(connection: sqlite3.Connection) -> tuple[Entry, list[str]]:
            here = self._here(connection, place)
            entry = replace(self._new(here, Kind.DETACHMENT), name=name, uid=uid)
            unknown_to_server, unneeded = False, []
            for old in self._attached(connection, here, uid):
                remove(connection, [old.generation])
                unneeded += [old.uid] if old.staged else []
                unknown_to_server = old.sent_at is None and old.staged and not old.replaces
                entry = replace(entry, replaces=old.replaces)
            if not unknown_to_server:
                entry = insert(connection, entry)
            return entry, unneeded

        entry, unneeded = self._commit(work)
        self._let_go(unneeded)
        return entry

    def put_dataset(self, entry: Entry, body: bytes) -> Entry:
        """An entry about a dataset itself, with the fields that it is about."""

        def work(connection: sqlite3.Connection) -> Entry:
            known = self.dataset(entry.dataset_id)
            stamped = replace(entry, dataset_id=known, queued_at=self._clock())
            return insert(connection, stamped, body)

        return self._commit(work)

    def put_class(self, dataset_id: str, class_name: str) -> None:
        """Keep a class folder that has no document yet."""
        self._commit(
            lambda connection: connection.execute(
                "INSERT OR IGNORE INTO classes VALUES (?, ?)",
                (self.dataset(dataset_id), class_name),
            )
        )
        with self._lock:
            self._datasets.add(self.dataset(dataset_id))

    def remove_class(self, dataset_id: str, class_name: str) -> None:
        """Keep a class folder no longer."""
        self._commit(
            lambda connection: connection.execute(
                "DELETE FROM classes WHERE dataset_id = ? AND class_name = ?",
                (self.dataset(dataset_id), class_name),
            )
        )

    # -- the overlay: cheap where nothing is pending ---------------------------------------------

    def dataset(self, dataset_id: str) -> str:
        """The id of a dataset on the server, for one that was made here and had another."""
        return self._made_datasets.get(dataset_id, dataset_id)

    def pending_in(self, dataset_id: str) -> bool:
        """Whether there is anything about a dataset; asks nobody."""
        return dataset_id in self._datasets or self.dataset(dataset_id) in self._datasets

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
            "dataset_id = ? AND class_name = ? AND kind IN ('document', 'deletion')",
            (self.dataset(dataset_id), class_name),
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
        with self._database.read() as connection:
            here = replace_dataset(place, self.dataset(place.dataset_id))
            found = _of_document(connection, here, "kind IN ('document', 'deletion')")
        return found[-1] if found else None

    def named(self, dataset_id: str, class_name: str, name: str) -> Entry | None:
        """The newest entry of a document that was written as ``name``, or has it as its ndi id."""
        if not self.pending_in(dataset_id):
            return None
        here = self.dataset(dataset_id)
        with self._database.read() as connection:
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
            here = self.dataset(dataset_id)
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
            here = replace_dataset(place, self.dataset(place.dataset_id))
            found = _of_document(connection, here, f"generation > {generation:d}")
            return [entry for entry in found if entry.kind in _FILES]

    def of_uid(self, uid: str) -> list[Entry]:
        """The entries about an object."""
        return self._select("uid = ? AND uid != ''", (uid,))

    def body(self, generation: int) -> bytes | None:
        """The body of an entry, None where it has none or is gone."""
        with self._database.read() as connection:
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
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT ndi_id, document_id FROM made WHERE dataset_id = ? AND class_name = ?"
                " AND name = ? ORDER BY made_at DESC",
                (self.dataset(dataset_id), class_name, name),
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
        """Whether everything that is left has failed ``tries`` times in a row."""
        where, values = self._within(scope)
        with self._database.read() as connection:
            row = connection.execute(
                f"SELECT 1 FROM entries WHERE state = 'pending' AND tries < ? AND {where} LIMIT 1",
                (tries, *values),
            ).fetchone()
        return row is None

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

    # -- what the uploader notes -------------------------------------------------------------------

    def note(self, generations: Iterable[int], **values: object) -> int:
        """Set columns of the entries that are still there; gives how many were."""
        wanted = list(generations)
        return self._write(lambda connection: change(connection, wanted, **values))

    def note_each(self, values: dict[int, dict[str, object]]) -> set[int]:
        """Set columns, others for each entry, in one commit; gives the entries still there."""

        def work(connection: sqlite3.Connection) -> set[int]:
            there = rows.still_there(connection, values)
            for generation in there:
                change(connection, [generation], **values[generation])
            return there

        return self._write(work)

    def finish(self, done: Iterable[tuple[Sequence[Entry], str]]) -> None:
        """Remove the entries of documents whose effect was seen; with each its cloud id.

        Where a newer body has come meanwhile, the changes of files stay: it does not have them.
        """
        works = list(done)

        def work(connection: sqlite3.Connection) -> None:
            everything = [entry.generation for entries, _ in works for entry in entries]
            there = rows.still_there(connection, everything)
            over: list[int] = []
            for entries, document_id in works:
                main = next((one for one in entries if one.kind not in _FILES), None)
                if main is None or main.generation in there:
                    over += [entry.generation for entry in entries]
                if main is not None:
                    self._settle(connection, main, document_id)
            remove(connection, over)

        self._write(work)
        for dataset_id in {entry.dataset_id for entries, _ in works for entry in entries}:
            self._forget_dataset(dataset_id)

    def _settle(self, connection: sqlite3.Connection, main: Entry, document_id: str) -> None:
        """Note what a document is called on the server now, or that it is gone."""
        if main.kind is Kind.DELETION:
            connection.execute(
                "DELETE FROM made WHERE dataset_id = ? AND ndi_id = ?",
                (main.dataset_id, main.ndi_id),
            )
        if main.kind is not Kind.DOCUMENT or document_id in ("", main.document_id):
            return
        # Whatever else there is about it, also a newer body, is about that document now.
        connection.execute(
            "UPDATE entries SET document_id = ? WHERE dataset_id = ? AND ndi_id = ?"
            " AND document_id = ?",
            (document_id, main.dataset_id, main.ndi_id, main.document_id),
        )
        place = (main.dataset_id, main.ndi_id, main.class_name, main.name)
        connection.execute(
            "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?, ?)",
            (*place, document_id, self._clock()),
        )

    def made_dataset(self, entry: Entry, dataset_id: str) -> None:
        """The server has given a dataset that was made here its id."""

        def work(connection: sqlite3.Connection) -> None:
            local = entry.dataset_id
            remove(connection, [entry.generation])
            connection.execute("INSERT OR REPLACE INTO datasets VALUES (?, ?)", (local, dataset_id))
            for table in ("entries", "classes", "made"):
                connection.execute(
                    f"UPDATE {table} SET dataset_id = ? WHERE dataset_id = ?", (dataset_id, local)
                )

        self._write(work)
        with self._lock:
            self._made_datasets[entry.dataset_id] = dataset_id
            self._datasets.add(dataset_id)
            self._datasets.discard(entry.dataset_id)
        self._forget_dataset(dataset_id)

    def drop(self, generations: Iterable[int]) -> list[Entry]:
        """Remove entries, whatever they are; gives those that were there."""
        wanted = list(generations)

        def work(connection: sqlite3.Connection) -> list[Entry]:
            found = [
                entry_of(row)
                for generation in wanted
                for row in connection.execute(
                    "SELECT * FROM entries WHERE generation = ?", (generation,)
                ).fetchall()
            ]
            remove(connection, wanted)
            return found

        dropped = self._write(work)
        self._let_go(entry.uid for entry in dropped if entry.staged)
        for dataset_id in {entry.dataset_id for entry in dropped}:
            self._forget_dataset(dataset_id)
        return dropped

    # -- inside ------------------------------------------------------------------------------------

    def _let_go(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self._unneeded(uid)

    def _new(self, place: Place, kind: Kind, *, size: int = 0, mtime_ns: int = 0) -> Entry:
        return Entry(
            dataset_id=place.dataset_id,
            organization_id=place.organization_id,
            class_name=place.class_name,
            ndi_id=place.ndi_id,
            document_id=place.document_id,
            name=place.name,
            kind=kind,
            size=size,
            mtime_ns=mtime_ns,
            queued_at=self._clock(),
        )

    def _here(self, connection: sqlite3.Connection, place: Place) -> Place:
        """The place with the ids that the server has given meanwhile."""
        here = replace_dataset(place, self.dataset(place.dataset_id))
        if here.document_id or not here.ndi_id:
            return here
        row = connection.execute(
            "SELECT document_id FROM made WHERE dataset_id = ? AND ndi_id = ?",
            (here.dataset_id, here.ndi_id),
        ).fetchone()
        return here if row is None else replace(here, document_id=row[0])

    def _pending(self, connection: sqlite3.Connection, place: Place, *kinds: Kind) -> list[Entry]:
        """The entries of a document that are not parked, in order."""
        return _waiting(_of_document(connection, place), *kinds)

    def _attached(self, connection: sqlite3.Connection, place: Place, uid: str) -> list[Entry]:
        """What attaches the object ``uid`` to a document and is not parked."""
        if not uid:
            return []
        found = connection.execute(
            "SELECT * FROM entries WHERE uid = ? AND uid != '' ORDER BY generation", (uid,)
        ).fetchall()
        about = [entry for entry in entries_of(found) if entry.same_document(place)]
        return _waiting(about, Kind.ATTACHMENT)

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

    def _commit(
        self, work: Callable[[sqlite3.Connection], Result], adds: Callable[[], bool] = lambda: False
    ) -> Result:
        result = self._write(work, adds)
        entry = result[0] if isinstance(result, tuple) else result
        if isinstance(entry, Entry):
            with self._lock:
                self._datasets.add(entry.dataset_id)
        return result

    def _select(self, where: str, values: tuple[object, ...], limit: str = "") -> list[Entry]:
        with self._database.read() as connection:
            return entries_of(
                connection.execute(
                    f"SELECT * FROM entries WHERE {where} ORDER BY generation {limit}", values
                ).fetchall()
            )

    def _within(self, scope: Scope) -> tuple[str, tuple[str, ...]]:
        values = {
            "dataset_id": scope.dataset_id and self.dataset(scope.dataset_id),
            "class_name": scope.class_name,
            "ndi_id": scope.ndi_id,
        }
        chosen = {name: value for name, value in values.items() if value}
        where = " AND ".join(f"{name} = ?" for name in chosen) or "1"
        return where, tuple(chosen.values())

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


def _deletion_sent(entry: Entry) -> bool:
    """Whether the server may have deleted the document already."""
    sent = entry.sent_at is not None
    return entry.kind is Kind.DELETION and bool(entry.document_id) and sent


def replace_dataset(place: Place, dataset_id: str) -> Place:
    """The same document in the dataset ``dataset_id``."""
    return place if place.dataset_id == dataset_id else replace(place, dataset_id=dataset_id)


def _waiting(entries: Iterable[Entry], *kinds: Kind) -> list[Entry]:
    """Those of some kinds that are not parked."""
    return [entry for entry in entries if entry.kind in kinds and entry.state not in PARKED]


def _of_document(connection: sqlite3.Connection, place: Place, where: str = "1") -> list[Entry]:
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
