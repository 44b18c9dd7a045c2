"""The cache's folder on the local disk: document bodies, files of blocks, one limit for both.

``diskcache`` is the index: what there is, how large it is, when it was used last. Document bodies
are its values; each carries its length and a checksum, and a damaged one is dropped and reads as
absent. Blocks of objects lie in files of their own (``blockfile``), of which the index knows name
and size.

Nothing here ever fails a reader: a full disk, a locked database or a broken file makes the store
miss, and the first such failure is logged. Values are bytes and only bytes: nothing is ever
unpickled, so a file planted in the cache folder cannot run code.

``diskcache`` opens one SQLite connection per Python thread. A FUSE thread is a new Python thread
on every request, so all access goes through a few threads that stay.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import diskcache

from ndicloudfs.cache.blockfile import HEAD, BlockFile

log = logging.getLogger(__name__)

Result = TypeVar("Result")

GIB = 1 << 30
DEFAULT_LIMIT = 20 * GIB
_HEADER = struct.Struct("<4sIQ")  # magic, CRC-32 of the data, length of the data
_MAGIC = b"ndi2"
_FILE = "blocks"  # tag of entries that are a file of blocks
_PAGE = 4096  # bytes
_THREADS = 4
_BUSY_SECONDS = 2.0  # a reader rather fetches again than waits longer for the database
_FILE_FROM = 32 << 10  # bytes; smaller values lie in the database
_CLOSE_SECONDS = 30.0  # for what the threads are at
_EVICTED_AT_ONCE = 64  # entries
_LEFT_BEHIND = 60.0  # s; a younger file without an entry is about to get one
# Order of use is written down this often (s) and when room is made, not at every read: that would
# be a write to the database of 1.7 ms for each block, and nothing could be read from a full disk.
_USE_EVERY = 30.0
_USED_KEPT = 20_000
_LEAST_RECENTLY_USED = "least-recently-written-down"
_FAILURES = (OSError, sqlite3.Error, diskcache.Timeout, ValueError)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a store holds: entries and bytes that are whole, and how many were damaged or lost.

    An entry is a document body or a file of blocks; what was damaged is no longer there.
    """

    entries: int
    size: int
    dropped: int


@dataclass(frozen=True, slots=True)
class _NewFile:
    """The value of an entry that becomes an empty file, with room for ``size`` bytes."""

    size: int


class _BytesDisk(diskcache.Disk):
    """Keys are text, values are bytes; anything else in the folder is not read."""

    def put(self, key: str) -> tuple[str, bool]:
        return key, True

    def get(self, key: str, raw: bool) -> str:
        del raw
        return key

    def store(self, value: bytes | _NewFile, read: bool, key: object = None) -> Any:
        if isinstance(value, _NewFile):
            name, path = self.filename()  # type: ignore[no-untyped-call]
            self._write(path, iter(()), "xb")  # type: ignore[no-untyped-call]
            return HEAD + value.size, diskcache.core.MODE_BINARY, name, None
        if not isinstance(value, bytes):
            raise TypeError("the store keeps bytes only")
        size, mode, name, kept = super().store(value, read, key)  # type: ignore[no-untyped-call]
        return on_disk(size), mode, name, kept

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> Any:
        if mode not in (diskcache.core.MODE_RAW, diskcache.core.MODE_BINARY):
            raise ValueError("the store reads bytes only")
        return super().fetch(mode, filename, value, read)  # type: ignore[no-untyped-call]


class _Cache(diskcache.Cache):
    """Leaves no connection behind where it cannot be opened."""

    def __init__(self, folder: str, **settings: object) -> None:
        try:
            super().__init__(folder, **settings)  # type: ignore[no-untyped-call]
        except BaseException:
            with suppress(AttributeError):  # it did not come as far as a connection
                self.close()  # type: ignore[no-untyped-call]
            raise


