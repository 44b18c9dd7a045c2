"""What the files of the sample dataset hold: small, real formats, the same bytes everywhere.

Nothing here calls ``zlib.compress``, ``gzip`` or ``math.sin``: their output differs between
versions and machines. Streams are deflated by *storing* (RFC 1951, 3.2.4), which every
decompressor reads, and waves are computed in whole numbers.
"""

from __future__ import annotations

import hashlib
import io
import struct
import tarfile
import zlib
from array import array
from collections.abc import Iterable, Sequence

_STORED_MAX = 65_535
_VHSB_MARK = b"This is a VHSB file, http://github.com/VH-Lab\n"
VHSB_HEADER_SIZE = 1836


def noise(key: str, size: int) -> bytes:
    """``size`` bytes that look random and depend on ``key`` only."""
    return hashlib.shake_128(key.encode()).digest(size)


def wave_samples(period: int, amplitude: int, count: int) -> list[int]:
    """``count`` samples of a sine of ``period`` samples between ``-amplitude`` and ``amplitude``.

    Bhaskara's approximation in whole numbers: within 0.2 % of the amplitude.
    """
    half = period // 2
    cycle = []
    for sign in (1, -1):
        for step in range(half):
            product = step * (half - step)
            cycle.append(sign * (16 * product * amplitude // (5 * half * half - 4 * product)))
    repeats = count // len(cycle) + 1
    return (cycle * repeats)[:count]


def _little_endian(samples: Iterable[int]) -> bytes:
    values = array("h", samples)
    return struct.pack(f"<{len(values)}h", *values)


def wav(samples: Sequence[int], rate: int) -> bytes:
    """A RIFF/WAVE file: one channel of 16-bit ``samples`` at ``rate`` samples per second."""
    data = _little_endian(samples)
    form = struct.pack("<HHIIHH", 1, 1, rate, rate * 2, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form
    body += b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vhsb_header(rate: int) -> bytes:
    """The 1836 bytes before the samples of a VHSB file, for one float32 value per sample.

    Layout as ``vlt.file.custom_file_formats.vhsb_writeheader`` writes it: times are not stored
    but follow from start 0 and increment 1/``rate`` seconds; values are in volts.
    """

    def text(value: bytes) -> bytes:
        return (value + b"\n").ljust(256, b"\0")

    header = _VHSB_MARK.ljust(200, b"\0")
    header += struct.pack("<I", 1) + text(b"little-endian")
    header += struct.pack("<IH", 64, 4)  # times: 64-bit float
    header += struct.pack("<100Q", 1, 1, *[0] * 98)
    header += struct.pack("<IH", 32, 4)  # values: 32-bit float
    header += struct.pack("<BBdd", 0, 1, 0.0, 1.0 / rate)
    header += text(b"s") + text(b"V")
    header += struct.pack("<BBdddd", 0, 0, 1.0, 0.0, 1.0, 0.0)
    return header


def vhsb(samples: Sequence[int], rate: int) -> bytes:
    """A VHSB file of ``samples`` in units of 1/32768 V at ``rate`` samples per second."""
    values = [sample / 32768 for sample in samples]
    return vhsb_header(rate) + struct.pack(f"<{len(values)}f", *values)


def recording_segment(name: str, samples: Sequence[int]) -> bytes:
    """A segment of an ingested recording: a ``.tgz`` with 16-bit samples (section 7.6)."""
    return gzip(tar({f"{name}.nbf": _little_endian(samples)}))


def tar(members: dict[str, bytes]) -> bytes:
    """A tar archive of ``members`` by name, without times and owners."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def gzip(data: bytes) -> bytes:
    """A gzip file of ``data`` with time 0 and no name."""
    header = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
    return header + _stored(data) + struct.pack("<II", zlib.crc32(data), len(data) & 0xFFFFFFFF)


def png(width: int, height: int, key: str) -> bytes:
    """A grey-scale PNG: a gradient with noise that depends on ``key``."""
    grain = noise(key, width * height)
    rows = b"".join(
        b"\0" + bytes((x * 200 // width + grain[y * width + x] % 56) & 0xFF for x in range(width))
        for y in range(height)
    )
    pixels = b"\x78\x01" + _stored(rows) + struct.pack(">I", zlib.adler32(rows))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def _stored(data: bytes) -> bytes:
    blocks = []
    for start in range(0, max(len(data), 1), _STORED_MAX):
        piece = data[start : start + _STORED_MAX]
        last = start + _STORED_MAX >= len(data)
        blocks.append(struct.pack("<BHH", last, len(piece), len(piece) ^ 0xFFFF) + piece)
    return b"".join(blocks)


class Pattern(io.RawIOBase):
    """A file of ``size`` bytes that is computed while it is read; seekable, over 1 GB/s.

    It starts with ``head``. The rest is blocks of 64 KiB, each a stamp of 32 bytes that no other
    block of any file has, then a piece of one noise pool: cheap to make, not compressible, and
    two blocks that were swapped show.
    """

    _BLOCK = 64 * 1024
    _pool = b""

    def __init__(self, key: str, size: int, head: bytes = b"") -> None:
        super().__init__()
        self._key = key
        self._size = size
        self._head = head[:size]
        self._at = 0
        if not Pattern._pool:
            Pattern._pool = noise("pool", 2 * self._BLOCK)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be positioned."""
        return True

    def tell(self) -> int:
        """The position in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position as ``io.IOBase.seek`` does."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` from the position; gives the number of bytes, 0 at the end."""
        wanted = min(len(buffer), max(0, self._size - self._at))
        done = 0
        while done < wanted:
            index, offset = divmod(self._at, self._BLOCK)
            piece = self._block(index)[offset : offset + wanted - done]
            buffer[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return done

    def _block(self, index: int) -> bytes:
        stamp = hashlib.blake2b(f"{self._key}/{index}".encode(), digest_size=32).digest()
        shift = int.from_bytes(stamp[:2], "little")
        block = stamp + self._pool[shift : shift + self._BLOCK - len(stamp)]
        start = index * self._BLOCK
        if start < len(self._head):
            head = self._head[start : start + self._BLOCK]
            block = head + block[len(head) :]
        return block
