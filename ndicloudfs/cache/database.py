"""SQLite for many threads: a pool of connections on one file, or in memory where that fails.

FUSE brings a new Python thread for every request, so connections belong to nobody: each piece of
work borrows one and gives it back.
"""

from __future__ import annotations

import fcntl
import logging
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

log = logging.getLogger(__name__)

_BUSY_SECONDS = 10.0  # another mount on the same index may be writing
# What SQLite says where the file is not at fault, but the disk that it is on.
_DISK_FAILS = ("disk is full", "disk I/O error", "readonly database", "unable to open")


class Database:
    """A SQLite file in WAL mode; reads run side by side, writes one after the other."""

    def __init__(self, path: Path, schema: str) -> None:
        """Open ``path``, making it with ``schema``, statements that end with ``;``.

        What the file holds can be fetched again, so a damaged one is started afresh. Raises
        OSError or sqlite3.Error where there can be no file.
        """
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path = path
        self._schema = schema
        self._memory: sqlite3.Connection | None = None
        self._in_memory = threading.Lock()
        self._idle: deque[sqlite3.Connection] = deque()
        self._writing = threading.Lock()
        self.writes = 0  # of this process, ended well or not
        with _alone(path.with_name(path.name + ".lock")):
            try:
                self._prepare()
            except sqlite3.DatabaseError as error:
                if not _damaged(error):
                    self.close()
                    raise
                log.info("the index %s is damaged and is started afresh: %s", path, error)
                self.close()
                self._remove()
                self._prepare()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection for reading."""
        if self._memory is not None:
            with self._in_memory:
                yield self._memory
            return
        connection = self._borrow()
        try:
            yield connection
        finally:
            if connection.in_transaction:  # nobody may inherit a transaction
                connection.close()
            else:
                self._idle.append(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection in a transaction that commits at the end, or rolls back."""
        with self._writing, self.read() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.OperationalError):  # a full disk has done it already
                    connection.execute("ROLLBACK")
                raise
            finally:
                self.writes += 1

    def give_up_file(self, error: sqlite3.Error) -> bool:
        """Go on in memory, with what the file still tells; whether ``error`` is a reason to."""
        damaged = _damaged(error)
        if not damaged and not any(words in str(error) for words in _DISK_FAILS):
            return False
        with self._writing:
            if self._memory is None:
                log.warning(
                    "the index %s cannot be used, going on in memory: %s", self._path, error
                )
                self._memory = self._copy()
                if damaged:
                    self._remove()
        return True

    def close(self) -> None:
        """Close every connection that is not in use."""
        if self._memory is not None:
            with self._in_memory:
                self._memory.close()
        while self._idle:
            self._idle.pop().close()

    def _borrow(self) -> sqlite3.Connection:
        with suppress(IndexError):
            return self._idle.pop()
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
            # A crash of the machine may lose the last moments of what can be fetched again.
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:  # the file is damaged, or the disk is full
            connection.close()
            raise
        return connection

    def _copy(self) -> sqlite3.Connection:
        """The file in memory, empty tables where the file is damaged."""

        def memory() -> sqlite3.Connection:
            return sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)

        copy = memory()
        with suppress(sqlite3.Error):
            with self.read() as connection:
                connection.backup(copy)
            if copy.execute("PRAGMA quick_check").fetchone() == ("ok",):
                return copy
        copy.close()
        copy = memory()
        copy.executescript(self._schema)
        return copy

    def _prepare(self) -> None:
        with self.read() as connection:
            (made,) = connection.execute("PRAGMA user_version").fetchone()
        if not made:
            with self.write() as connection:
                for statement in self._schema.split(";"):
                    connection.execute(statement)
                connection.execute("PRAGMA user_version = 1")

    def _remove(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock that only one process has: of several mounts that start, one makes the file."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _damaged(error: sqlite3.Error) -> bool:
    """Whether the file itself is broken: SQLite has a class of errors for what may pass."""
    return type(error) is sqlite3.DatabaseError