def on_disk(size: int) -> int:
    """Bytes that a file of ``size`` takes: whole pages."""
    return -(-size // _PAGE) * _PAGE


def default_limit(folder: Path) -> int:
    """The size limit in bytes: 20 GiB or a quarter of the free space, whichever is less.

    What is cached already counts as free, or the limit would shrink from mount to mount.
    """
    used = sum(found.st_blocks * 512 for _, found in _files(folder))
    return min(DEFAULT_LIMIT, (shutil.disk_usage(folder).free + used) // 4)


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The values in files; some may go meanwhile, evicted by another mount."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with suppress(FileNotFoundError):
                if path.suffix == ".val":
                    yield path, path.stat()


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
        self.evictions = 0  # how often room had to be made
        self._warned = False
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}
        self._use_due = time.monotonic() + _USE_EVERY
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="ndi-store")
        try:
            self._cache = self._pool.submit(self._open).result()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                self._pool.shutdown()
                raise
            log.info("the cache in %s is damaged and is started afresh: %s", folder, error)
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
            self._cache = self._pool.submit(self._open).result()

    def get(self, key: str) -> bytes | None:
        """The bytes under ``key``, or None where there are none or they are damaged."""
        self.note_use(key)
        return self.run(lambda: self._get(key), None)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """What ``get`` answers for each of ``keys``."""
        return self.run(lambda: [self._get(key) for key in keys], [None] * len(keys))

    def put(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Keep ``items``."""
        packed = [(key, _pack(key, data)) for key, data in items]
        self.run(lambda: self._put(packed), None)

    def file(self, key: str) -> Path | None:
        """The file under ``key``, if there is one."""
        self.note_use(key)
        name = self.run(lambda: self._file_name(key), None)
        return None if name is None else self.folder / name

    def reserve(self, key: str, size: int) -> Path | None:
        """Make room for ``size`` bytes that are to be added to the file under ``key``.

        They count from now on. Answers the file, an empty one where there was none; None where
        nothing must be written, because there is no room or no file can be made.
        """
        name = self.run(lambda: self._reserve(key, size), None)
        return None if name is None else self.folder / name

    def drop(self, key: str) -> None:
        """Forget what is under ``key``."""
        self.run(lambda: self._cache.delete(key), False)

    def note_use(self, key: str) -> None:
        """Note that ``key`` is in use now, so that it is evicted late."""
        with self._lock:
            if key in self._used or len(self._used) < _USED_KEPT:
                self._used[key] = time.time()
            if time.monotonic() < self._use_due:
                return
            self._use_due = time.monotonic() + _USE_EVERY
        with suppress(RuntimeError):  # closed
            self._pool.submit(self._write_use_down)

    def verify(self, progress: Callable[[int, int], None] = lambda _done, _total: None) -> Verified:
        """Read everything; drop what is damaged, and files that the index does not know.

        ``progress`` is told how many entries of how many are done. Raises OSError, sqlite3.Error or
        diskcache.Timeout where the folder cannot be read.
        """
        dropped = self._pool.submit(self._drop_unknown_files).result()
        keys = self._pool.submit(self._keys).result()
        entries = size = 0
        for done, (key, tag) in enumerate(keys, 1):
            check = self._check_file if tag == _FILE else self._check_value
            whole, damaged = self._pool.submit(check, key).result()
            entries += whole > 0
            size += whole
            dropped += damaged
            progress(done, len(keys))
        return Verified(entries, size, dropped)

    def clear(self) -> int:
        """Drop everything; the number of bytes that are free again.

        Raises OSError, sqlite3.Error or diskcache.Timeout where the folder cannot be changed.
        """
        before = self._pool.submit(self._cache.volume).result()
        self._pool.submit(self._cache.clear).result()
        return max(0, int(before - self._pool.submit(self._cache.volume).result()))

    def counts(self) -> tuple[int, int]:
        """How many document bodies and how many files of blocks there are."""
        none: list[tuple[str, str | None]] = []
        rows = self.run(self._keys, none)
        parts = sum(tag == _FILE for _, tag in rows)
        return len(rows) - parts, parts

    def volume(self) -> int:
        """Bytes that the store takes on the disk, with those that are being written."""
        return int(self.run(self._cache.volume, 0))

    def close(self) -> None:
        """Close the database; what is kept stays."""
        self.run(self._write_use_down, None)
        together = threading.Barrier(_THREADS)

        def close_own_connection() -> None:
            together.wait(_CLOSE_SECONDS)  # so that every thread of the pool takes one
            self._cache.close()

        for closing in [self._pool.submit(close_own_connection) for _ in range(_THREADS)]:
            closing.result()
        self._pool.shutdown()

    def run(self, work: Callable[[], Result], otherwise: Result) -> Result:
        """What ``work`` returns on a thread of the store, or ``otherwise`` where it fails."""
        try:
            return self._pool.submit(work).result()
        except _FAILURES as error:
            self.warn(error)
            return otherwise

    def warn(self, error: Exception) -> None:
        """Say, once, that the folder cannot be used."""
        if not self._warned:
            self._warned = True
            log.warning("the cache in %s cannot be used, reading on: %s", self.folder, error)

    def _open(self) -> diskcache.Cache:
        policies: Any = diskcache.core.EVICTION_POLICY
        policies[_LEAST_RECENTLY_USED] = {**policies["least-recently-used"], "get": None}
        return _Cache(
            str(self.folder),
            timeout=_BUSY_SECONDS,
            disk=_BytesDisk,
            size_limit=self.limit,
            cull_limit=0,  # room is made before something is added, not afterwards
            disk_min_file_size=_FILE_FROM,
            eviction_policy=_LEAST_RECENTLY_USED,
        )

    def _get(self, key: str) -> bytes | None:
        packed = self._cache.get(key)
        if packed is None:
            return None
        data = _unpack(key, packed)
        if data is None:
            log.warning("a damaged entry of the cache was dropped and will be fetched again")
            self._cache.delete(key)
        return data

    def _put(self, packed: list[tuple[str, bytes]]) -> None:
        size = sum(on_disk(len(data)) for _, data in packed)
        if size > self.limit:
            return
        with self._cache.transact():
            self._make_room(size)
        # Large values are files, and a transaction that fails would leave its files behind.
        large = [item for item in packed if len(item[1]) >= _FILE_FROM]
        for key, data in large:
            self._cache.set(key, data)
        with self._cache.transact():
            for key, data in packed:
                if len(data) < _FILE_FROM:
                    self._cache.set(key, data)

    def _file_name(self, key: str) -> str | None:
        query = "SELECT filename FROM Cache WHERE key = ? AND tag = ?"
        found = self._cache._sql(query, (key, _FILE)).fetchone()
        return found[0] if found else None

    def _reserve(self, key: str, size: int) -> str | None:
        add = "UPDATE Cache SET size = size + ?, access_time = ? WHERE key = ? AND tag = ?"
        with self._cache.transact():
            if not self._cache._sql(add, (size, time.time(), key, _FILE)).rowcount:
                self._cache.add(key, _NewFile(size), tag=_FILE)
            self._make_room(0)
            return self._file_name(key)  # it may have been the last to be evicted

    def _make_room(self, size: int) -> None:
        """Within a transaction: evict until ``size`` more bytes are within the limit."""
        excess = self._cache.volume() + size - self.limit
        if excess <= 0:
            return
        self._write_use_down()
        # Small values lie in the database, whose pages are free again when they are gone.
        oldest = (
            "SELECT rowid, size + COALESCE(LENGTH(value), 0), filename FROM Cache"
            " ORDER BY access_time LIMIT ?"
        )
        self.evictions += 1
        with self._cache._transact() as (sql, remove):
            while excess > 0 and (rows := sql(oldest, (_EVICTED_AT_ONCE,)).fetchall()):
                for row, freed, name in rows:
                    sql("DELETE FROM Cache WHERE rowid = ?", (row,))
                    remove(name)
                    excess -= freed
                    if excess <= 0:
                        break

    def _write_use_down(self) -> None:
        with self._lock:
            used, self._used = self._used, {}
        update = "UPDATE Cache SET access_time = ? WHERE key = ? AND access_time < ?"
        with suppress(*_FAILURES), self._cache.transact():
            for key, when in used.items():
                self._cache._sql(update, (when, key, when))

    def _keys(self) -> list[tuple[str, str | None]]:
        return [(key, tag) for key, tag in self._cache._sql("SELECT key, tag FROM Cache")]

    def _check_value(self, key: str) -> tuple[int, int]:
        packed = self._cache.get(key)
        if packed is not None and _unpack(key, packed) is not None:
            return len(packed), 0
        return 0, int(self._cache.delete(key))

    def _check_file(self, key: str) -> tuple[int, int]:
        name = self._file_name(key)
        if name is None:  # evicted meanwhile
            return 0, 0
        try:
            file = BlockFile(self.folder / name, key)
        except FileNotFoundError:
            return 0, int(self._cache.delete(key))
        try:
            whole, damaged = file.check()
        finally:
            file.leave()
        if not whole:
            self._cache.delete(key)
        else:
            # What was reserved and not written, or written by two mounts, counted for too much.
            correct = "UPDATE Cache SET size = ? WHERE key = ? AND filename = ?"
            self._cache._sql(correct, (on_disk(HEAD + whole), key, name))
        return whole, damaged

    def _drop_unknown_files(self) -> int:
        """Remove files that were left behind by a process that was killed."""
        long_ago = time.time() - _LEFT_BEHIND
        found = list(_files(self.folder))
        query = "SELECT filename FROM Cache WHERE filename IS NOT NULL"
        known = {name for (name,) in self._cache._sql(query)}
        dropped = 0
        for path, status in found:
            if str(path.relative_to(self.folder)) not in known and status.st_mtime < long_ago:
                path.unlink(missing_ok=True)
                dropped += 1
        return dropped


def _pack(key: str, data: bytes) -> bytes:
    # With the key in it, the checksum also tells an entry that stands under another's name.
    return _HEADER.pack(_MAGIC, _checksum(key, data), len(data)) + data


def _checksum(key: str, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(key.encode()))


def _unpack(key: str, packed: bytes) -> bytes | None:
    if len(packed) < _HEADER.size:
        return None
    magic, checksum, length = _HEADER.unpack_from(packed)
    data = packed[_HEADER.size :]
    if magic != _MAGIC or length != len(data) or checksum != _checksum(key, data):
        return None
    return data
