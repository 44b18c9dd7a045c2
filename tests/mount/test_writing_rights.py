"""What may be written is known when a file is opened, and not when it is sent."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.sandbox.raw import login
from tests.support.mounting import BINDINGS, machine
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.written import CLASS, NDI_ID, OTHER_ID, PACE, Written, body, written


@pytest.fixture(params=BINDINGS)
def lab(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Written]:
    with written(sandbox, tmp_path / "home", binding=request.param) as made:
        yield made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def refused(change: Callable[[], object]) -> bool:
    """Whether a change is refused as one of what cannot be written."""
    try:
        change()
    except OSError as error:
        return error.errno in (errno.EROFS, errno.EACCES)
    return False


def assert_read_only(dataset: Path) -> None:
    """Nothing in a dataset can be opened for writing, made or removed."""
    documents = dataset / "documents" / CLASS
    document = documents / f"{NDI_ID}.json"
    file = dataset / "files" / CLASS / NDI_ID / "a.bin"
    for path in (dataset / "dataset.json", document, file):
        assert mode(path) == 0o444
        assert refused(lambda path=path: path.open("r+b"))  # type: ignore[misc]
        assert refused(path.unlink)
        assert refused(lambda path=path: os.truncate(path, 0))  # type: ignore[misc]
    for folder in (dataset, documents, file.parent):
        assert mode(folder) == 0o555
        assert refused(lambda folder=folder: (folder / "new.json").open("x"))  # type: ignore[misc]
        assert refused(lambda folder=folder: (folder / "new").mkdir())  # type: ignore[misc]


def test_what_may_be_written_shows_in_its_mode(lab: Written) -> None:
    for path in (lab.json, lab.files / "a.bin", lab.tree / "dataset.json"):
        assert mode(path) == 0o644
    for folder in (lab.tree, lab.documents, lab.files, lab.mount / "Sandbox Lab"):
        assert mode(folder) == 0o755
    for folder in (lab.mount, lab.mount / "published", lab.mount / ".ndicloudfs"):
        assert mode(folder) == 0o555
    assert refused((lab.mount / "x").mkdir)
    assert refused(lambda: (lab.mount / ".ndicloudfs" / "status.json").open("w"))


def test_published_data_are_read_only_wherever_they_are_seen(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with written(sandbox, tmp_path / "home", "--metadata-ttl", "0") as lab:
        assert lab.api.post(f"/datasets/{lab.dataset}/publish").status_code == 200
        sandbox.idle()
        until(lambda: mode(lab.json) == 0o444)
        assert_read_only(lab.tree)
        assert_read_only(lab.mount / "published" / lab.dataset)


def test_who_may_not_upload_reads_only(sandbox: Sandbox, tmp_path: Path) -> None:
    with written(sandbox, tmp_path / "home") as lab:
        lab.user.umount(lab.mount)
        sandbox.stop()
        with closing(sqlite3.connect(sandbox.data / "state.sqlite")) as world:
            world.execute("UPDATE organizations SET can_upload = 0")
            world.commit()
        sandbox.restart()
        lab.user.mount()
        assert_read_only(lab.tree)
        assert refused((lab.mount / "Sandbox Lab" / "new").mkdir)


def test_nobody_in_particular_reads_only(sandbox: Sandbox, tmp_path: Path) -> None:
    with machine(tmp_path / "home", {"NDI_CLOUD_URL": sandbox.url}) as nobody:
        root = nobody.mount()
        assert refused((root / "published" / "x").mkdir)


def test_a_read_only_mount(lab: Written) -> None:
    second = lab.user.mount("second", "-o", "ro")
    assert_read_only(second / lab.dataset)
    (lab.documents / "new.json").write_text("{}")
    lab.settle()


def test_a_second_mount_is_told_who_writes(lab: Written) -> None:
    (lab.user.home / "second").mkdir()
    result = lab.user.run("mount", lab.user.home / "second")
    assert result.returncode == 1
    assert "-o ro" in result.stderr


def test_a_mount_of_one_dataset_can_be_written(lab: Written) -> None:
    lab.user.umount(lab.mount)
    target = lab.user.home / "one"
    target.mkdir()
    pace = f"--write-pace={PACE}"
    result = lab.user.run("mount", pace, lab.dataset, target)
    assert result.returncode == 0, result.stderr
    lab.user.mounts.append(target)
    (target / "documents" / CLASS / "new.json").write_text("{}")
    (target / ".notes.swp").write_text("scratch")
    (target / "documents" / "subject").mkdir()
    until(lambda: len(lab.on_server()) == 3)


def test_what_somebody_else_changed_meanwhile_is_not_overwritten(lab: Written) -> None:
    mine = body(text="mine")
    lab.json.read_bytes()
    theirs = body(text="theirs", uid="u1")
    path = f"/datasets/{lab.dataset}/documents/{lab.document}"
    assert lab.api.post(path, theirs).status_code == 200
    lab.json.write_text(json.dumps(mine))
    until(lambda: lab.state(lab.json) == "conflict", 60)
    assert lab.on_server()[NDI_ID]["base"]["name"] == "theirs"
    conflicts = lab.mount / ".ndicloudfs" / "conflicts"
    (version,) = [item for item in conflicts.iterdir() if item.suffix == ".json"]
    assert json.loads(version.read_text()) == mine
    until(lambda: json.loads(lab.json.read_text())["base"]["name"] == "theirs")


def test_what_the_server_refuses_is_kept_and_says_so(lab: Written) -> None:
    lab.sandbox.fault("POST /datasets/{id}/documents", "status", -1, status=422)
    path = lab.documents / "refused.json"
    path.write_text('{"x": 1}')
    until(lambda: lab.state(path) == "rejected", 60)
    assert json.loads(path.read_text())["x"] == 1
    names = [item.name for item in (lab.mount / ".ndicloudfs" / "rejected").iterdir()]
    assert len(names) == 2
    (lab.documents / f"{OTHER_ID}.json").read_bytes()


def test_a_dataset_is_removed_where_that_is_allowed(sandbox: Sandbox, tmp_path: Path) -> None:
    with written(sandbox, tmp_path / "home", "--allow-delete-datasets") as lab:
        (lab.mount / "Sandbox Lab" / "D").rmdir()
        assert [item.name for item in (lab.mount / "Sandbox Lab").iterdir()] == []
        lab.settle()
        with login(sandbox) as api:
            listed = api.get(f"/organizations/{sandbox.organization_id}/datasets").json()
        assert listed["datasets"] == []
