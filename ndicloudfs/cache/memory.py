"""Blocks of objects in memory: at hand, or on their way, in pieces of up to 8 MiB.

Everybody who reads an object shares its shelf, on which each block is in one piece at most; whoever
wants a block that is coming waits for its piece. A piece in use is pinned. All pieces together stay
within one limit: the one that came first goes first, since a reader in order does not come back,
and what was fetched ahead for it came last. Large buffers are used again and again: fresh ones cost
the kernel a page fault for each 4 KiB, and the allocator keeps what it has handed out.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field

from ndicloudfs.cache.blockfile import BLOCK, BLOCKS
from ndicloudfs.cloud.errors import CloudError

LARGE = BLOCKS * BLOCK  # bytes of the buffers that are used again
_MUCH = 64 << 10  # bytes

Buffer = bytearray | mmap.mmap


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """An object whose size in bytes is certain."""

    dataset_id: str
    uid: str
    size: int


@dataclass(slots=True, eq=False)
class Shelf:
    """What is at hand and on its way of one object."""

    file: ObjectFile
    readers: int = 0
    pieces: dict[int, Piece] = field(default_factory=dict, repr=False)  # by number of block


@dataclass(slots=True, eq=False)
class Piece:
    """Blocks in a row; never across the end of a file of blocks."""

    shelf: Shelf
    numbers: range
    arrival: Future[None] = field(default_factory=Future, repr=False)
    buffer: Buffer = field(default_factory=bytearray, repr=False)
    pins: int = 0
    remote: bool = False  # it is the object store that it is awaited from

    @property
    def start(self) -> int:
        """The first byte, in the object."""
        return self.numbers.start * BLOCK

    @property
    def size(self) -> int:
        """Number of bytes."""
        return min(self.numbers.stop * BLOCK, self.shelf.file.size) - self.start

    @property
    def data(self) -> memoryview:
        """The bytes, or the place for them."""
        return memoryview(self.buffer)[: self.size]


class Memory:
    """All pieces of a mount. Used by any thread."""

    def __init__(self, limit: int) -> None:
        """``limit``: bytes of all pieces together."""
        self._limit = limit
        self._lock = threading.Lock()
        self._shelves: dict[ObjectFile, Shelf] = {}
        self._at_hand: OrderedDict[Piece, None] = OrderedDict()  # in order of arrival
        self._idle: list[Buffer] = []
        self._taken = 0  # bytes of buffers that pieces have
        self._coming = 0  # pieces

    @property
    def coming(self) -> int:
        """How many pieces are on their way."""
        return self._coming

    def open(self, file: ObjectFile) -> Shelf:
        """The shelf of an object, for one more reader."""
        with self._lock:
            shelf = self._shelves.setdefault(file, Shelf(file))
            shelf.readers += 1
            return shelf

    def close(self, shelf: Shelf) -> bool:
        """One reader less; whether it was the last."""
        with self._lock:
            shelf.readers -= 1
            self._tidy(shelf)
            return shelf.readers == 0

    def find(self, shelf: Shelf, needed: range, wanted: range) -> tuple[list[Piece], list[Piece]]:
        """All pieces that ``needed`` blocks are in, pinned, in order; and new ones for ``wanted``.

        ``wanted`` holds ``needed``. The caller releases the former, and brings the latter: each is
        on its way from now on.
        """
        with self._lock:
            missing = [number for number in wanted if number not in shelf.pieces]
            if len(wanted) > len(needed) and missing:
                # One range, over what is at hand already: fewer round trips are worth more.
                missing = list(range(missing[0], missing[-1] + 1))
            fresh = self._begin(shelf, missing)
            pieces = list(dict.fromkeys(shelf.pieces[number] for number in needed))
            for piece in pieces:
                piece.pins += 1
        return pieces, fresh

    def begin(self, shelf: Shelf, numbers: Iterable[int]) -> list[Piece]:
        """Pieces for those of ``numbers`` that are neither at hand nor coming, for the caller."""
        with self._lock:
            return self._begin(shelf, (n for n in numbers if n not in shelf.pieces))

    def known(self, shelf: Shelf, numbers: Iterable[int]) -> bool:
        """Whether all of ``numbers`` are at hand or coming."""
        with self._lock:
            return all(number in shelf.pieces for number in numbers)

    def release(self, pieces: Iterable[Piece]) -> None:
        """Take back the pins of ``find`` or ``pin``."""
        with self._lock:
            for piece in pieces:
                piece.pins -= 1

    def allocate(self, piece: Piece) -> memoryview:
        """Give a piece that is coming the place for its bytes, evicting others."""
        size = len(piece.numbers) * BLOCK
        with self._lock:
            for other in [*self._at_hand]:
                if self._taken + size <= self._limit:
                    break
                if not other.pins:
                    self._remove(other)
            self._taken += size
            if size == LARGE and self._idle:
                piece.buffer = self._idle.pop()
            while self._idle and self._taken + len(self._idle) * LARGE > self._limit:
                self._idle.pop()
        if not piece.buffer:
            piece.buffer = _large() if size == LARGE else bytearray(size)
        return piece.data

    def arrived(self, piece: Piece, pins: int = 0) -> None:
        """The bytes of a piece are in its buffer: it is at hand, with ``pins`` for the caller."""
        with self._lock:
            self._coming -= 1
            piece.pins += pins
            self._at_hand[piece] = None
        piece.arrival.set_result(None)

    def failed(self, piece: Piece, error: BaseException) -> None:
        """A piece will not come; who waits for it gets ``error``."""
        with self._lock:
            self._coming -= 1
            self._remove(piece)
        piece.arrival.set_exception(error)

    def _begin(self, shelf: Shelf, numbers: Iterable[int]) -> list[Piece]:
        fresh = [Piece(shelf, run) for run in runs(numbers)]
        for piece in fresh:
            for number in piece.numbers:
                shelf.pieces.setdefault(number, piece)
        self._coming += len(fresh)
        return fresh

    def _remove(self, piece: Piece) -> None:
        self._at_hand.pop(piece, None)
        for number in piece.numbers:
            if piece.shelf.pieces.get(number) is piece:
                del piece.shelf.pieces[number]
        if piece.buffer:
            self._taken -= len(piece.buffer)
            if len(piece.buffer) == LARGE:
                self._idle.append(piece.buffer)
            piece.buffer = bytearray()
        self._tidy(piece.shelf)

    def _tidy(self, shelf: Shelf) -> None:
        if not shelf.readers and not shelf.pieces:
            self._shelves.pop(shelf.file, None)


def _large() -> mmap.mmap:
    """A fresh large buffer, which the kernel fills with zeros as the network fills it with bytes.

    A bytearray is filled at once, while no other thread runs.
    """
    buffer = mmap.mmap(-1, LARGE)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


def copy(into: memoryview, part: memoryview) -> None:
    """Put ``part``, which is memory that can be written, at the beginning of ``into``.

    An assignment lets no other thread run: a seventh of all that the interpreter did during a cold
    read. With this it came at 0.88 of eight curl and not at 0.79 (the same file in turns, 18 times
    each).
    """
    size = len(part)
    if size < _MUCH:
        into[:size] = part
    else:
        memory = ctypes.c_char * size
        ctypes.memmove(memory.from_buffer(into), memory.from_buffer(part), size)


def parts(pieces: Sequence[Piece], start: int, stop: int) -> list[memoryview]:
    """The bytes from ``start`` to ``stop`` of an object, in pieces that hold them all.

    Pieces may overlap: one range is fetched over blocks that were at hand. Raises ``CloudError``
    rather than give fewer bytes.
    """
    found, at = [], start
    for piece in pieces:
        part = piece.data[max(0, at - piece.start) : max(0, stop - piece.start)]
        if part and piece.start <= at:
            found.append(part)
            at += len(part)
    if at != stop:
        raise CloudError(f"Blocks of file {pieces[0].shelf.file.uid} were lost; try again")
    return found


def runs(numbers: Iterable[int], gap: int = 0) -> Iterator[range]:
    """Ascending numbers as runs that lie in one file of blocks each, over gaps up to ``gap``."""
    start = stop = None
    for number in numbers:
        if start is None or stop is None:
            start = stop = number
        elif number > stop + gap or number // BLOCKS != start // BLOCKS:
            yield range(start, stop)
            start = number
        stop = number + 1
    if start is not None and stop is not None:
        yield range(start, stop)
