"""The SQLite file of the journal: one writer at a time, and one fsync for many writers.

A commit returns when it is on the disk (WAL, synchronous FULL). Threads that want to write while
another one does are written together by the next of them, in one transaction: each has a
savepoint of its own, so that the failure of one is not the failure of all.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from ndicloudfs.writeback.errors import JournalDamaged, WriteBackError

T = TypeVar("T")

_AT_ONCE = 256  # writes of one transaction


class Database:
    """A SQLite file whose commits are durable. Used by any thread of the process that owns it."""

    def __init__(self, path: Path, schema: str, version: int) -> None:
        """Open ``path``, making it with ``schema``. Raises JournalDamaged or OSError."""
        self._path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._writing = threading.Lock()
        self._closed = False
        self.writes = 0  # ended well or not
        self._queueing = threading.Lock()
        self._queue: deque[_Write] = deque()
        try:
            self._writer = self._connect()
            (made,) = self._writer.execute("PRAGMA user_version").fetchone()
            if not made:
                self._writer.executescript(
                    f"BEGIN IMMEDIATE; {schema}; PRAGMA user_version = {version}; COMMIT"
                )
            elif made != version:
                raise JournalDamaged(
                    f"The journal {path} was written by another version of ndicloudfs; "
                    "use that version until its queue is empty"
                )
        except sqlite3.DatabaseError as error:
            raise unusable(path, error) from error

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` gives, after what it wrote is on the disk.

        Raises what ``work`` raises, and OSError where the disk is full or fails.
        """
        mine = _Write(work)
        with self._queueing:
            self._queue.append(mine)
        with self._writing:
            if not mine.done:  # nobody has written it along with theirs
                self._write_together(mine)
        if mine.error is not None:
            raise mine.error
        result: T = mine.result
        return result

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Borrow a connection for reading; all that is read there is of one moment."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            connection.rollback()
            self._idle.append(connection)

    @contextmanager
    def glance(self) -> Iterator[sqlite3.Connection]:
        """As ``read``, for what is one row: nobody writes meanwhile.

        What was just written is at hand for the connection that wrote it. Any other reads it from
        the file again, which takes twice as long as the question.
        """
        alone = self._writing.acquire(blocking=False)
        try:
            if alone and not self._closed:
                yield self._writer
            else:
                with self.read() as connection:
                    yield connection
        finally:
            if alone:
                self._writing.release()

    def close(self) -> None:
        """Close every connection that is not in use."""
        while self._idle:
            self._idle.pop().close()
        with self._writing:
            self._closed = True
            self._writer.close()

    def _write_together(self, mine: _Write) -> None:
        batch: list[_Write] = []
        with self._queueing:
            while self._queue and (len(batch) < _AT_ONCE or not mine.taken):
                batch.append(self._queue.popleft())
                batch[-1].taken = True
        connection = self._writer
        try:
            connection.execute("BEGIN IMMEDIATE")
            if len(batch) == 1:
                batch[0].run_alone(connection)
            else:
                for write in batch:
                    write.run(connection)
            if connection.in_transaction:
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            failure = _out_of_order(self._path, error)
            for write in batch:
                write.error = write.error or failure
        except BaseException as error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            for write in batch:
                write.error = write.error or error
            raise
        finally:
            self.writes += 1
            for write in batch:
                write.done = True

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return connection


class _Write:
    """A piece of work that waits to be written."""

    __slots__ = ("_work", "done", "error", "result", "taken")

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self._work = work
        self.taken = False
        self.done = False
        self.error: BaseException | None = None
        self.result: Any = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Do the work; where it fails by itself, take back what it wrote and keep the error."""
        connection.execute("SAVEPOINT one")
        try:
            self.result = self._work(connection)
        except sqlite3.OperationalError:
            raise  # the disk, not the work
        except Exception as error:  # noqa: BLE001 - raised again by the thread whose work it is
            self.error = error
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")

    def run_alone(self, connection: sqlite3.Connection) -> None:
        """The same, where nothing else is written by the transaction: it ends where it fails."""
        try:
            self.result = self._work(connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self.error = error
            connection.execute("ROLLBACK")


def unusable(path: Path, error: sqlite3.DatabaseError) -> Exception:
    """What is said of a journal that cannot be opened."""
    if isinstance(error, sqlite3.OperationalError):
        return _out_of_order(path, error)
    return JournalDamaged(
        f"The journal {path} is damaged ({error}); it is kept as it is: mount read-only, "
        "and move its folder away to begin a new one"
    )


def _out_of_order(path: Path, error: sqlite3.Error) -> OSError:
    if "full" in str(error):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return WriteBackError(f"The journal {path} cannot be written ({error}); check the disk")
