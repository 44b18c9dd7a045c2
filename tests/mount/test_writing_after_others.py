"""Documents that others have deleted: the kernel goes on believing in their names for a while."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.mounting import BINDINGS
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.written import NDI_ID, OTHER_ID, Written, body, everything, written


@pytest.fixture(params=BINDINGS)
def lab(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Written]:
    with written(sandbox, tmp_path / "home", binding=request.param) as made:
        yield made


def deleted_elsewhere(lab: Written, count: int) -> list[Path]:
    """Documents that the kernel has just heard of; somebody deletes them, and the mount is told."""
    ids = [f"41269430c7ae00{number:02x}_40dc5489899dc92a" for number in range(count)]
    made = [lab.api.document(lab.dataset, body(ndi_id)) for ndi_id in ids]
    lab.user.run("refresh", lab.documents)
    paths = [lab.documents / f"{ndi_id}.json" for ndi_id in ids]
    for path in paths:
        until(path.exists)
    for document in made:
        answer = lab.api.delete(f"/datasets/{lab.dataset}/documents/{document}", when="now")
        assert answer.status_code == 200
    result = lab.user.run("refresh", lab.documents)
    assert result.returncode == 0, result.stderr
    return paths


HOW = (0, os.O_TRUNC, os.O_EXCL, os.O_APPEND)


def test_a_document_is_made_where_somebody_else_has_deleted_one(lab: Written) -> None:
    paths = deleted_elsewhere(lab, len(HOW))
    for path, flags in zip(paths, HOW, strict=True):
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o644)
        os.write(descriptor, json.dumps(body(path.stem, "anew")).encode())
        os.close(descriptor)
        assert json.loads(path.read_text())["base"]["name"] == "anew"
    lab.settle()
    found = lab.on_server()
    assert {found[path.stem]["base"]["name"] for path in paths} == {"anew"}


CALLS: dict[str, Callable[[Path], object]] = {
    "open": lambda path: os.open(path, os.O_RDONLY),
    "open to write": lambda path: os.open(path, os.O_WRONLY),
    "open and cut": lambda path: os.open(path, os.O_WRONLY | os.O_TRUNC),
    "truncate": lambda path: os.truncate(path, 0),
    "chmod": lambda path: path.chmod(0o644),
    "utime": os.utime,
    "getxattr": lambda path: os.getxattr(path, "user.ndi.state"),
    "unlink": os.unlink,
    "rename": lambda path: path.rename(path.with_name("other.json")),
    "stat": os.stat,
}


def test_a_document_that_somebody_else_has_deleted_is_not_there(lab: Written) -> None:
    paths = deleted_elsewhere(lab, len(CALLS))
    if lab.user.binding == "fusepy":  # its kernel cannot be told, and answers stat itself
        until(lambda: not paths[-1].exists())
    for work, path in zip(CALLS.values(), paths, strict=True):
        with pytest.RaisesExc(OSError, check=lambda error: error.errno == errno.ENOENT):
            work(path)
    assert {path.stem for path in lab.documents.iterdir()} == {NDI_ID, OTHER_ID}


def test_what_was_written_here_and_deleted_elsewhere_is_made_anew(lab: Written) -> None:
    """Also where nobody has asked for the document since it was written, or renamed."""
    scratch, renamed = lab.documents / ".scratch", lab.documents / "renamed.json"
    scratch.write_text("{}")
    lab.json.write_text(json.dumps(body(text="mine")))
    scratch.rename(renamed)
    lab.settle()
    for document in everything(lab.sandbox, lab.dataset):
        target = f"/datasets/{lab.dataset}/documents/{document.summary.id}"
        assert lab.api.delete(target, when="now").status_code == 200
    assert lab.user.run("refresh", lab.documents).returncode == 0
    for path in (lab.json, renamed):
        path.write_text('{"note": "anew"}')
    lab.settle()
    assert [found["note"] for found in lab.on_server().values()] == ["anew", "anew"]
