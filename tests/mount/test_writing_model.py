"""Random changes of one file in the mount and of a file on this disk: the same at every step."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.mounting import BINDINGS
from tests.support.sandbox import Sandbox
from tests.support.written import Written, written

STEPS = 150
LARGEST = 3_000_000  # several blocks of what is fetched at once


@pytest.fixture(params=BINDINGS)
def lab(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Written]:
    with written(sandbox, tmp_path / "home", binding=request.param) as made:
        yield made


class Pair:
    """A file in the mount and one on this disk, open or not, to which the same is done."""

    def __init__(self, paths: tuple[Path, Path], chance: random.Random) -> None:
        self._paths = paths
        self._chance = chance
        self._open: list[tuple[int, int]] = []

    def step(self) -> None:
        """Do something, and compare."""
        acts = [self._write, self._write, self._read, self._truncate, self._reopen, self._append]
        self._chance.choice(acts)()
        mounted, local = (path.stat().st_size for path in self._paths)
        assert mounted == local

    def close(self) -> None:
        """Close what is open, and compare everything."""
        for handles in self._open:
            for handle in handles:
                os.close(handle)
        self._open.clear()
        mounted, local = (path.read_bytes() for path in self._paths)
        assert mounted == local

    def _handles(self) -> tuple[int, int]:
        if not self._open:
            self._reopen()
        return self._chance.choice(self._open)

    def _place(self) -> int:
        return self._chance.randrange(LARGEST if self._chance.random() < 0.2 else 400_000)

    def _write(self) -> None:
        data = self._chance.randbytes(self._chance.choice((1, 100, 5000, 200_000)))
        offset = self._place()
        for handle in self._handles():
            assert os.pwrite(handle, data, offset) == len(data)

    def _read(self) -> None:
        length, offset = self._chance.choice((1, 5000, 300_000)), self._place()
        mounted, local = (os.pread(handle, length, offset) for handle in self._handles())
        assert mounted == local

    def _truncate(self) -> None:
        size = self._place()
        if self._chance.random() < 0.5:
            for handle in self._handles():
                os.ftruncate(handle, size)
        else:
            for path in self._paths:
                os.truncate(path, size)

    def _reopen(self) -> None:
        if self._open and self._chance.random() < 0.5:
            handles = self._open.pop(self._chance.randrange(len(self._open)))
            for handle in handles:
                os.close(handle)
        emptied = os.O_TRUNC if self._chance.random() < 0.1 else 0
        mounted, local = (os.open(path, os.O_RDWR | emptied) for path in self._paths)
        self._open.append((mounted, local))

    def _append(self) -> None:
        data = self._chance.randbytes(1000)
        for path in self._paths:
            with path.open("ab", buffering=0) as file:
                file.write(data)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_file_is_at_every_step_what_it_is_on_a_disk(
    lab: Written, tmp_path: Path, seed: int
) -> None:
    local = tmp_path / "local.bin"
    local.write_bytes(lab.content)
    pair = Pair((lab.files / "a.bin", local), random.Random(seed))
    for number in range(STEPS):
        pair.step()
        if number % 50 == 49:
            pair.close()
            lab.settle()
    assert lab.files_on_server() == {"a.bin": local.read_bytes()}
