"""``queue list`` and ``queue export`` where nothing is mounted and something waits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from ndicloudfs.cli.failure import FAILED, WRONG_USAGE
from ndicloudfs.writeback.ownership import Ownership
from tests.support.mounting import Machine, account_of, machine, serving
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.written import Written, body, written

NEW_ID = "41269430c7aed0ff_40dc5489899dcfff"
CONTENT = b"bytes" * 1000


@contextmanager
def left(sandbox: Sandbox, home: Path) -> Iterator[Written]:
    """A document and a file that were written and not sent; the mount has ended."""
    with written(sandbox, home) as made:
        assert list(made.documents.iterdir())  # the mount knows what it needs to take more
        assert list(made.files.iterdir())
        sandbox.stop()
        (made.documents / f"{NEW_ID}.json").write_text(json.dumps(body(NEW_ID)))
        (made.files / "new.bin").write_bytes(CONTENT)
        assert made.user.run("umount", "--now", made.mount).returncode == 0
        made.user.mounts.remove(made.mount)
        until(lambda: not serving(made.mount))
        yield made


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("left")
    with Sandbox(folder / "cloud") as sandbox, left(sandbox, folder / "home") as made:
        yield made


def folder_of(lab: Written) -> Path:
    """Where the queue is."""
    (journal,) = (lab.user.home / ".local/state/ndicloudfs/writeback").glob("*/*/journal.sqlite")
    return journal.parent


def listed(user: Machine) -> set[str]:
    """What ``queue list`` names."""
    result = user.run("queue", "list", "--json")
    assert result.returncode == 0, result.stderr
    return {entry["name"] for entry in json.loads(result.stdout)["entries"]}


def test_what_waits_is_listed_and_exported(lab: Written, tmp_path: Path) -> None:
    result = lab.user.run("queue", "list")
    assert len(result.stdout.splitlines()) == 2
    assert f"{lab.sandbox.email} at 127.0.0.1" in result.stderr
    exported = lab.user.run("queue", "export", tmp_path / "kept").stdout.splitlines()
    document, file = sorted(map(Path, exported), key=lambda path: path.suffix, reverse=True)
    assert json.loads(document.read_text())["base"]["id"] == NEW_ID
    assert file.read_bytes() == CONTENT
    assert listed(lab.user) == {NEW_ID, "new.bin"}


def test_the_next_mount_sends_what_was_listed_and_exported(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with left(sandbox, tmp_path / "home") as lab:
        assert listed(lab.user) == {NEW_ID, "new.bin"}
        assert lab.user.run("queue", "export", tmp_path / "kept").returncode == 0
        sandbox.restart()
        lab.user.mount()
        until(lambda: NEW_ID in lab.on_server() and "new.bin" in lab.files_on_server())


def test_an_entry_is_exported_by_its_id(lab: Written, tmp_path: Path) -> None:
    entries = json.loads(lab.user.run("queue", "list", "--json").stdout)["entries"]
    (id_,) = (str(entry["id"]) for entry in entries if entry["name"] == "new.bin")
    (path,) = lab.user.run("queue", "export", tmp_path / "kept", id_).stdout.splitlines()
    assert Path(path).read_bytes() == CONTENT
    result = lab.user.run("queue", "export", tmp_path / "kept", "9999")
    assert result.returncode == WRONG_USAGE
    assert "9999 is not in the queue" in result.stderr


def test_who_has_signed_out_finds_it_as_well(lab: Written) -> None:
    assert listed(replace(lab.user, account={})) == {NEW_ID, "new.bin"}


def test_of_several_accounts_that_of_the_settings_is_meant(lab: Written) -> None:
    other = folder_of(lab).with_name("other@example.org")
    shutil.copytree(folder_of(lab), other)
    try:
        assert f"{lab.sandbox.email} at" in lab.user.run("queue", "list").stderr
        result = replace(lab.user, account={}).run("queue", "list")
    finally:
        shutil.rmtree(other)
    assert result.returncode == WRONG_USAGE
    assert "several accounts" in result.stderr


def test_a_queue_that_another_process_has_is_left_alone(lab: Written) -> None:
    ownership = Ownership(folder_of(lab) / "owner")
    try:
        result = lab.user.run("queue", "list")
    finally:
        ownership.release()
    assert result.returncode == FAILED
    assert "is in use by a mount" in result.stderr


def test_where_nothing_was_ever_written_nothing_waits(tmp_path: Path, sandbox: Sandbox) -> None:
    with machine(tmp_path / "home", account_of(sandbox)) as user:
        assert user.run("queue", "list").stdout == "nothing waits: the server has everything\n"
        assert user.run("queue", "export", tmp_path / "kept").stdout == ""
        assert not (user.home / ".local/state/ndicloudfs/writeback").exists()
