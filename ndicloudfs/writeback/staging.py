"""Staging: the bytes of files that were written here and are not on the server yet.

``drafts/`` has the files that are being written, ``objects/`` those that were closed, by uid. A
closed one is never changed again: it is what an upload reads. Not a cache: nothing is evicted.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote

log = logging.getLogger(__name__)

# What the server takes in one piece: it has no call for an object in parts (section 11).
LARGEST_OBJECT = 5 * 2**30
_FICLONE = 0x40049409  # ioctl: share the blocks of another file
# Kept free (bytes, and not more than a share of the disk), so that a disk that is full of data
# still lets the journal go on, and with it the uploads that free the disk.
RESERVE = 64 * 2**20
RESERVE_SHARE = 20  # a twentieth
_CHECK_EVERY = 4 * 2**20  # bytes written between two looks at the free space
# With so much (bytes) beside the reserve nobody looks again for so long (s), in which no disk takes
# as much: a look at each close takes 8 us.
_PLENTY = 2**30
_PLENTY_FOR = 0.05
_COPY = 8 * 2**20  # bytes copied at once


class Staging:
    """The folder of the bytes. Used by any thread of the process that owns it."""

    def __init__(self, folder: Path, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Open ``folder``; what was being written when a process died is removed."""
        self.folder = folder
        self._monotonic = monotonic
        self._plenty_until = float("-inf")
        self._drafts = folder / "drafts"
        self._objects = folder / "objects"
        for made in (folder, self._drafts, self._objects):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._drafts.iterdir():  # as many as were open at the time
            left.unlink(missing_ok=True)
        self._committing: set[str] = set()
        self._lock = threading.Lock()

    def draft(self) -> Draft:
        """A new, empty file to write into."""
        return Draft(self._drafts, self.check_space)

    def freeze(self, draft: Draft, uid: str) -> int:
        """Keep what the draft has now as the object ``uid``; its size in bytes.

        It is on the disk when this returns. Until ``settled`` it counts as in use.
        """
        with self._lock:
            self._committing.add(uid)
        try:
            size = draft.freeze(self.path(uid))
            _sync_folder(self._objects)
        except BaseException:
            self.settled(uid)
            raise
        return size

    def settled(self, uid: str) -> None:
        """The journal knows of ``uid``, or never will."""
        with self._lock:
            self._committing.discard(uid)

    def path(self, uid: str) -> Path:
        """Where the bytes of ``uid`` are, if they are here."""
        return self._objects / quote(uid, safe="")

    def hold(self, uid: str) -> Path | None:
        """Another path of the bytes of ``uid``, which stays until it is removed there.

        None where the disk knows no links.
        """
        path = self._drafts / secrets.token_hex(8)
        try:
            os.link(self.path(uid), path)
        except OSError:
            return None
        return path

    def remove(self, uid: str) -> None:
        """The bytes of ``uid`` are not needed any more; who reads them may go on."""
        with suppress(OSError):
            self.path(uid).unlink(missing_ok=True)

    def sweep(self, wanted: Callable[[str], bool]) -> int:
        """Remove the objects that no journal entry wants; how many there were."""
        removed = 0
        with os.scandir(self._objects) as found:
            for item in found:
                uid = unquote(item.name)
                with self._lock:  # an object that is just being committed is not in the journal
                    if uid in self._committing or wanted(uid):
                        continue
                    Path(item.path).unlink(missing_ok=True)
                removed += 1
        return removed

    def check_space(self) -> None:
        """Raise ENOSPC where the reserve would be used up."""
        now = self._monotonic()
        if now < self._plenty_until:
            return
        disk = os.statvfs(self._objects)
        reserve = min(RESERVE, disk.f_blocks * disk.f_frsize // RESERVE_SHARE)
        free = disk.f_bavail * disk.f_frsize
        if free < reserve:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if free > reserve + _PLENTY:
            self._plenty_until = now + _PLENTY_FOR


class Draft:
    """A file that is being written. Its owner calls ``discard`` in the end, in every case."""

    def __init__(self, folder: Path, check_space: Callable[[], None]) -> None:
        self._folder = folder
        self._check_space = check_space
        self._lock = threading.RLock()
        self._unchecked = 0
        self._path, self._descriptor = self._new()
        self._frozen = False

    @property
    def size(self) -> int:
        """Bytes in it."""
        with self._lock:
            return os.fstat(self._descriptor).st_size

    @property
    def clean(self) -> bool:
        """Whether nothing was written since it was kept."""
        return self._frozen

    def pread(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end."""
        with self._lock:
            parts = []
            while length > 0:
                data = os.pread(self._descriptor, length, offset)
                if not data:
                    break
                parts.append(data)
                offset, length = offset + len(data), length - len(data)
            return parts[0] if len(parts) == 1 else b"".join(parts)

    def pwrite(self, data: bytes, offset: int) -> int:
        """Write all of ``data``; its length. Raises ENOSPC and EFBIG."""
        with self._lock:
            self._prepare(offset + len(data), len(data))
            view = memoryview(data)
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view, offset = view[written:], offset + written
        return len(data)

    def truncate(self, size: int) -> None:
        """Cut it, or let it grow by zeros that take no space. Raises EFBIG."""
        with self._lock:
            self._prepare(size, 0)
            os.ftruncate(self._descriptor, size)

    def copy_from(self, source: int) -> None:
        """Become a copy of the open file ``source``, sharing its blocks where the disk can."""
        with self._lock:
            self._prepare(os.fstat(source).st_size, 0)
            _copy(source, self._descriptor, self._check_space)

    def freeze(self, target: Path) -> int:
        """Keep what is in it as ``target``, on the disk; its size. Writing goes on in a copy."""
        with self._lock:
            if self._frozen:
                self._thaw()
            os.fsync(self._descriptor)
            size = os.fstat(self._descriptor).st_size
            self._path.rename(target)
            self._frozen = True
            return size

    def discard(self) -> None:
        """Close it; what was not kept is gone."""
        with self._lock:
            if self._descriptor < 0:
                return
            os.close(self._descriptor)
            self._descriptor = -1
            if not self._frozen:
                self._path.unlink(missing_ok=True)

    def _prepare(self, end: int, length: int) -> None:
        """Make room for ``length`` bytes that end at ``end``."""
        if self._descriptor < 0:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if end > LARGEST_OBJECT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        self._unchecked -= length
        if self._unchecked < 0:
            self._check_space()
            self._unchecked = _CHECK_EVERY
        if self._frozen:
            self._thaw()

    def _thaw(self) -> None:
        """Go on in a copy: what was kept stays as it was kept."""
        path, descriptor = self._new()
        try:
            _copy(self._descriptor, descriptor, self._check_space)
        except BaseException:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        os.close(self._descriptor)
        self._path, self._descriptor, self._frozen = path, descriptor, False

    def _new(self) -> tuple[Path, int]:
        path = self._folder / secrets.token_hex(8)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return path, os.open(path, flags, 0o600)


def _copy(source: int, target: int, check_space: Callable[[], None]) -> None:
    """Make ``target`` what ``source`` is, sharing blocks where possible, holes kept."""
    size = os.fstat(source).st_size
    try:
        fcntl.ioctl(target, _FICLONE, source)
        return
    except OSError:
        os.ftruncate(target, 0)
        os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            position = os.lseek(source, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            raise
        end = os.lseek(source, position, os.SEEK_HOLE)
        while position < end:
            check_space()
            data = os.pread(source, min(_COPY, end - position), position)
            if not data:
                return
            position += os.pwrite(target, data, position)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
