"""A file of blocks: a part of one object on the local disk, with a checksum for each block.

The file has room for ``BLOCKS`` blocks in a row, each at its place, and holes where there are none
yet. In front of them is a page with length and checksum of each block that is there. A block is
written first and listed afterwards; what a crash leaves half written fails its checksum and reads
as absent. Several processes may write to one file: they write the same bytes to the same places.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from xxhash import xxh3_64, xxh3_64_intdigest

# Bytes: what the kernel asks for at a time. A random read of 64 KiB touches 1.5 blocks on average:
# 3 bytes fetched for each byte asked (scripts/bench random).
BLOCK = 128 << 10
# Blocks of a file, and of a range at the most: 8 MiB. A request, a look at the index and a file for
# 8 MiB cost half of what they cost for two of 4: 512 MiB came at 0.92 of eight curl and not at 0.86
# (in turns, 18 times each).
BLOCKS = 64
HEAD = 4096  # bytes in front of the blocks, so that they begin at a page
_ENTRY = struct.Struct("<QI")  # checksum, length; length 0: not there
_TABLE = BLOCKS * _ENTRY.size
# Blocks written by one call: 4 MiB at once cost ext4 1.1 ms per MiB, 1 MiB at once 0.25.
_AT_ONCE = 8
# Bytes given to the checksum at once. From 64 KiB on it lets other threads run meanwhile, and to
# have its turn again takes longer than the 5 us: a quarter of all turns of a cold read.
_SUMMED = 32 << 10

Entry = tuple[int, int]


class BlockFile:
    """An open file of blocks. Safe for threads: it is closed when the last user has left it."""

    def __init__(self, path: Path, key: str) -> None:
        """``key`` names the content; what was written under another one reads as absent.

        Raises OSError.
        """
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._seed = xxh3_64_intdigest(key.encode())
        self._lock = threading.Lock()
        self._users = 1
        self._table = self._read_table()

    def enter(self) -> None:
        """Keep the file open until ``leave``; only for who knows that somebody else is in it."""
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """The opposite of ``enter``, and of opening it; the last one closes the file."""
        with self._lock:
            self._users -= 1
            if self._users == 0:
                os.close(self._fd)

    @property
    def deleted(self) -> bool:
        """Whether the file has gone from its folder, because it was evicted."""
        return os.fstat(self._fd).st_nlink == 0

    def read(self, positions: range, into: memoryview) -> tuple[list[int], list[int]]:
        """Read blocks to their places in ``into``, which has exactly their size.

        Answers which positions came whole, and which are damaged and forgotten now. Raises OSError.
        """
        if not all(self._table[position][1] for position in positions):
            self._table = self._read_table()  # another mount may have added some
        table = self._table
        there = [position for position in positions if table[position][1]]
        if not there:
            return [], []
        first, last = there[0], there[-1]
        start = (first - positions.start) * BLOCK
        stop = (last - positions.start) * BLOCK + table[last][1]
        got = os.preadv(self._fd, [into[start:stop]], HEAD + first * BLOCK)
        whole, damaged = [], []
        for position in there:
            checksum, length = table[position]
            at = (position - positions.start) * BLOCK
            data = into[at : at + BLOCK]  # shorter at the end of the object
            whole_length = length == len(data) and at + length <= start + got
            if whole_length and checksum == self._checksum(position, data):
                whole.append(position)
            else:
                damaged.append(position)
        if damaged:
            self._list((position, (0, 0)) for position in damaged)
        return whole, damaged

    def absent(self, positions: Iterable[int]) -> list[int]:
        """Those of ``positions`` whose blocks are not there. Raises OSError."""
        self._table = self._read_table()
        return [position for position in positions if not self._table[position][1]]

    def write(self, blocks: Sequence[tuple[int, memoryview]]) -> None:
        """Add blocks, each with its position, in ascending order. Raises OSError."""
        for group in _together(blocks):
            self._write(group[0][0], [data for _, data in group])
        self._list(
            (position, (self._checksum(position, data), len(data))) for position, data in blocks
        )

    def check(self) -> tuple[int, int]:
        """Read everything: bytes that are whole, and blocks that are damaged and forgotten now.

        Raises OSError.
        """
        buffer = memoryview(bytearray(BLOCK))
        size = dropped = 0
        for position, (_, length) in enumerate(self._read_table()):
            whole, damaged = self.read(range(position, position + 1), buffer[:length])
            dropped += len(damaged)
            size += length if whole else 0
        return size, dropped

    def _checksum(self, position: int, data: memoryview) -> int:
        # With key and position in it, it also tells a block that stands at another's place.
        # crc32 would take 0.25 ms per MiB, a tenth of a cold read; this takes 0.02.
        sum_ = xxh3_64(seed=self._seed ^ position)
        for start in range(0, len(data), _SUMMED):
            sum_.update(data[start : start + _SUMMED])
        return sum_.intdigest()

    def _read_table(self) -> list[Entry]:
        data = os.pread(self._fd, _TABLE, 0).ljust(_TABLE, b"\0")
        return [
            (checksum, length if length <= BLOCK else 0)
            for checksum, length in _ENTRY.iter_unpack(data)
        ]

    def _write(self, position: int, parts: list[memoryview]) -> None:
        """Write blocks that follow each other."""
        place, left = HEAD + position * BLOCK, sum(len(part) for part in parts)
        while left:
            written = os.pwritev(self._fd, parts, place)
            place, left = place + written, left - written
            while left and written >= len(parts[0]):  # a disk that fills up writes a part first
                written -= len(parts.pop(0))
            parts[0] = parts[0][written:]

    def _list(self, entries: Iterable[tuple[int, Entry]]) -> None:
        """Write the entries of blocks that are there now, or are gone."""
        changed = dict(entries)
        first, last = min(changed), max(changed)
        table = self._table = self._read_table()
        for position, entry in changed.items():
            table[position] = entry
        data = b"".join(_ENTRY.pack(*entry) for entry in table[first : last + 1])
        os.pwrite(self._fd, data, first * _ENTRY.size)


def _together(blocks: Iterable[tuple[int, memoryview]]) -> Iterator[list[tuple[int, memoryview]]]:
    """Blocks that follow each other, as many as are written at once."""
    group: list[tuple[int, memoryview]] = []
    for position, data in blocks:
        if group and (position != group[-1][0] + 1 or len(group) == _AT_ONCE):
            yield group
            group = []
        group.append((position, data))
    if group:
        yield group
