"""``diskcache`` as the store uses it: checked bytes, files of blocks, the oldest evicted first.

``diskcache`` is the index: what there is, how large it is, when it was used last. A value carries
its length and a checksum; one that is damaged, or in another format, is dropped and reads as
absent. Values are bytes and only bytes: nothing is ever unpickled, so a file planted in the folder
cannot run code. SQL on the table of ``diskcache``, for what its interface does not offer, is here.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diskcache
from xxhash import xxh3_64_intdigest

from ndicloudfs.cache.blockfile import HEAD, BlockFile

log = logging.getLogger(__name__)

FAILURES = (OSError, sqlite3.Error, diskcache.Timeout, ValueError)
FILE = "blocks"  # tag of entries that are a file of blocks
_HEADER = struct.Struct("<4sQQ")  # magic, checksum, length of the data
_MAGIC = b"ndi3"  # ends with the number of the format
_PAGE = 4096  # bytes
_BUSY_SECONDS = 2.0  # a reader rather fetches again than waits longer for the database
_FILE_FROM = 32 << 10  # bytes; smaller values lie in the database
_EVICTED_AT_ONCE = 64  # entries
_LEFT_BEHIND = 60.0  # s; a younger file without an entry is about to get one
# Order of use is written down this often (s) and when room is made, not at every read: that would
# be a write to the database of 1.7 ms for each block, and nothing could be read from a full disk.
_USE_EVERY = 30.0
_USED_KEPT = 20_000
_LEAST_RECENTLY_USED = "least-recently-written-down"


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


class ByteCache:
    """Values and files by key, within a limit. Methods raise what is in ``FAILURES``.

    Every thread that calls keeps a SQLite connection until it has called ``close``.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """``limit``: the most bytes that all entries may take."""
        policies: Any = diskcache.core.EVICTION_POLICY
        policies[_LEAST_RECENTLY_USED] = {**policies["least-recently-used"], "get": None}
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}
        self._use_due = time.monotonic() + _USE_EVERY
        self.evictions = 0  # how often room had to be made
        self._cache: diskcache.Cache = _Cache(
            str(folder),
            timeout=_BUSY_SECONDS,
            disk=_BytesDisk,
            size_limit=limit,
            cull_limit=0,  # room is made before something is added, not afterwards
            disk_min_file_size=_FILE_FROM,
            eviction_policy=_LEAST_RECENTLY_USED,
        )

    def close(self) -> None:
        """Close the connection of this thread."""
        self._cache.close()

    # Entries

    def get(self, key: str) -> bytes | None:
        """The bytes under ``key``; None where there are none or they are damaged."""
        packed = self._cache.get(key)
        if packed is None:
            return None
        data = _unpack(key, packed)
        if data is None:
            if not _is_in_another_format(packed):
                log.warning("a damaged entry of the cache was dropped and will be fetched again")
            self._cache.delete(key)
        return data

    def put(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Keep ``items``, unless they are more than the limit."""
        packed = [(key, _pack(key, data)) for key, data in items]
        size = sum(on_disk(len(data)) for _, data in packed)
        if size > self._limit:
            return
        with self._cache.transact():
            self._make_room(size)
        # Large values are files, and a transaction that fails would leave its files behind.
        for key, data in packed:
            if len(data) >= _FILE_FROM:
                self._cache.set(key, data)
        with self._cache.transact():
            for key, data in packed:
                if len(data) < _FILE_FROM:
                    self._cache.set(key, data)

    def file_name(self, key: str) -> str | None:
        """The file under ``key``, as a path in the folder."""
        query = "SELECT filename FROM Cache WHERE key = ? AND tag = ?"
        found = self._cache._sql(query, (key, FILE)).fetchone()
        return found[0] if found else None

    def reserve(self, key: str, size: int) -> str | None:
        """Count ``size`` bytes more for the file under ``key``, which is made where there is none.

        Answers its ``file_name``; None where there is no room.
        """
        with self._cache.transact():
            name = self._add_to_file(key, size) or self._new_file(key, size)
            # It may have been the last to be evicted.
            return self.file_name(key) if self._make_room(0) else name

    def _add_to_file(self, key: str, size: int) -> str | None:
        add = "UPDATE Cache SET size = size + ?, access_time = ? WHERE key = ? AND tag = ?"
        there = self._cache._sql(add, (size, time.time(), key, FILE)).rowcount
        return self.file_name(key) if there else None

    def _new_file(self, key: str, size: int) -> str:
        # diskcache's own way to add a value takes five statements more; a cold read of a large file
        # spent a third of its turns of the interpreter on statements (scripts/bench sequential).
        size, mode, name, value = self._cache.disk.store(_NewFile(size), False)
        now = time.time()
        insert = (
            "INSERT INTO Cache (key, raw, store_time, access_time, access_count, tag, size, mode,"
            " filename, value) VALUES (?, ?, ?, ?, 0, ?, ?, ?, ?, ?)"
        )
        try:
            self._cache._sql(insert, (key, True, now, now, FILE, size, mode, name, value))
        except BaseException:
            self._cache.disk.remove(name)
            raise
        return str(name)

    def delete(self, key: str) -> bool:
        """Forget what is under ``key``; whether there was anything."""
        return bool(self._cache.delete(key))

    def clear(self) -> None:
        """Forget everything."""
        self._cache.clear()

    def entries(self) -> list[tuple[str, str | None]]:
        """The key of each entry, with ``FILE`` where it is a file of blocks."""
        return [(key, tag) for key, tag in self._cache._sql("SELECT key, tag FROM Cache")]

    def volume(self) -> int:
        """Bytes that all entries take on the disk."""
        return int(self._cache.volume())

    # Use

    def note_use(self, key: str) -> bool:
        """Note that ``key`` is in use now; whether it is time to ``write_use_down``.

        Never raises.
        """
        with self._lock:
            if key in self._used or len(self._used) < _USED_KEPT:
                self._used[key] = time.time()
            if time.monotonic() < self._use_due:
                return False
            self._use_due = time.monotonic() + _USE_EVERY
        return True

    def write_use_down(self) -> None:
        """Write down what was used when, as far as the disk lets it. Never raises."""
        with self._lock:
            used, self._used = self._used, {}
        update = "UPDATE Cache SET access_time = ? WHERE key = ? AND access_time < ?"
        with suppress(*FAILURES), self._cache.transact():
            for key, when in used.items():
                self._cache._sql(update, (when, key, when))

    def _make_room(self, size: int) -> bool:
        """Within a transaction: evict until ``size`` more bytes are within the limit.

        Answers whether anything had to be.
        """
        excess = self._cache.volume() + size - self._limit
        if excess <= 0:
            return False
        self.write_use_down()
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
        return True

    # Verifying

    def check_value(self, key: str) -> tuple[int, int]:
        """Read a value: bytes that are whole, and how many (0 or 1) were damaged and dropped."""
        packed = self._cache.get(key)
        if packed is not None and _unpack(key, packed) is not None:
            return len(packed), 0
        return 0, int(self._cache.delete(key))

    def check_file(self, key: str) -> tuple[int, int]:
        """Read a file of blocks: bytes that are whole, and blocks that were damaged and dropped."""
        name = self.file_name(key)
        if name is None:  # evicted meanwhile
            return 0, 0
        try:
            file = BlockFile(self._folder / name, key)
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

    def drop_unknown_files(self) -> int:
        """Remove files that were left behind by a process that was killed; how many."""
        long_ago = time.time() - _LEFT_BEHIND
        found = list(value_files(self._folder))
        query = "SELECT filename FROM Cache WHERE filename IS NOT NULL"
        known = {name for (name,) in self._cache._sql(query)}
        dropped = 0
        for path, status in found:
            if str(path.relative_to(self._folder)) not in known and status.st_mtime < long_ago:
                path.unlink(missing_ok=True)
                dropped += 1
        return dropped


def value_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The files with values; some may go meanwhile, evicted by another mount."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with suppress(FileNotFoundError):
                if path.suffix == ".val":
                    yield path, path.stat()


def on_disk(size: int) -> int:
    """Bytes that a file of ``size`` takes: whole pages."""
    return -(-size // _PAGE) * _PAGE


def _pack(key: str, data: bytes) -> bytes:
    return _HEADER.pack(_MAGIC, _checksum(key, data), len(data)) + data


def _checksum(key: str, data: bytes) -> int:
    # With the key in it, it also tells an entry that stands under another's name.
    return xxh3_64_intdigest(data, xxh3_64_intdigest(key.encode()))


def _unpack(key: str, packed: bytes) -> bytes | None:
    if len(packed) < _HEADER.size:
        return None
    magic, checksum, length = _HEADER.unpack_from(packed)
    data = packed[_HEADER.size :]
    if magic != _MAGIC or length != len(data) or checksum != _checksum(key, data):
        return None
    return data


def _is_in_another_format(packed: bytes) -> bool:
    return packed[:3] == _MAGIC[:3] and packed[:4] != _MAGIC
