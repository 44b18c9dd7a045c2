"""The index as a file: made once however many mounts start, damaged, and left in order."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from ndicloudfs.cache.database import Database
from ndicloudfs.cache.index import BodyFacts, Index
from ndicloudfs.cache.rendering import FileLink
from ndicloudfs.cloud.values import Organization, Summary

START = """
import sys
from pathlib import Path
from ndicloudfs.cache.index import Index
from ndicloudfs.cloud.values import Organization
sys.stdin.readline()
index = Index(Path(sys.argv[1]))
index.replace_organizations("organizations", [Organization("a" * 24, "Lab", True)], 1.0)
assert len(index.organizations()) == 1
"""


@pytest.mark.parametrize("damage", [None, b"", b"not a database at all" * 100])
def test_mounts_that_start_together_share_one_index(tmp_path: Path, damage: bytes | None) -> None:
    path = tmp_path / "index.sqlite"
    if damage is not None:
        path.write_bytes(damage)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", START, str(path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
    index = Index(path)
    assert len(index.organizations()) == 1
    index.close()


def test_work_that_fails_leaves_no_transaction_behind(tmp_path: Path) -> None:
    database = Database(tmp_path / "db", "CREATE TABLE t (x INTEGER UNIQUE);")

    class Interrupted(BaseException):
        pass

    def interrupted() -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            raise Interrupted

    with pytest.raises(Interrupted):
        interrupted()
    with pytest.raises(sqlite3.IntegrityError), database.write() as connection:
        connection.executemany("INSERT INTO t VALUES (?)", [(1,), (1,)])
    with database.write() as connection:
        connection.execute("INSERT INTO t VALUES (2)")
    with database.read() as connection:
        assert connection.execute("SELECT x FROM t").fetchall() == [(2,)]
    database.close()


def test_a_verified_size_is_not_replaced_by_a_stated_one(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    index.put_object_size("d", "u", 10, verified=True)
    index.put_object_size("d", "u", 99, verified=False)
    assert index.object_size("d", "u") == (10, True)
    index.put_object_size("d", "u", 11, verified=True)
    assert index.object_size("d", "u") == (11, True)
    index.close()


def test_the_files_of_a_document_go_with_it(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite")
    summary = Summary("a" * 24, "", "subject", "")
    index.put_bodies("d", [BodyFacts(summary, 10, None, (FileLink("a.bin", "u"),))], 1, 1.0)
    assert index.files("d", summary.id) == [FileLink("a.bin", "u")]
    index.remove_documents("d", [summary.id], 1)
    assert index.files("d", summary.id) == []
    index.close()


def test_an_answer_that_comes_late_changes_nothing_that_a_newer_one_has_said(
    tmp_path: Path,
) -> None:
    index = Index(tmp_path / "index.sqlite")
    older, newer = index.tick(), index.tick()
    moved = Summary("a" * 24, "", "treatment", "")
    index.put_summaries("d", [moved], newer)
    index.put_summaries("d", [Summary("a" * 24, "", "subject", "")], older)
    assert [row.id for row in index.every_document_of_class("d", "treatment")] == [moved.id]
    assert index.finish_class("key", "d", "treatment", newer, 0.0) == []
    assert [row.id for row in index.every_document_of_class("d", "treatment")] == [moved.id]
    index.close()


def test_a_damaged_index_is_started_afresh(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite"
    path.write_bytes(os.urandom(5000))
    index = Index(path)
    assert index.organizations() == []
    index.replace_organizations("organizations", [Organization("a" * 24, "Lab", True)], 1.0)
    index.close()
    again = Index(path)
    assert len(again.organizations()) == 1
    again.close()
