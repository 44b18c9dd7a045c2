"""What is closed is safe and in order, before anything is sent."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ndicloudfs.writeback import JournalInUse, Kind, Scope, State, WriteBack, fingerprint
from ndicloudfs.writeback.database import Database
from ndicloudfs.writeback.errors import JournalDamaged
from tests.support.system import until
from tests.writeback.worlds import DATASET, ORGANIZATION, data_of, opened, place


def test_a_commit_is_there_after_reopening(state: Path) -> None:
    where, back = place(), opened(state)
    back.commit_document(where, b'{"a": 1}', "")
    back.close()
    again = opened(state)
    (entry,) = again.documents(DATASET, "subject")
    assert (entry.ndi_id, entry.kind, entry.state) == (where.ndi_id, Kind.DOCUMENT, State.PENDING)
    assert again.body(entry) == b'{"a": 1}'
    again.close()


def test_nothing_pending_costs_no_query(writeback: WriteBack) -> None:
    assert not writeback.pending_in(DATASET)
    assert writeback.documents(DATASET, "subject") == []
    assert writeback.classes(DATASET) == set()


def test_a_later_body_takes_the_place_of_an_earlier_one(writeback: WriteBack) -> None:
    where = place(document_id="65f0c0ffee0000000000e001")
    writeback.commit_document(where, b'{"a": 1}', "base")
    second = writeback.commit_document(where, b'{"a": 2}', fingerprint(b'{"a": 1}'))
    (entry,) = writeback.queue()
    assert entry.generation == second.generation
    assert entry.expected == ("base",)  # what the server shows is still what it was
    assert writeback.body(entry) == b'{"a": 2}'


def test_a_new_document_that_is_deleted_leaves_no_trace(writeback: WriteBack) -> None:
    where = place()
    writeback.commit_document(where, b"{}", "")
    draft = writeback.stage()
    draft.pwrite(b"bytes", 0)
    file = writeback.commit_file(where, "x.bin", draft)
    draft.discard()
    writeback.commit_deletion(where, "")
    assert writeback.queue() == []
    assert writeback.staged(file.uid) is None
    assert not writeback.pending_in(DATASET) or writeback.documents(DATASET, "subject") == []


def test_the_deletion_of_a_known_document_is_kept_and_its_edits_are_not(
    writeback: WriteBack,
) -> None:
    where = place(document_id="65f0c0ffee0000000000e001")
    writeback.commit_document(where, b'{"a": 1}', "base")
    writeback.commit_deletion(where, "seen")
    (entry,) = writeback.queue()
    assert entry.kind is Kind.DELETION
    assert set(entry.expected) == {"base", "seen"}


def test_a_document_made_again_before_its_deletion_was_sent_is_an_edit(
    writeback: WriteBack,
) -> None:
    where = place(document_id="65f0c0ffee0000000000e001")
    writeback.commit_deletion(where, "base")
    writeback.commit_document(place(where.ndi_id), b'{"a": 1}', "")
    (entry,) = writeback.queue()
    assert entry.kind is Kind.DOCUMENT
    assert entry.document_id == where.document_id
    assert entry.expected == ("base",)


def test_attachments_are_kept_in_order_with_their_bytes(writeback: WriteBack) -> None:
    where = place(document_id="65f0c0ffee0000000000e001")
    for name in ("a.bin", "b.bin"):
        draft = writeback.stage()
        draft.pwrite(name.encode(), 0)
        writeback.commit_file(where, name, draft, "")
        draft.discard()
    writeback.commit_detachment(where, "c.bin", "an uid of the server")
    names = [(entry.kind, entry.name) for entry in writeback.files(where)]
    assert names == [
        (Kind.ATTACHMENT, "a.bin"),
        (Kind.ATTACHMENT, "b.bin"),
        (Kind.DETACHMENT, "c.bin"),
    ]
    path = writeback.staged(writeback.files(where)[0].uid)
    assert path is not None
    assert path.read_bytes() == b"a.bin"


def test_a_file_written_twice_keeps_the_last_bytes_and_what_it_stands_for(
    writeback: WriteBack,
) -> None:
    where = place(document_id="65f0c0ffee0000000000e001")
    draft = writeback.stage()
    draft.pwrite(b"first", 0)
    first = writeback.commit_file(where, "a.bin", draft, "on-the-server")
    draft.pwrite(b"F", 0)
    second = writeback.commit_file(where, "a.bin", draft, first.uid)
    draft.discard()
    (entry,) = writeback.files(where)
    assert entry.generation == second.generation
    assert set(entry.replaces) == {first.uid, "on-the-server"}
    assert writeback.staged(first.uid) is None
    path = writeback.staged(second.uid)
    assert path is not None
    assert path.read_bytes() == b"First"


def test_renaming_a_pending_file_changes_its_name_only(writeback: WriteBack) -> None:
    where = place(document_id="65f0c0ffee0000000000e001")
    draft = writeback.stage()
    draft.pwrite(b"bytes", 0)
    before = writeback.commit_file(where, "a.bin", draft)
    draft.discard()
    writeback.commit_file_name(where, before.uid, "b.bin", 5)
    (entry,) = writeback.files(where)
    assert (entry.name, entry.uid, entry.staged) == ("b.bin", before.uid, True)
    assert entry.generation > before.generation
    assert writeback.staged(entry.uid) is not None


def test_a_pending_file_that_is_removed_leaves_no_trace(writeback: WriteBack) -> None:
    where = place(document_id="65f0c0ffee0000000000e001")
    draft = writeback.stage()
    entry = writeback.commit_file(where, "a.bin", draft)
    draft.discard()
    writeback.commit_detachment(where, "a.bin", entry.uid)
    assert writeback.queue() == []
    assert writeback.staged(entry.uid) is None


def test_class_folders_and_new_datasets_are_kept(state: Path) -> None:
    back = opened(state)
    back.make_class(DATASET, "empty_class")
    made = back.create_dataset(ORGANIZATION, "A new one")
    back.close()
    again = opened(state)
    assert again.classes(DATASET) == {"empty_class"}
    assert [entry.name for entry in again.datasets(ORGANIZATION)] == ["A new one"]
    assert again.dataset_id(made.dataset_id) == made.dataset_id
    again.remove_class(DATASET, "empty_class")
    assert again.classes(DATASET) == set()
    again.close()


def test_what_is_written_just_when_a_dataset_gets_its_id_is_in_it(writeback: WriteBack) -> None:
    made = writeback.create_dataset(ORGANIZATION, "Made here")
    before, meanwhile = place(dataset_id=made.dataset_id), place(dataset_id=made.dataset_id)
    writeback.commit_document(before, data_of(before), "")
    journal = writeback._journal
    with ThreadPoolExecutor() as threads:
        with journal._lock:  # the new id is in the file, and memory has not heard of it
            given = threads.submit(journal.made_dataset, made, DATASET)
            until(lambda: {entry.dataset_id for entry in writeback.queue()} == {DATASET})
            shown = writeback.documents(made.dataset_id, "subject")
            closed = threads.submit(writeback.commit_document, meanwhile, data_of(meanwhile), "")
            until(lambda: len(writeback.queue()) == 2)
        given.result()
        closed.result()
    assert [entry.ndi_id for entry in shown] == [before.ndi_id]
    assert {entry.dataset_id for entry in writeback.queue()} == {DATASET}
    assert len(writeback.documents(made.dataset_id, "subject")) == 2


def test_what_has_arrived_meanwhile_is_no_hopeless_rest(writeback: WriteBack) -> None:
    """Who waits counts what is left, and then asks whether it is hopeless."""
    where, journal = place(), writeback._journal
    entry = writeback.commit_document(where, data_of(where), "")
    assert not journal.hopeless(Scope(), 1)
    journal.note([entry.generation], tries=1)
    assert journal.hopeless(Scope(), 1)
    journal.finish([([entry], "65f0c0ffee0000000000e001")])
    assert not journal.hopeless(Scope(), 1)


def test_a_second_owner_is_told_who_the_first_is(writeback: WriteBack, state: Path) -> None:
    with pytest.raises(JournalInUse, match=r"process \d+.*-o ro"):
        opened(state)
    opened(state, "somebody.else@example.org").close()


def test_the_journal_of_a_dead_process_is_free(state: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tests.writeback.worlds import *;"
        "back = opened(Path(sys.argv[1])); back.commit_document(place(), b'{}', '');"
        "print('ready', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(state)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
    again = opened(state)
    assert len(again.queue()) == 1
    again.close()


def test_a_damaged_journal_is_left_as_it_is(state: Path) -> None:
    back = opened(state)
    back.commit_document(place(), b"{}", "")
    file = back.folder / "journal.sqlite"
    back.close()
    file.write_bytes(b"x" * 8192)
    with pytest.raises(JournalDamaged, match="kept as it is"):
        opened(state)
    assert file.read_bytes() == b"x" * 8192


def test_only_the_owner_may_look(writeback: WriteBack) -> None:
    where = place()
    writeback.commit_document(where, b"{}", "")
    draft = writeback.stage()
    writeback.commit_file(where, "a.bin", draft)
    draft.discard()
    for path in (writeback.folder.parent, writeback.folder, *writeback.folder.rglob("*")):
        if path.is_dir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    assert stat.S_IMODE(writeback.folder.stat().st_mode) == 0o700


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    database = Database(tmp_path / "numbers.sqlite", "CREATE TABLE numbers (n INTEGER)", 1)

    def failing(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO numbers VALUES (1)")
        raise KeyError("of no use")

    with pytest.raises(KeyError):
        database.write(failing)
    database.write(lambda connection: connection.execute("INSERT INTO numbers VALUES (2)"))
    assert _numbers(database) == [2]
    database.close()


def test_a_glance_sees_what_is_committed_and_waits_for_nobody(tmp_path: Path) -> None:
    database = Database(tmp_path / "numbers.sqlite", "CREATE TABLE numbers (n INTEGER)", 1)
    database.write(lambda connection: connection.execute("INSERT INTO numbers VALUES (1)"))

    def writing(connection: sqlite3.Connection) -> list[int]:
        connection.execute("INSERT INTO numbers VALUES (2)")
        return _numbers(database)

    assert database.write(writing) == [1]
    assert _numbers(database) == [1, 2]
    database.close()
    assert _numbers(database) == [1, 2]
    database.close()


def _numbers(database: Database) -> list[int]:
    with database.glance() as connection:
        return [row[0] for row in connection.execute("SELECT n FROM numbers ORDER BY n").fetchall()]


def test_many_threads_share_their_commits(writeback: WriteBack) -> None:
    places = [place() for _ in range(400)]

    def work(part: int) -> None:
        for where in places[part::8]:
            writeback.commit_document(where, data_of(where), "")

    threads = [threading.Thread(target=work, args=(part,)) for part in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = writeback.documents(DATASET, "subject")
    assert {entry.ndi_id for entry in found} == {where.ndi_id for where in places}


def test_opening_does_not_read_the_queue(state: Path) -> None:
    back = opened(state)
    for _ in range(3000):
        back.commit_document(place(), b"{}" * 500, "")
    back.close()

    def opening(folder: Path) -> float:
        started = time.perf_counter()
        opened(folder).close()
        return time.perf_counter() - started

    opening(state / "empty")
    empty = min(opening(state / "empty") for _ in range(5))
    full = min(opening(state) for _ in range(5))
    assert full < 3 * empty + 0.01


def test_a_commit_costs_little_more_than_its_fsync(writeback: WriteBack, tmp_path: Path) -> None:
    """1,000 closes a second are possible where the disk makes 3,000 small transactions."""
    bodies = [data_of(where, text="x" * 1000) for where in (place() for _ in range(300))]
    bare = sqlite3.connect(tmp_path / "bare.sqlite", isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("CREATE TABLE bodies (generation INTEGER PRIMARY KEY, data BLOB)")

    def seconds(commit: Callable[[bytes], object]) -> float:
        started = time.perf_counter()
        for data in bodies:
            commit(data)
        return time.perf_counter() - started

    def cheap() -> bool:
        plain = seconds(lambda data: bare.execute("INSERT INTO bodies (data) VALUES (?)", (data,)))
        return seconds(lambda data: writeback.commit_document(place(), data, "")) < 3 * plain + 0.05

    until(cheap)
    bare.close()


def test_fingerprints_see_the_document_and_not_its_form() -> None:
    one = b'{"a": 1.0, "b": {"c": [1, 2]}}'
    assert fingerprint(one) == fingerprint({"b": {"c": [1, 2]}, "a": 1})
    assert fingerprint(one) != fingerprint({"b": {"c": [2, 1]}, "a": 1})
    files = {"file_info": {"name": "x", "locations": {"uid": "u", "location": "https://signed"}}}
    moved = {"file_info": {"name": "x", "locations": {"uid": "u", "location": "ndic://d/u"}}}
    assert fingerprint({"files": files}) == fingerprint({"files": moved})
    with pytest.raises(ValueError, match="JSON object"):
        fingerprint(b"[]")


def test_what_was_read_stays_right_while_files_and_new_documents_come(
    writeback: WriteBack,
) -> None:
    where, draft = place(document_id="65f0c0ffee0000000000e001"), writeback.stage()
    draft.pwrite(b"bytes", 0)
    first = writeback.commit_file(where, "1.bin", draft)
    revision = writeback.revision
    second = writeback.commit_file(where, "2.bin", draft)
    writeback.commit_document(place(), b"{}", "")
    assert writeback.revision == revision
    assert writeback.files_after(where, first.generation) == [second]
    changes: list[Callable[[], object]] = [
        lambda: writeback.commit_file(where, "2.bin", draft, second.uid),
        lambda: writeback.commit_file_name(where, first.uid, "one.bin", 5),
        lambda: writeback.commit_detachment(where, "one.bin", first.uid),
        lambda: writeback.commit_document(where, b"{}", "base"),
        lambda: writeback.commit_deletion(where, "base"),
    ]
    for change in changes:
        change()
        assert writeback.revision != revision
        revision = writeback.revision
    draft.discard()
