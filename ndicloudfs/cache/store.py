"""Bytes on the local disk: document bodies and object blocks, on ``diskcache``.

Every value carries its length and a checksum; a damaged one is dropped and reads as absent. Nothing
here ever fails a reader: a full disk, a locked database or a broken file makes the store miss, and
the first such failure is logged. Values are bytes and only bytes: nothing is ever unpickled, so a
file planted in the cache folder cannot run code.

``diskcache`` opens one SQLite connection per Python thread. A FUSE thread is a new Python thread
on every request, so all access goes through a few threads that stay.
"""

from __future__ import annotations

import logging
import shutil
import sqlite3
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import diskcache

log = logging.getLogger(__name__)

Result = TypeVar("Result")

GIB = 1 << 30
DEFAULT_LIMIT = 20 * GIB
_HEADER = struct.Struct("<4sIQ")  # magic, CRC-32 of the data, length of the data
_MAGIC = b"ndi2"
_SEGMENT = struct.Struct("<4sI")  # magic, number of parts
_PART = struct.Struct("<II")  # CRC-32, length
_SEGMENT_MAGIC = b"nds1"
_THREADS = 4
_BUSY_SECONDS = 2.0  # a reader rather fetches again than waits longer for the database
_FILE_FROM = 32 << 10  # bytes; smaller values lie in the database
_CLOSE_SECONDS = 30.0  # for what the threads are at
# diskcache's own "least-recently-used" writes to the database at every read: 1.7 ms a block, and
# nothing can be read from a full disk. Here `touch` writes, once for all blocks of a file.
_LEAST_RECENTLY_TOUCHED = "least-recently-touched"
_FAILURES = (OSError, sqlite3.Error, diskcache.Timeout, ValueError)


class _BytesDisk(diskcache.Disk):
    """Keys are text, values are bytes; anything else in the folder is not read."""

    def put(self, key: str) -> tuple[str, bool]:
        return key, True

    def get(self, key: str, raw: bool) -> str:
        del raw
        return key

    def store(self, value: bytes, read: bool, key: object = None) -> Any:
        if not isinstance(value, bytes):
            raise TypeError("the store keeps bytes only")
        return super().store(value, read, key)  # type: ignore[no-untyped-call]

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


def default_limit(folder: Path) -> int:
    """The size limit in bytes: 20 GiB or a quarter of the free space, whichever is less.

    What is cached already counts as free, or the limit would shrink from mount to mount.
    """
    used = sum(path.stat().st_size for path in folder.glob("??/??/*.val"))
    return min(DEFAULT_LIMIT, (shutil.disk_usage(folder).free + used) // 4)


class Store:
    """A bounded, persistent map from text to bytes; least recently used goes first.

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
        return self._run(lambda: self._get(key), None)

    def get_many(self, keys: Sequence[str]) -> list[bytes | None]:
        """What ``get`` answers for each of ``keys``."""
        return self._run(lambda: [self._get(key) for key in keys], [None] * len(keys))

    def put_segment(self, key: str, parts: Sequence[bytes]) -> None:
        """Keep ``parts`` together as one entry, of which each can be read by itself."""
        sums = [_checksum(f"{key}/{position}", part) for position, part in enumerate(parts)]
        lengths = [len(part) for part in parts]
        head = _SEGMENT.pack(_SEGMENT_MAGIC, len(parts))
        table = b"".join(_PART.pack(*entry) for entry in zip(sums, lengths, strict=True))
        data = b"".join([head, table, *parts])
        self._run(lambda: self._cache.set(key, data), False)

    def get_segment(self, key: str, positions: range) -> dict[int, bytes]:
        """The parts at ``positions`` of a segment, as far as they are there and not damaged."""
        return self._run(lambda: self._get_segment(key, positions), {})

    def touch(self, prefix: str) -> None:
        """Note that everything whose key begins with ``prefix`` is in use now."""

        def touch() -> None:
            self._cache._sql(
                "UPDATE Cache SET access_time = ? WHERE key >= ? AND key < ?",
                (time.time(), prefix, prefix + "\U0010ffff"),
            )

        with suppress(RuntimeError):  # closed
            self._pool.submit(touch)

    def put(self, items: Iterable[tuple[str, bytes]]) -> None:
        """Keep ``items``."""
        packed = [(key, _pack(key, data)) for key, data in items]
        self._run(lambda: self._put(packed), None)

    def volume(self) -> int:
        """Bytes that the store takes on the disk."""
        return self._run(self._cache.volume, 0)

    def close(self) -> None:
        """Close the database; what is kept stays."""
        together = threading.Barrier(_THREADS)

        def close_own_connection() -> None:
            together.wait(_CLOSE_SECONDS)  # so that every thread of the pool takes one
            self._cache.close()

        for closing in [self._pool.submit(close_own_connection) for _ in range(_THREADS)]:
            closing.result()
        self._pool.shutdown()

    def _open(self) -> diskcache.Cache:
        policies: Any = diskcache.core.EVICTION_POLICY
        policies[_LEAST_RECENTLY_TOUCHED] = {**policies["least-recently-used"], "get": None}
        return _Cache(
            str(self.folder),
            timeout=_BUSY_SECONDS,
            disk=_BytesDisk,
            size_limit=self.limit,
            disk_min_file_size=_FILE_FROM,
            eviction_policy=_LEAST_RECENTLY_TOUCHED,
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

    def _get_segment(self, key: str, positions: range) -> dict[int, bytes]:
        file = self._cache.get(key, read=True)
        if file is None:
            return {}
        with file:
            head = file.read(_SEGMENT.size)
            magic, count = _SEGMENT.unpack(head) if len(head) == _SEGMENT.size else (b"", 0)
            table = file.read(count * _PART.size) if magic == _SEGMENT_MAGIC else b""
            entries = list(_PART.iter_unpack(table[: len(table) // _PART.size * _PART.size]))
            found = {}
            for position in positions[: max(0, len(entries) - positions.start)]:
                checksum, length = entries[position]
                start = sum(entry[1] for entry in entries[:position])
                file.seek(_SEGMENT.size + len(table) + start)
                part = file.read(length)
                if checksum == _checksum(f"{key}/{position}", part) and len(part) == length:
                    found[position] = part
        if len(found) < len(positions):
            log.warning("a damaged entry of the cache was dropped and will be fetched again")
            self._cache.delete(key)
        return found

    def _put(self, packed: list[tuple[str, bytes]]) -> None:
        # Large values are files, and a transaction that fails would leave its files behind.
        large = [item for item in packed if len(item[1]) >= _FILE_FROM]
        for key, data in large:
            self._cache.set(key, data)
        with self._cache.transact():
            for key, data in packed:
                if len(data) < _FILE_FROM:
                    self._cache.set(key, data)

    def _run(self, work: Callable[[], Result], otherwise: Result) -> Result:
        try:
            return self._pool.submit(work).result()
        except _FAILURES as error:
            if not self._warned:
                self._warned = True
                log.warning("the cache in %s cannot be used, reading on: %s", self.folder, error)
            return otherwise


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
