"""The journal: what was closed and is not seen on the server yet, in order, and safe.

A document has at most one pending entry for its body: a later body takes the place of an earlier
one and inherits what the server may show meanwhile. What was never sent and is taken back leaves
no trace. An entry is named by its generation; the result of one that is gone counts for nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ndicloudfs.writeback import rows
from ndicloudfs.writeback.entries import ANYTHING, PARKED, Entry, Kind, Place, State
from ndicloudfs.writeback.ledger import FILES, Ledger, Result, dataset_of, of_document, on_server
from ndicloudfs.writeback.rows import change, entries_of, entry_of, insert, remove

# Names of documents that were made here go on resolving for so long (s) at least.
ALIASES_KEPT = 90 * 86_400.0


class Journal(Ledger):
    """The entries of one account on one host. Used by any thread of the process that owns it.

    ``unneeded`` is called with the uid of a staged object that no entry needs any more; ``clock``
    tells seconds of the epoch.
    """

    def __init__(
        self, path: Path, unneeded: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        super().__init__(path)
        self._unneeded = unneeded
        self._clock = clock
        with suppress(OSError):  # a disk that is full has no room for a clean-up either
            self._database.write(
                lambda connection: connection.execute(
                    "DELETE FROM made WHERE made_at < ?", (clock() - ALIASES_KEPT,)
                )
            )

    # -- commits: each returns after it is on the disk ------------------------------------------

    def put_document(
        self, place: Place, data: bytes, base: str, mtime_ns: int, *, unheard_of: bool = False
    ) -> Entry:
        """A new body; ``base`` is the fingerprint of the one it was made from, ``""`` for none.

        ``unheard_of``: its ndi id has just been made up, so there is nothing about it.
        """
        first = True

        def work(connection: sqlite3.Connection) -> Entry:
            nonlocal first
            here = on_server(connection, place) if unheard_of else self._here(connection, place)
            others = [] if unheard_of else of_document(connection, here)
            if here.document_id and not (base or place.document_id or others):
                # Whoever writes has found none: the one that was made here once is gone.
                self._forget_made(connection, here)
                here = replace(here, document_id="")
            entry = self._new(
                here,
                Kind.DOCUMENT,
                size=len(data),
                mtime_ns=mtime_ns,
                expected=(base,) if base else (),
                is_new=not (here.document_id or base),
            )
            first = entry.is_new and not others
            for old in _replaceable(others):
                if _deletion_sent(old):  # the old one is going: this is another one
                    entry = replace(entry, document_id="", expected=(), is_new=True)
                    self._take_along(connection, here, old.generation)
                    continue
                remove(connection, [old.generation])
                if _is_named_anew(old, entry) and old.document_id:
                    self._remember_made(connection, entry, entry.name, old.document_id)
                entry = replace(
                    entry,
                    document_id=entry.document_id or old.document_id,
                    name=_name(old, entry),
                    queued_at=old.queued_at,
                    expected=old.expected,
                    is_new=old.is_new,
                    sent_at=old.sent_at,
                    sends=old.sends,
                )
            self._heard.note(entry.name, entry.ndi_id)
            return insert(connection, entry, data)

        return self._commit(work, lambda: first)

    def put_deletion(self, place: Place, base: str, *, aside: bool = False) -> Entry:
        """The document is to go, if it is still ``base`` (``""``: whatever it is).

        One that was never sent just goes from the journal. ``aside``: an editor is about to write
        it anew; what is pending about its files waits for that, and goes with the document only.
        """

        def work(connection: sqlite3.Connection) -> tuple[Entry, list[str]]:
            here = self._here(connection, place)
            entry = self._new(here, Kind.DELETION)
            files = self._pending(connection, here, *FILES)
            waiting = aside and bool(files)
            if aside:
                files = []
            remove(connection, [old.generation for old in files])
            entry = replace(entry, expected=(base or ANYTHING,))
            needed = True
            for old in _replaceable(of_document(connection, here)):
                if _deletion_sent(old):
                    needed = False  # unless something was made after it
                    continue
                remove(connection, [old.generation])
                needed = not old.is_new or old.sends > 0 or waiting
                entry = replace(
                    entry,
                    document_id=entry.document_id or old.document_id,
                    expected=old.expected + entry.expected,
                    is_new=old.is_new,
                    sent_at=old.sent_at if old.is_new else None,
                    sends=old.sends,
                )
            if needed:
                self._heard.note(entry.name, entry.ndi_id)
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
            self._heard.note(name)
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
            known = dataset_of(connection, entry.dataset_id)
            stamped = replace(entry, dataset_id=known, queued_at=self._clock())
            return insert(connection, stamped, body)

        return self._commit(work)

    def put_class(self, dataset_id: str, class_name: str) -> None:
        """Keep a class folder that has no document yet."""
        self._commit(
            lambda connection: connection.execute(
                "INSERT OR IGNORE INTO classes VALUES (?, ?)",
                (dataset_of(connection, dataset_id), class_name),
            )
        )
        with self._lock:
            self._datasets.add(self.dataset(dataset_id))

    def remove_class(self, dataset_id: str, class_name: str) -> None:
        """Keep a class folder no longer."""
        self._commit(
            lambda connection: connection.execute(
                "DELETE FROM classes WHERE dataset_id = ? AND class_name = ?",
                (dataset_of(connection, dataset_id), class_name),
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

        def work(connection: sqlite3.Connection) -> list[str]:
            everything = [entry.generation for entries, _ in works for entry in entries]
            there = rows.still_there(connection, everything)
            over: list[int] = []
            unneeded: list[str] = []
            for entries, document_id in works:
                main = next((one for one in entries if one.kind not in FILES), None)
                if main is None or main.generation in there:
                    over += [entry.generation for entry in entries]
                    if main is not None and main.kind is Kind.DELETION:
                        files = self._files_before(connection, main, main.generation)
                        over += [file.generation for file in files]
                        unneeded += [file.uid for file in files if file.staged]
                if main is not None:
                    self._settle(connection, main, document_id)
            remove(connection, over)
            return unneeded

        self._let_go(self._write(work))
        for dataset_id in {entry.dataset_id for entries, _ in works for entry in entries}:
            self._forget_dataset(dataset_id)

    def _settle(self, connection: sqlite3.Connection, main: Entry, document_id: str) -> None:
        """Note what a document is called on the server now, or that it is gone."""
        if main.kind is Kind.DELETION:
            self._forget_made(connection, main)
        if main.kind is not Kind.DOCUMENT or document_id in ("", main.document_id):
            return
        # It may have been renamed while it was sent, and may have a newer body.
        about = of_document(connection, main, "kind = 'document'")
        name = about[-1].name if about else main.name
        # Whatever else there is about it, also a newer body, is about that document now.
        connection.execute(
            "UPDATE entries SET document_id = ? WHERE dataset_id = ? AND ndi_id = ?"
            " AND document_id = ?",
            (document_id, main.dataset_id, main.ndi_id, main.document_id),
        )
        self._remember_made(connection, main, name, document_id)

    def begin_anew(self, entries: Sequence[Entry]) -> None:
        """The document of these entries is gone from the server: they make another one."""

        def work(connection: sqlite3.Connection) -> None:
            change(connection, [entry.generation for entry in entries], document_id="", is_new=True)
            for entry in entries:
                self._forget_made(connection, entry)

        self._write(work)

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
            self._first_ids[dataset_id] = entry.dataset_id
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

    # -- inside --------------------------------------------------------------------------------

    def _remember_made(
        self, connection: sqlite3.Connection, place: Place, name: str, document_id: str
    ) -> None:
        """A document goes on resolving under the name that it was written under."""
        self._heard.note(name)
        connection.execute(
            "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?, ?)",
            (place.dataset_id, place.ndi_id, place.class_name, name, document_id, self._clock()),
        )

    def _forget_made(self, connection: sqlite3.Connection, place: Place) -> None:
        connection.execute(
            "DELETE FROM made WHERE dataset_id = ? AND ndi_id = ?", (place.dataset_id, place.ndi_id)
        )

    def _take_along(self, connection: sqlite3.Connection, place: Place, generation: int) -> None:
        """What was pending of files before a document was moved aside is about the new one."""
        files = self._files_before(connection, place, generation)
        remove(connection, [file.generation for file in files])
        for file in files:
            insert(connection, replace(file, document_id=""))

    def _files_before(
        self, connection: sqlite3.Connection, place: Place, generation: int
    ) -> list[Entry]:
        files = self._pending(connection, place, *FILES)
        return [file for file in files if file.generation < generation]

    def _let_go(self, uids: Iterable[str]) -> None:
        for uid in uids:
            self._unneeded(uid)

    def _new(self, place: Place, kind: Kind, **values: Any) -> Entry:
        return Entry(
            dataset_id=place.dataset_id,
            organization_id=place.organization_id,
            class_name=place.class_name,
            ndi_id=place.ndi_id,
            document_id=place.document_id,
            name=place.name,
            kind=kind,
            queued_at=self._clock(),
            **values,
        )

    def _here(self, connection: sqlite3.Connection, place: Place) -> Place:
        """The place with the ids that the server has given meanwhile."""
        here = on_server(connection, place)
        if here.document_id or not here.ndi_id:
            return here
        row = connection.execute(
            "SELECT document_id FROM made WHERE dataset_id = ? AND ndi_id = ?",
            (here.dataset_id, here.ndi_id),
        ).fetchone()
        return here if row is None else replace(here, document_id=row[0])

    def _pending(self, connection: sqlite3.Connection, place: Place, *kinds: Kind) -> list[Entry]:
        """The entries of a document that are not parked, in order."""
        return _waiting(of_document(connection, place), *kinds)

    def _attached(self, connection: sqlite3.Connection, place: Place, uid: str) -> list[Entry]:
        """What attaches the object ``uid`` to a document and is not parked."""
        if not uid:
            return []
        found = connection.execute(
            "SELECT * FROM entries WHERE uid = ? AND uid != '' ORDER BY generation", (uid,)
        ).fetchall()
        about = [entry for entry in entries_of(found) if entry.same_document(place)]
        return _waiting(about, Kind.ATTACHMENT)

    def _commit(
        self, work: Callable[[sqlite3.Connection], Result], adds: Callable[[], bool] = lambda: False
    ) -> Result:
        result = self._write(work, adds)
        entry = result[0] if isinstance(result, tuple) else result
        if isinstance(entry, Entry):
            with self._lock:
                self._datasets.add(entry.dataset_id)
        return result


def _name(old: Entry, new: Entry) -> str:
    """The name that a document was written under, where a body takes the place of ``old``."""
    return new.name if old.kind is Kind.DELETION or not old.name else old.name


def _is_named_anew(old: Entry, new: Entry) -> bool:
    """A deletion ends a name; the id of a document needs none."""
    return old.kind is Kind.DELETION and new.name not in ("", new.ndi_id)


def _waiting(entries: Iterable[Entry], *kinds: Kind) -> list[Entry]:
    """Those of some kinds that are not parked."""
    return [entry for entry in entries if entry.kind in kinds and entry.state not in PARKED]


def _replaceable(entries: Iterable[Entry]) -> list[Entry]:
    """The bodies and deletions that a later one takes the place of, also where they were refused.

    A conflict stays: its version is to be chosen or given up.
    """
    kinds = (Kind.DELETION, Kind.DOCUMENT)
    return [one for one in entries if one.kind in kinds and one.state is not State.CONFLICT]


def _deletion_sent(entry: Entry) -> bool:
    """Whether the server may have deleted the document already."""
    sent = entry.sent_at is not None
    return entry.kind is Kind.DELETION and bool(entry.document_id) and sent
