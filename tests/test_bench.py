"""The benchmark itself: two cheap lines at a tiny size, and what is made of their results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.mounting import need_fuse

SCRIPTS = Path(__file__).parents[1] / "scripts"
LATENCY = 0.1  # s, of an API call


def bench(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *(str(one) for one in arguments)]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The JSON of one benchmark."""
    need_fuse("mfusepy")
    folder = tmp_path_factory.mktemp("bench")
    file = folder / "results.json"
    size = ("--size", "tiny", "--runs", "2")
    # rclone, where there is one, makes a folder in the home.
    done = bench(*size, "--json", file, "first", "classes", HOME=str(folder))
    assert done.returncode in (0, 1), done.stderr
    assert "could not be measured" not in done.stdout
    return file


def test_results_say_what_was_measured_and_whether_it_is_enough(kept: Path) -> None:
    found: dict[str, Any] = json.loads(kept.read_text())
    assert found["size"] == "tiny"
    assert found["failures"] == {}
    assert found["machine"]["Python"]
    results = {result["what"].strip(): result for result in found["results"]}
    first = results["first 4 KiB of a file, cold"]
    assert first["line"] == "first"
    assert len(first["runs"]) == 2
    assert LATENCY < first["value"] == pytest.approx(sum(first["runs"]) / 2)
    assert first["met"] is (first["value"] <= first["at_most"])
    assert results["ls documents/, first time"]["value"] > LATENCY
    assert results["ranges, cold"]["value"] == 1
    assert found["met"] is all(result["met"] is not False for result in found["results"])


def test_kept_results_give_the_same_verdict(kept: Path) -> None:
    found = json.loads(kept.read_text())
    found["results"][0].update(value=9.0, runs=[9.0], at_most=1.0)
    missed = kept.with_name("missed.json")
    missed.write_text(json.dumps(found))
    assert bench("--from", missed).returncode == 1
    assert "NOT MET" in bench("--from", missed).stdout


def test_a_line_that_does_not_exist_is_a_wrong_usage() -> None:
    done = bench("firsts")
    assert done.returncode == 2
    assert "first, " in done.stderr
