"""Where the sandbox keeps its state: one SQLite file in the state folder, objects beside it.

Writes go through one thread, one transaction each; reads through a few threads with a connection
of their own, each seeing one consistent state. Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_READERS = 4

_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE COLLATE NOCASE, name TEXT NOT NULL,
    password TEXT NOT NULL, validated INTEGER NOT NULL, admin INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS organizations (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, can_upload INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS members (
    user_id TEXT NOT NULL, organization_id TEXT NOT NULL,
    PRIMARY KEY (user_id, organization_id));
CREATE TABLE IF NOT EXISTS codes (
    email TEXT NOT NULL COLLATE NOCASE, purpose TEXT NOT NULL, code TEXT NOT NULL,
    PRIMARY KEY (email, purpose));
CREATE TABLE IF NOT EXISTS bookmarks (
    user_id TEXT NOT NULL, dataset_id TEXT NOT NULL, PRIMARY KEY (user_id, dataset_id));

-- fields: what the database of the cloud holds of a dataset, as JSON, without documents and files.
CREATE TABLE IF NOT EXISTS datasets (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, created REAL NOT NULL, fields TEXT NOT NULL,
    organization_id TEXT AS (json_extract(fields, '$.organizationId')) VIRTUAL,
    branch_of TEXT AS (json_extract(fields, '$.branchOf')) VIRTUAL,
    published INTEGER AS (ifnull(json_extract(fields, '$.isPublished'), 0)) VIRTUAL,
    submitted INTEGER AS (ifnull(json_extract(fields, '$.isSubmitted'), 0)) VIRTUAL,
    deleted INTEGER AS (ifnull(json_extract(fields, '$.isDeleted'), 0)) VIRTUAL);
CREATE INDEX IF NOT EXISTS datasets_by_organization ON datasets (organization_id);
CREATE INDEX IF NOT EXISTS datasets_by_state ON datasets (published, submitted, deleted);

-- A class with its superclasses: the documents of a class share a row.
CREATE TABLE IF NOT EXISTS lineages (
    id INTEGER PRIMARY KEY, class_name TEXT NOT NULL, names TEXT NOT NULL,
    UNIQUE (class_name, names));

-- summary and body: JSON texts as they are sent, spliced together and never parsed again. Bodies
-- stand apart so that listing 100 000 documents reads the few pages of the summaries only.
CREATE TABLE IF NOT EXISTS documents (
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, dataset_id TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0, lineage_id INTEGER NOT NULL, ndi_id TEXT,
    has_files INTEGER NOT NULL, created REAL NOT NULL, summary TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bodies (seq INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS documents_by_dataset ON documents (dataset_id, deleted);
CREATE INDEX IF NOT EXISTS documents_by_lineage ON documents (dataset_id, deleted, lineage_id);
CREATE INDEX IF NOT EXISTS documents_by_ndi_id ON documents (ndi_id, dataset_id, deleted);
CREATE TABLE IF NOT EXISTS dependencies (
    value TEXT NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY (value, name, seq)) WITHOUT ROWID;

-- entry: the element of the `files` array of a dataset's detail.
CREATE TABLE IF NOT EXISTS files (
    seq INTEGER PRIMARY KEY, dataset_id TEXT NOT NULL, uid TEXT, object_key TEXT, size INTEGER,
    created REAL NOT NULL, entry TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS files_by_uid ON files (dataset_id, uid);

-- What becomes of an object that is PUT.
CREATE TABLE IF NOT EXISTS uploads (
    object_key TEXT PRIMARY KEY, purpose TEXT NOT NULL, dataset_id TEXT NOT NULL,
    uid TEXT, job_id TEXT);
CREATE INDEX IF NOT EXISTS uploads_by_uid ON uploads (dataset_id, uid);
CREATE TABLE IF NOT EXISTS bulk_uploads (
    seq INTEGER PRIMARY KEY, job_id TEXT NOT NULL UNIQUE, dataset_id TEXT NOT NULL,
    state TEXT NOT NULL, created_at TEXT NOT NULL, started_at TEXT, completed_at TEXT,
    files_extracted INTEGER, total_files INTEGER, error TEXT);
CREATE INDEX IF NOT EXISTS bulk_uploads_by_dataset ON bulk_uploads (dataset_id);

-- Work that happens after an answer; what is left at the end of a process is done by the next.
CREATE TABLE IF NOT EXISTS tasks (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, due REAL NOT NULL,
    payload TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS tasks_by_due ON tasks (due);
"""


class Store:
    """The SQLite file ``state.sqlite`` in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.sqlite"
        self._path.touch(mode=0o600)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sandbox-write")
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="sandbox-read")
        connection = self._connect()
        connection.executescript(_SCHEMA)
        self._writing_connection = connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._connections.append(connection)
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # The state outlives this process, not this machine: what was written survives SIGKILL.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -65536")
        return connection

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` makes of one consistent state."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work`` in one transaction; an exception undoes all of it."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, work)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        return _transaction(connection, "BEGIN", work)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return _transaction(self._writing_connection, "BEGIN IMMEDIATE", work)

    def close(self) -> None:
        """Wait for what is under way and close the file."""
        self._writer.shutdown()
        self._readers.shutdown()
        for connection in self._connections:
            connection.close()


def _transaction(
    connection: sqlite3.Connection, begin: str, work: Callable[[sqlite3.Connection], T]
) -> T:
    connection.execute(begin)
    try:
        result = work(connection)
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return result
