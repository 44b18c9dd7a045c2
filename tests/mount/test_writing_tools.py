"""Tools and libraries that know nothing of NDI write in a mount; the server tells the outcome."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.mounting import tool
from tests.support.system import until
from tests.support.written import (
    CLASS,
    NDI_ID,
    OTHER_ID,
    SharedMount,
    Written,
    body,
)

THIRD_ID = "41269430c7aed022_40dc5489899dc92a"


@pytest.fixture
def lab(shared: SharedMount) -> Iterator[Written]:
    with shared.dataset() as made:
        yield made


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of three documents, one of them new and one changed."""
    folder = tmp_path / "source"
    folder.mkdir()
    for ndi_id, text in ((NDI_ID, ""), (OTHER_ID, "changed"), (THIRD_ID, "new")):
        uid = "u1" if ndi_id == NDI_ID else ""
        (folder / f"{ndi_id}.json").write_text(json.dumps(body(ndi_id, text, uid)))
    return folder


def names_of(lab: Written) -> dict[str, str]:
    return {ndi_id: found["base"]["name"] for ndi_id, found in lab.on_server().items()}


def listed(folder: Path) -> list[str]:
    return sorted(item.name for item in folder.iterdir())


ALL_THREE = {NDI_ID: "", OTHER_ID: "changed", THIRD_ID: "new"}


@pytest.mark.parametrize("options", [["-r"], ["-rp"], ["-a"]])
def test_cp(lab: Written, source: Path, options: list[str]) -> None:
    tool("cp", *options, f"{source}/.", lab.documents)
    lab.settle()
    assert names_of(lab) == ALL_THREE


def test_cp_of_a_dataset_with_its_files(lab: Written) -> None:
    copy = lab.mount / "Sandbox Lab" / "Copy"
    copy.mkdir()
    tool("cp", "-r", lab.tree / "documents", copy)
    tool("cp", "-r", lab.tree / "files", copy)
    lab.settle()
    dataset = lab.dataset_named("Copy")
    assert set(lab.on_server(dataset)) == {NDI_ID, OTHER_ID}
    assert lab.files_on_server(NDI_ID, dataset) == {"a.bin": lab.content}


def test_rsync(lab: Written, source: Path) -> None:
    (source / f"{OTHER_ID}.json").unlink()
    tool("rsync", "-a", "--delete", f"{source}/", f"{lab.documents}/")
    assert listed(lab.documents) == [f"{NDI_ID}.json", f"{THIRD_ID}.json"]
    lab.settle()
    assert names_of(lab) == {NDI_ID: "", THIRD_ID: "new"}
    assert lab.files_on_server() == {"a.bin": lab.content}


