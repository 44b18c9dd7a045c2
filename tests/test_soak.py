"""The soak itself, for a few seconds: what it compares, and what it takes for growth."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.mounting import need_fuse

SCRIPTS = Path(__file__).parents[1] / "scripts"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SCRIPTS)}


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "soaking", *arguments]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_a_short_soak_reads_what_there_is() -> None:
    need_fuse("mfusepy")
    done = soak("--minutes", "0.05", "--reader", "lists", "--reader", "refresh")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every byte was right, and nothing has grown" in done.stdout
    assert len([line for line in done.stdout.splitlines() if "MiB" in line]) >= 5


def test_another_byte_and_growth_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    looking, readers = (import_module(f"soaking.{name}") for name in ("__main__", "readers"))
    source, other = tmp_path / "source", tmp_path / "other"
    source.write_bytes(b"a" * 1000)
    for wrong in (b"a" * 999 + b"b", b"a" * 999, b"a" * 1001):
        other.write_bytes(wrong)
        work = readers.Work(tmp_path, {other: source}, {})
        work.run(readers.read_in_order, 1)
        work.run(readers.read_at_random, 1)
        assert work.failures, wrong
    same = [looking.Look(100 << 20, 50, 40, 60 << 20)] * 20
    assert looking._problems(same) == []
    grown = [
        looking.Look((100 + 4 * number) << 20, 50 + 4 * number, 40 + 3 * number, 90 << 20)
        for number in range(20)
    ]
    assert len(looking._problems(grown)) == 4
