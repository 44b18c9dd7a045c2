"""The bytes of a file that is being written: in memory, in staging, or in a local file.

Not locked: a session, which owns one, lets one thread in at a time.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ndicloudfs.vfs.nodes import OpenFile
from ndicloudfs.writeback import Draft

MIB = 1 << 20
# A document is kept in memory while it is written; the largest known one has 1 MB.
LARGEST_DOCUMENT = 256 * MIB
_BLOCK = MIB  # of a file that is on the server: fetched before a part of it is changed
_COPY = 8 * MIB


class Content(Protocol):
    """Bytes that can be read and changed at any place."""

    @property
    def size(self) -> int:
        """Number of bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end."""

    def write(self, data: bytes, offset: int) -> None:
        """Write all of ``data``; a gap before it reads as zeros. Raises ENOSPC and EFBIG."""

    def truncate(self, size: int) -> None:
        """Cut it, or let it grow by zeros. Raises ENOSPC and EFBIG."""

    def close(self) -> None:
        """Nobody will use it any more."""


class MemoryContent:
    """Bytes in memory, for what is JSON."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = bytearray(data)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return len(self._data)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end."""
        return bytes(self._data[offset : offset + length])

    def write(self, data: bytes, offset: int) -> None:
        """Write all of ``data``. Raises EFBIG."""
        end = offset + len(data)
        if end > LARGEST_DOCUMENT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        if offset > len(self._data):
            self._data.extend(bytes(offset - len(self._data)))
        self._data[offset:end] = data

    def truncate(self, size: int) -> None:
        """Cut it, or let it grow by zeros. Raises EFBIG."""
        if size > LARGEST_DOCUMENT:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        del self._data[size:]
        self._data.extend(bytes(size - len(self._data)))

    def close(self) -> None:
        """Nothing to let go of."""


class LocalContent:
    """A file of this machine that belongs to the mount: a scratch file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end."""
        return os.pread(self._descriptor, length, offset)

    def write(self, data: bytes, offset: int) -> None:
        """Write all of ``data``. Raises ENOSPC."""
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, offset)
            view, offset = view[written:], offset + written

    def truncate(self, size: int) -> None:
        """Cut it, or let it grow by zeros."""
        os.ftruncate(self._descriptor, size)

    def sync(self) -> None:
        """Have it on the disk when this returns."""
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class LocalFile(OpenFile):
    """A file of this machine, open for reading."""

    descriptor: int
    identity: str = ""

    @classmethod
    def open(cls, path: Path, identity: str = "") -> LocalFile:
        """Open ``path``; ``identity`` where its bytes never change."""
        return cls(os.open(path, os.O_RDONLY | os.O_CLOEXEC), identity)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return os.fstat(self.descriptor).st_size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end."""
        return os.pread(self.descriptor, length, offset)

    def readinto(self, offset: int, into: memoryview) -> int:
        """The same, without a copy of the bytes in between."""
        return os.preadv(self.descriptor, [into], offset)

    def close(self) -> None:
        """Close it."""
        os.close(self.descriptor)


class StagedContent:
    """A draft in staging, over the bytes that the file had before.

    Those are fetched block by block: a block when a part of it is changed or read, all others
    when the file is closed, as an object is only ever sent whole.
    """

    def __init__(self, draft: Draft, source: OpenFile | None = None) -> None:
        """``source`` is what the file had before, None for an empty file; its owner closes it."""
        self.draft = draft
        self._source = source
        self._kept = 0 if source is None else source.size or 0  # bytes of it that still count
        self._absent = set(range(-(-self._kept // _BLOCK)))
        if self._kept:
            draft.truncate(self._kept)

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.draft.size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end."""
        if self._absent:
            self._fetch(range(offset // _BLOCK, -(-(offset + length) // _BLOCK)))
        return self.draft.pread(offset, length)

    def write(self, data: bytes, offset: int) -> None:
        """Write all of ``data``. Raises ENOSPC and EFBIG, and what fetching raises."""
        if self._absent:
            end = offset + len(data)
            whole = range(-(-offset // _BLOCK), end // _BLOCK)
            touched = range(offset // _BLOCK, -(-end // _BLOCK))
            self._fetch([number for number in touched if number not in whole])
            self.draft.pwrite(data, offset)
            self._absent.difference_update(whole)
        else:
            self.draft.pwrite(data, offset)

    def truncate(self, size: int) -> None:
        """Cut it, or let it grow by zeros that take no space. Raises EFBIG."""
        if size < self._kept:
            # What of a block is cut off must not come back when the block is fetched.
            self._kept = size
            self._absent = {number for number in self._absent if number * _BLOCK < size}
        self.draft.truncate(size)

    def complete(self) -> None:
        """Fetch what is missing, so that the draft is the whole file."""
        self._fetch(sorted(self._absent))

    def close(self) -> None:
        """Let go of the draft."""
        self.draft.discard()

    def _fetch(self, numbers: range | list[int]) -> None:
        for number in numbers:
            if number not in self._absent or self._source is None:
                continue
            start = number * _BLOCK
            length = min(_BLOCK, self._kept - start)
            data = self._source.read(start, length)
            if len(data) != length:
                raise OSError(errno.EIO, "The file ended early while it was fetched")
            self.draft.pwrite(data, start)
            self._absent.discard(number)


def copy(source: Content | OpenFile, target: Content) -> None:
    """Append all of ``source`` to the empty ``target``, a piece at a time."""
    position = 0
    while data := source.read(position, _COPY):
        target.write(data, position)
        position += len(data)


def in_memory(source: Content | OpenFile | None) -> MemoryContent:
    """What ``source`` has, or nothing, to be written into."""
    content = MemoryContent()
    if source is not None:
        copy(source, content)
    return content
