"""The cache's folder on the local disk: document bodies, files of blocks, one limit for both.

Document bodies are values of ``diskcache`` (``byte_cache``). Blocks of objects lie in files of
their own (``blockfile``), of which it knows name and size.

Nothing here ever fails a reader: a full disk, a locked database or a broken file makes the store
miss, and the first such failure is logged.

``diskcache`` opens one SQLite connection per Python thread. A FUSE thread is a new Python thread
on every request, so all access goes through a few threads that stay.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ndicloudfs.cache.byte_cache import FAILURES, FILE, ByteCache, value_files

log = logging.getLogger(__name__)

Result = TypeVar("Result")

GIB = 1 << 30
DEFAULT_LIMIT = 20 * GIB
# One thread changes the store: SQLite lets who comes second sleep for up to 25 ms and try again.
# Others ask it, and do not wait for changes: a question behind them took 7 ms, by itself 1.6
# (a cold read of scripts/bench sequential).
_ASKING = 3
_CLOSE_SECONDS = 30.0  # for what the threads are at


@dataclass(frozen=True, slots=True)
class Verified:
    """What a store holds: entries and bytes that are whole, and how many were damaged or lost.

    An entry is a document body or a file of blocks; what was damaged is no longer there.
    """

    entries: int
    size: int
    dropped: int


def default_limit(folder: Path) -> int:
    """The size limit in bytes: 20 GiB or a quarter of the free space, whichever is less.

    What is cached already counts as free, or the limit would shrink from mount to mount.
    """
    used = sum(found.st_blocks * 512 for _, found in value_files(folder))
    return min(DEFAULT_LIMIT, (shutil.disk_usage(folder).free + used) // 4)


class Store:
    """A bounded, persistent map from text to bytes or files; least recently used goes first.

    Safe for threads, for several processes on one folder, and against ``kill -9``.
    """

    def __init__(self, folder: Path, limit: int | None = None) -> None:
        """``limit``: size limit in bytes, ``default_limit`` when None.

        A damaged store is started afresh. Raises OSError or sqlite3.Error where there can be none.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder = folder
        self.limit = default_limit(folder) if limit is None else limit
        self._warned = False
        self._asking = ThreadPoolExecutor(_ASKING, thread_name_prefix="ndi-store")
        self._changing = ThreadPoolExecutor(1, thread_name_prefix="ndi-store-changes")
        try:
            self._cache = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                self._shut_down()
                raise
            log.info("the cache in %s is damaged and is started afresh: %s", folder, error)
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
            self._cache = self._open()

    @property
    def evictions(self) -> int:
        """How often room had to be made."""
        return self._cache.evictions

    def get(self, key: str) -> bytes | None:
        """The bytes under ``key``, or None where there are none or they are damaged."""
        self.note_use(key)
        return self._ask(lambda: self._cache.get(key), None)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """What ``get`` answers for each of ``keys``."""
        return self._ask(lambda: [self._cache.get(key) for key in keys], [None] * len(keys))

    def put(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Keep ``items``."""
        kept = list(items)
        self._change(lambda: self._cache.put(kept), None)

    def file(self, key: str) -> Path | None:
        """The file under ``key``, if there is one."""
        self.note_use(key)
        name = self._ask(lambda: self._cache.file_name(key), None)
        return None if name is None else self.folder / name

    def reserve(self, key: str, size: int) -> Path | None:
        """Make room for ``size`` bytes that are to be added to the file under ``key``.

        They count from now on. Answers the file, an empty one where there was none; None where
        nothing must be written, because there is no room or no file can be made.
        """
        name = self._change(lambda: self._cache.reserve(key, size), None)
        return None if name is None else self.folder / name

    def drop(self, key: str) -> None:
        """Forget what is under ``key``."""
        self._change(lambda: self._cache.delete(key), False)

    def note_use(self, key: str) -> None:
        """Note that ``key`` is in use now, so that it is evicted late."""
        if self._cache.note_use(key):
            with suppress(RuntimeError):  # closed
                self._changing.submit(self._cache.write_use_down)

    def verify(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Verified:
        """Read everything; drop what is damaged, and files that the index does not know.

        ``progress`` is told how many entries of how many are done. Raises OSError, sqlite3.Error or
        diskcache.Timeout where the folder cannot be read.
        """
        dropped = self._changing.submit(self._cache.drop_unknown_files).result()
        keys = self._asking.submit(self._cache.entries).result()
        entries = size = 0
        for done, (key, tag) in enumerate(keys, 1):
            check = self._cache.check_file if tag == FILE else self._cache.check_value
            whole, damaged = self._changing.submit(check, key).result()
            entries += whole > 0
            size += whole
            dropped += damaged
            progress(done, len(keys))
        return Verified(entries, size, dropped)

    def clear(self) -> int:
        """Drop everything; the number of bytes that are free again.

        Raises OSError, sqlite3.Error or diskcache.Timeout where the folder cannot be changed.
        """
        before = self._asking.submit(self._cache.volume).result()
        self._changing.submit(self._cache.clear).result()
        return max(0, before - self._asking.submit(self._cache.volume).result())

    def counts(self) -> tuple[int, int]:
        """How many document bodies and how many files of blocks there are."""
        none: list[tuple[str, str | None]] = []
        rows = self._ask(self._cache.entries, none)
        parts = sum(tag == FILE for _, tag in rows)
        return len(rows) - parts, parts

    def volume(self) -> int:
        """Bytes that the store takes on the disk, with those that are being written."""
        return self._ask(self._cache.volume, 0)

    def close(self) -> None:
        """Close the database; what is kept stays."""
        self._change(self._cache.write_use_down, None)
        together = threading.Barrier(_ASKING)

        def close_own_connection() -> None:
            together.wait(_CLOSE_SECONDS)  # so that every thread of the pool takes one
            self._cache.close()

        for closing in [self._asking.submit(close_own_connection) for _ in range(_ASKING)]:
            closing.result()
        self._changing.submit(self._cache.close).result()
        self._shut_down()

    def _ask(self, work: Callable[[], Result], otherwise: Result) -> Result:
        """What ``work`` returns, or ``otherwise`` where it fails."""
        return self._result(self._asking.submit(work), otherwise)

    def _change(self, work: Callable[[], Result], otherwise: Result) -> Result:
        """The same for what changes the store."""
        return self._result(self._changing.submit(work), otherwise)

    def _result(self, job: Future[Result], otherwise: Result) -> Result:
        try:
            return job.result()
        except FAILURES as error:
            self.warn(error)
            return otherwise

    def _shut_down(self) -> None:
        self._asking.shutdown()
        self._changing.shutdown()

    def warn(self, error: Exception) -> None:
        """Say, once, that the folder cannot be used."""
        if not self._warned:
            self._warned = True
            log.warning("the cache in %s cannot be used, reading on: %s", self.folder, error)

    def _open(self) -> ByteCache:
        return self._changing.submit(ByteCache, self.folder, self.limit).result()