def test_rsync_of_files(lab: Written, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    data = {name: os.urandom(200_000) for name in ("a.bin", "b.bin")}
    for name, content in data.items():
        (folder / name).write_bytes(content)
    tool("rsync", "-a", "--delete", f"{folder}/", f"{lab.files}/")
    tool("rsync", "-a", "--inplace", "--size-only", f"{folder}/", f"{lab.files}/")
    assert tool("diff", "-r", folder, lab.files) == ""
    lab.settle()
    assert lab.files_on_server() == data


def test_tar(lab: Written, source: Path, tmp_path: Path) -> None:
    tool("tar", "-cf", tmp_path / "archive.tar", "-C", source, ".")
    tool("tar", "-xf", tmp_path / "archive.tar", "-C", lab.documents)
    lab.settle()
    assert names_of(lab) == ALL_THREE


@pytest.mark.parametrize("options", [[], ["-c", "set backupcopy=yes"], ["-c", "set nobackup"]])
def test_vim(lab: Written, options: list[str]) -> None:
    edit = ["-c", '%s/"name": ""/"name": "by vim"/', "-c", "wq"]
    tool("vim", "-es", "-u", "NONE", *options, *edit, lab.json)
    assert json.loads(lab.json.read_text())["base"]["name"] == "by vim"
    assert listed(lab.documents) == [f"{NDI_ID}.json", f"{OTHER_ID}.json"]
    lab.settle()
    assert names_of(lab) == {NDI_ID: "by vim", OTHER_ID: ""}


def test_vim_on_the_metadata_of_a_dataset(lab: Written) -> None:
    edit = ["-c", '%s/"name": "D"/"name": "By vim"/', "-c", "wq"]
    tool("vim", "-es", "-u", "NONE", *edit, lab.tree / "dataset.json")
    lab.settle()
    assert lab.api.detail(lab.dataset)["name"] == "By vim"


def test_sed(lab: Written) -> None:
    tool("sed", "-i", 's/"name": ""/"name": "by sed"/', lab.json)
    assert listed(lab.documents) == [f"{NDI_ID}.json", f"{OTHER_ID}.json"]
    lab.settle()
    assert names_of(lab) == {NDI_ID: "by sed", OTHER_ID: ""}


def test_dd_and_truncate(lab: Written, tmp_path: Path) -> None:
    local = tmp_path / "a.bin"
    local.write_bytes(lab.content)
    patch = tmp_path / "patch"
    patch.write_bytes(os.urandom(5000))
    for path in (local, lab.files / "a.bin"):
        tool("dd", f"if={patch}", f"of={path}", "bs=1000", "seek=7", "conv=notrunc", "status=none")
        tool("truncate", "-s", "200001", path)
        tool("truncate", "-s", "+50000", path)
    tool("cmp", local, lab.files / "a.bin")
    lab.settle()
    assert lab.files_on_server() == {"a.bin": local.read_bytes()}


def test_git_is_refused_politely(lab: Written) -> None:
    for folder in (lab.tree, lab.tree / "documents", lab.documents, lab.files):
        result = subprocess.run(
            ["git", "init", str(folder)], capture_output=True, text=True, check=False
        )
        assert result.returncode != 0
        assert "Operation not permitted" in result.stderr
    assert lab.queue() == []
    assert listed(lab.documents) == [f"{NDI_ID}.json", f"{OTHER_ID}.json"]


def test_json_dump(lab: Written) -> None:
    path = lab.documents / "dumped.json"
    with path.open("w") as file:
        json.dump({"measured": [1, 2.5, None, "ä"]}, file, indent=1)
    with path.open() as file:
        read = json.load(file)
    assert read["measured"] == [1, 2.5, None, "ä"]
    lab.settle()
    assert lab.on_server()[read["base"]["id"]] == read


def test_numpy(lab: Written) -> None:
    array = np.arange(300_000, dtype=np.float32).reshape(3, -1)
    np.save(lab.files / "array.npy", array)
    assert np.array_equal(np.load(lab.files / "array.npy"), array)
    mapped = np.lib.format.open_memmap(lab.files / "array.npy", mode="r+")
    mapped[1, 5] = -1
    mapped.flush()
    del mapped
    array[1, 5] = -1
    until(lambda: np.array_equal(np.load(lab.files / "array.npy"), array))
    lab.settle()
    until(lambda: lab.files_on_server()["array.npy"] == (lab.files / "array.npy").read_bytes())
    assert np.array_equal(np.load(lab.files / "array.npy"), array)


# A program of its own: h5py keeps Python's lock while it waits, and the sandbox is in this process.
HDF5_MAKES = """
import sys, h5py, numpy
with h5py.File(sys.argv[1], "w") as file:
    data = numpy.arange(100_000, dtype="int16")
    file.create_dataset("trace", data=data, chunks=(1000,), compression="gzip")
"""
HDF5_CHANGES = """
import sys, h5py
with h5py.File(sys.argv[1], "r+") as file:
    file["trace"][50:60] = 7
    file.create_dataset("more", data=[1.5, 2.5])
"""
HDF5_READS = """
import sys, h5py
with h5py.File(sys.argv[1], "r") as file:
    print(file["trace"][45:65].tolist(), len(file["trace"]), file["more"][:].tolist())
"""


def test_hdf5(lab: Written) -> None:
    path = lab.files / "data.h5"
    tool(sys.executable, "-c", HDF5_MAKES, path)
    lab.settle()
    tool(sys.executable, "-c", HDF5_CHANGES, path)
    expected = [*range(45, 50), *[7] * 10, *range(60, 65)]
    read = tool(sys.executable, "-c", HDF5_READS, path)
    assert read == f"{expected} 100000 [1.5, 2.5]\n"
    lab.settle()
    assert lab.files_on_server()["data.h5"] == path.read_bytes()


def test_matlab_writes_and_reads_back(lab: Written) -> None:
    """As ``fopen(..., 'w+')`` does: cut, written in pieces, read back before it is closed."""
    path = lab.documents / "by_matlab.json"
    with path.open("w+b", buffering=0) as file:
        file.write(b'{"subject": ')
        file.write(b'{"age": 3}}')
        file.seek(0)
        assert json.loads(file.read()) == {"subject": {"age": 3}}
    with path.open("r+b", buffering=0) as file:
        assert json.loads(file.read())["subject"] == {"age": 3}
    lab.settle()
    assert len(lab.on_server()) == 3
    assert CLASS in {found["document_class"]["class_name"] for found in lab.on_server().values()}
