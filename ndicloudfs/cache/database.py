"""SQLite for many threads: a pool of connections on one file.

FUSE brings a new Python thread for every request, so connections belong to nobody: each piece of
work borrows one and gives it back.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BUSY_SECONDS = 10.0  # another mount on the same index may be writing


class Database:
    """A SQLite file in WAL mode; reads run side by side, writes one after the other."""

    def __init__(self, path: Path, schema: str, version: int) -> None:
        """Open ``path``, making it with ``schema`` where its version is not ``version``.

        What the file holds can be fetched again, so one of another version, or a damaged one, is
        started afresh.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._writing = threading.Lock()
        try:
            self._prepare(schema, version)
        except sqlite3.DatabaseError:
            self.close()
            self._remove()
            self._prepare(schema, version)

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection for reading."""
        connection = self._borrow()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection in a transaction that commits at the end, or rolls back."""
        with self._writing, self.read() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Close every connection that is not in use."""
        while self._idle:
            self._idle.pop().close()

    def _borrow(self) -> sqlite3.Connection:
        with suppress(IndexError):
            return self._idle.pop()
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA journal_mode = WAL")
        # A crash of the machine may lose the last moments of what can be fetched again.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def _prepare(self, schema: str, version: int) -> None:
        with self.read() as connection:
            (found,) = connection.execute("PRAGMA user_version").fetchone()
        if found == version:
            return
        if found:
            self.close()
            self._remove()
        with self.read() as connection:
            connection.executescript(schema)
            connection.execute(f"PRAGMA user_version = {version}")

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
