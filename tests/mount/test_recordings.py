"""Scientific libraries that open recordings by path, through a real mount."""

from __future__ import annotations

import mmap
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.mount.conftest import Study
from tests.support.mounting import tool


def file_named(tree: Path, name: str) -> Path:
    """The file of the ``Recordings`` dataset with this name."""
    found = list((tree / "Recordings" / "files").glob(f"*/*/{name}"))
    if not found:
        pytest.skip(f"{name} is among the real recordings only, which are not kept here")
    return found[0]


@dataclass(frozen=True)
class Neo:
    """neo, run as a user's script."""

    folder: Path

    def __call__(self, kind: str, *paths: Path) -> dict[str, Any]:
        """The arrays in a recording."""
        output = self.folder / f"{len(list(self.folder.iterdir()))}.npz"
        tool(sys.executable, "-m", "tests.support.read_recording", output, kind, *paths)
        with np.load(output) as arrays:
            return dict(arrays)


@pytest.fixture
def read(tmp_path: Path) -> Neo:
    return Neo(tmp_path)


def assert_same(arrays: dict[str, Any], others: dict[str, Any]) -> None:
    assert arrays.keys() == others.keys()
    assert arrays
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name])


def test_neo_reads_a_blackrock_signal(tree: Path, study: Study, read: Neo) -> None:
    name = "testData.ns2"
    through = read("blackrock", file_named(tree, name))
    alone = read.folder / "alone"
    alone.mkdir()
    shutil.copy(study.recordings / name, alone)
    assert_same(through, read("blackrock", alone / name))


def test_neo_reads_a_blackrock_pair_by_path(tree: Path, study: Study, read: Neo) -> None:
    pair = ("testData.ns2", "testData.nev")
    through = read("blackrock", *(file_named(tree, name) for name in pair))
    assert any(name.startswith("spikes") for name in through)
    assert_same(through, read("blackrock", *(study.recordings / name for name in pair)))


def test_neo_reads_an_axon_recording(tree: Path, study: Study, read: Neo) -> None:
    name = "example.abf"
    through = read("axon", file_named(tree, name))
    assert_same(through, read("axon", study.recordings / name))


def test_tifffile_reads_a_tiff(tree: Path, study: Study) -> None:
    name = "example_frame.tif"
    np.testing.assert_array_equal(
        tifffile.imread(file_named(tree, name)), tifffile.imread(study.recordings / name)
    )


def test_numpy_maps_a_recording_into_memory(tree: Path, study: Study) -> None:
    name = "testData.ns2"
    mapped = np.memmap(file_named(tree, name), dtype=np.uint8, mode="r")
    source = np.fromfile(study.recordings / name, dtype=np.uint8)
    assert mapped.shape == source.shape
    for start in (400_000, 0, 123_456, len(source) - 10):
        np.testing.assert_array_equal(mapped[start : start + 5000], source[start : start + 5000])
    np.testing.assert_array_equal(mapped, source)


def test_a_shared_mapping_works_as_well(tree: Path, study: Study) -> None:
    with (
        file_named(tree, "testData.ns2").open("rb") as file,
        mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ) as mapped,
    ):
        assert mapped[:] == (study.recordings / "testData.ns2").read_bytes()
