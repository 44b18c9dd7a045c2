"""Those who read from the mount, each on a thread of its own, and compare what they get."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

KIB, MIB = 1 << 10, 1 << 20
Reader: TypeAlias = "Callable[[Work, random.Random], None]"

REFRESH_EVERY = 20.0  # s


class Differs(Exception):
    """The mount gave other bytes, names or sizes than there are."""


@dataclass
class Work:
    """What all readers share: what there is, and what they have done."""

    dataset: Path
    sources: dict[Path, Path]  # file in the mount -> what it was made of
    environment: Mapping[str, str]
    ending: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, number: int = 1) -> None:
        """Note that something was done."""
        with self._lock:
            self.done[what] += number

    def run(self, reader: Reader, seed: int) -> None:
        """Let a reader read again and again until the end, or until it finds a difference."""
        rng = random.Random(seed)
        while not self.ending.is_set():
            try:
                reader(self, rng)
            except (Differs, OSError, subprocess.SubprocessError) as error:
                self.failures.append(f"{reader.__name__}: {error}")
                self.ending.set()


def read_at_random(work: Work, rng: random.Random) -> None:
    """Read pieces of a file at random places."""
    path, source = rng.choice(list(work.sources.items()))
    size = source.stat().st_size
    with path.open("rb", buffering=0) as file, source.open("rb") as expected:
        for _ in range(20):
            place, length = rng.randrange(size), rng.randrange(1, 200 * KIB)
            got = os.pread(file.fileno(), length, place)
            _same(path, place, got, os.pread(expected.fileno(), length, place))
            work.count("bytes", len(got))
            if work.ending.is_set():
                return
        _forget(file.fileno())


def read_in_order(work: Work, rng: random.Random) -> None:
    """Read a file from its beginning to its end, or to somewhere in it."""
    path, source = rng.choice(list(work.sources.items()))
    stop = rng.choice((None, rng.randrange(source.stat().st_size)))
    place = 0
    with path.open("rb", buffering=0) as file, source.open("rb") as expected:
        if file.seek(0, os.SEEK_END) != source.stat().st_size:
            raise Differs(f"{path} has another size")
        file.seek(0)
        while part := file.read(256 * KIB):
            _same(path, place, part, expected.read(len(part)))
            place += len(part)
            work.count("bytes", len(part))
            if (stop is not None and place >= stop) or work.ending.is_set():
                break
        else:
            if expected.read(1):
                raise Differs(f"{path} ends at {place}, too early")
        _forget(file.fileno())


class Lists:
    """Goes through the tree: names, sizes and documents are the same every time."""

    __name__ = "lists"

    def __init__(self) -> None:
        self._first: dict[str, bytes] = {}

    def __call__(self, work: Work, rng: random.Random) -> None:
        """Walk once, and read every document."""
        del rng
        found: dict[str, bytes] = {}
        for folder, _, names in os.walk(work.dataset):
            for name in names:
                path = Path(folder) / name
                size = path.stat().st_size
                data = path.read_bytes() if path.suffix == ".json" else b"%d" % size
                if path.suffix == ".json" and len(data) != size:
                    raise Differs(f"{path} has {len(data)} bytes and is said to have {size}")
                found[str(path)] = data
                if work.ending.is_set():
                    return
            work.count("listings")
        self._first = self._first or found
        if found != self._first:
            changed = {path for path, _ in found.items() ^ self._first.items()}
            raise Differs(f"not what it was before: {sorted(changed)[:3]}")


def refresh(work: Work, rng: random.Random) -> None:
    """Ask the server again for all that is known, as a user would."""
    del rng
    subprocess.run(
        [sys.executable, "-m", "ndicloudfs", "refresh", str(work.dataset)],
        env=dict(work.environment),
        check=True,
        capture_output=True,
    )
    work.count("refreshes")
    work.ending.wait(REFRESH_EVERY)


def _same(path: Path, place: int, got: bytes, expected: bytes) -> None:
    if got != expected:
        raise Differs(f"{path} differs from its source within {len(expected)} bytes at {place}")


def _forget(descriptor: int) -> None:
    """Make the kernel forget the file, so that the mount is asked again."""
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
