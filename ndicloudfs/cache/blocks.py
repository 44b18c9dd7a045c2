"""Blocks of objects on the local disk: which file they are in, and the files that are open.

An object is kept in parts of 64 blocks, each an entry of the store with a file of its own. A part
that is read again and again costs neither a look at the index nor an ``open``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict

from ndicloudfs.cache.blockfile import BlockFile
from ndicloudfs.cache.byte_cache import on_disk
from ndicloudfs.cache.store import Store

log = logging.getLogger(__name__)

# A file that was evicted takes its space until it is closed, so not many are kept open, and none
# of an object that nobody reads.
OPEN_FILES = 64
# s between two looks for files that other mounts have evicted; a look asks for each open file.
_LOOK_EVERY = 1.0

Block = tuple[int, memoryview]


class Blocks:
    """Blocks by key of their part and position in it. Used by any thread; never raises."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._open: OrderedDict[str, BlockFile] = OrderedDict()
        self._look_due = 0.0

    def read(self, key: str, positions: range, into: memoryview) -> list[int]:
        """Read blocks to their places in ``into``; answers which of ``positions`` came."""
        file = self._enter(key)
        if file is None:
            return []
        try:
            whole, damaged = file.read(positions, into)
        except OSError as error:
            self._store.warn(error)
            return []
        finally:
            file.leave()
        if damaged:
            log.warning("a damaged block of the cache was dropped and will be fetched again")
        return whole

    def absent(self, key: str, positions: range) -> list[int]:
        """Those of ``positions`` whose blocks are not there."""
        file = self._enter(key)
        if file is None:
            return list(positions)
        try:
            return file.absent(positions)
        except OSError as error:
            self._store.warn(error)
            return list(positions)
        finally:
            file.leave()

    def write(self, key: str, blocks: list[Block]) -> None:
        """Keep blocks, each with its position, in ascending order."""
        # What is not open was not there when these blocks were looked for.
        file = self._opened(key)
        try:
            if file is not None:
                absent = set(file.absent(position for position, _ in blocks))
                blocks = [(position, data) for position, data in blocks if position in absent]
            if not blocks:
                return
            evictions = self._store.evictions
            path = self._store.reserve(key, sum(on_disk(len(data)) for _, data in blocks))
            if self._store.evictions != evictions:
                self._close_deleted()
            if path is not None and file is None:
                file = self._keep(key, BlockFile(path, key))
            if path is not None and file is not None:
                file.write(blocks)
        except OSError as error:
            self._store.warn(error)
            self._store.drop(key)
        finally:
            if file is not None:
                file.leave()

    def close(self, prefix: str = "") -> None:
        """Close the files of which the key begins with ``prefix``."""
        with self._lock:
            keys = [key for key in self._open if key.startswith(prefix)]
            files = [self._open.pop(key) for key in keys]
        for file in files:
            file.leave()

    def _opened(self, key: str) -> BlockFile | None:
        """The file under ``key`` if it is open; its user leaves it."""
        with self._lock:
            file = self._open.get(key)
            if file is not None:
                self._open.move_to_end(key)
                file.enter()
        if file is not None:
            if not file.deleted:
                self._store.note_use(key)
                return file
            file.leave()
        return None

    def _enter(self, key: str) -> BlockFile | None:
        """The file under ``key`` if there is one; its user leaves it."""
        file = self._opened(key)
        if file is not None:
            return file
        path = self._store.file(key)
        if path is None:
            return None
        try:
            return self._keep(key, BlockFile(path, key))
        except FileNotFoundError:
            self._store.drop(key)
        except OSError as error:
            self._store.warn(error)
        return None

    def _keep(self, key: str, file: BlockFile) -> BlockFile:
        file.enter()
        with self._lock:
            idle = [self._open.pop(key)] if key in self._open else []
            self._open[key] = file
            if len(self._open) > OPEN_FILES:
                idle.append(self._open.popitem(last=False)[1])
            due = self._look_due <= time.monotonic()
        for other in idle:
            other.leave()
        if due:  # other mounts evict, too
            self._close_deleted()
        return file

    def _close_deleted(self) -> None:
        with self._lock:
            self._look_due = time.monotonic() + _LOOK_EVERY
            keys = [key for key, file in self._open.items() if file.deleted]
            files = [self._open.pop(key) for key in keys]
        for file in files:
            file.leave()
