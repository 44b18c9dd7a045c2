"""``sync``, ``queue`` and ``umount`` on a real mount: what waits, and what is decided about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndicloudfs.cli.failure import FAILED, OFFLINE
from ndicloudfs.cloud import CloudConfig, NdiCloud
from tests.mount.test_writing import write_and_close
from tests.support.mounting import account_of
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.written import NDI_ID, Written, body, written

ADD = "POST /datasets/{id}/documents"


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Iterator[Written]:
    with written(sandbox, tmp_path / "home") as made:
        yield made


def put(lab: Written, number: int) -> str:
    """Write a new document through the mount; its ndi id."""
    ndi_id = f"41269430c7aed0{number:02x}_40dc5489899dcfff"
    write_and_close(lab.documents / f"{ndi_id}.json", json.dumps(body(ndi_id)).encode())
    return ndi_id


def listed(lab: Written) -> list[dict[str, object]]:
    """What ``queue list`` says."""
    result = lab.user.run("queue", "list", "--json")
    assert result.returncode == 0, result.stderr
    found: list[dict[str, object]] = json.loads(result.stdout)["entries"]
    return found


def test_sync_waits_until_the_server_has_everything(lab: Written) -> None:
    ids = {put(lab, number) for number in range(3)}
    result = lab.user.run("sync", lab.tree)
    assert (result.returncode, result.stdout) == (0, "the server has everything\n")
    assert ids <= set(lab.on_server())
    assert listed(lab) == []


def test_sync_says_what_is_left_and_why(lab: Written) -> None:
    lab.sandbox.fault(ADD, "status", status=400, body={"error": "not like this"})
    ndi_id = put(lab, 1)
    result = lab.user.run("sync")
    assert result.returncode == FAILED
    assert ndi_id in result.stderr
    assert "not like this" in result.stderr
    (entry,) = listed(lab)
    assert (entry["state"], entry["ndi_id"]) == ("rejected", ndi_id)
    assert "rejected" in lab.user.run("queue", "list", lab.mount).stdout

    exported = lab.user.run("queue", "export", lab.user.home / "kept")
    (path,) = exported.stdout.split()
    assert json.loads(Path(path).read_text())["base"]["id"] == ndi_id

    assert lab.user.run("queue", "retry").returncode == 0
    assert lab.user.run("sync").returncode == 0
    assert ndi_id in lab.on_server()


def test_what_is_discarded_is_gone(lab: Written) -> None:
    lab.sandbox.fault(ADD, "status", status=400)
    ndi_id = put(lab, 1)
    lab.user.run("sync")
    (entry,) = listed(lab)
    assert lab.user.run("queue", "discard", str(entry["id"])).returncode != 0  # nobody said yes
    assert lab.user.run("queue", "discard", "--yes", str(entry["id"])).returncode == 0
    assert listed(lab) == []
    assert ndi_id not in lab.on_server()
    assert list((lab.mount / ".ndicloudfs/rejected").iterdir()) == []


@pytest.mark.parametrize(("choice", "text"), [("--mine", "mine"), ("--theirs", "theirs")])
def test_a_conflict_is_decided(lab: Written, choice: str, text: str) -> None:
    path = lab.documents / f"{NDI_ID}.json"
    path.read_bytes()
    with NdiCloud(CloudConfig.from_environment(account_of(lab.sandbox))) as cloud:
        cloud.documents.update(lab.dataset, lab.document, body(NDI_ID, "theirs"))
    write_and_close(path, json.dumps(body(NDI_ID, "mine")).encode())
    assert lab.user.run("sync").returncode == FAILED
    (entry,) = listed(lab)
    assert entry["state"] == "conflict"
    result = lab.user.run("queue", "retry", str(entry["id"]))
    assert "queue resolve" in result.stderr
    assert lab.user.run("queue", "resolve", str(entry["id"]), choice).returncode == 0
    assert lab.user.run("sync").returncode == 0
    assert lab.on_server()[NDI_ID]["base"]["name"] == text


def test_umount_waits_for_the_server(lab: Written) -> None:
    ids = {put(lab, number) for number in range(3)}
    lab.user.umount(lab.mount)
    assert ids <= set(lab.on_server())


def test_umount_leaves_the_queue_to_the_next_mount(lab: Written) -> None:
    lab.sandbox.fault(ADD, "status", -1, status=503)
    ndi_id = put(lab, 1)
    result = lab.user.run("umount", lab.mount)
    assert result.returncode == FAILED
    assert "umount --now" in result.stderr
    assert lab.user.run("umount", "--now", lab.mount).returncode == 0
    lab.user.mounts.remove(lab.mount)
    lab.sandbox.clear_faults()
    assert ndi_id not in lab.on_server()
    lab.user.mount()
    until(lambda: ndi_id in lab.on_server())


def test_offline_sync_fails_at_once_and_loses_nothing(lab: Written) -> None:
    assert list(lab.documents.iterdir())  # the mount knows the class
    lab.sandbox.stop()
    put(lab, 1)
    result = lab.user.run("sync")
    assert result.returncode == OFFLINE
    result = lab.user.run("umount", lab.mount)
    assert result.returncode == OFFLINE
    lab.sandbox.restart()
    until(lambda: listed(lab) == [])


def test_a_second_mount_that_would_write_is_told_who_writes(lab: Written) -> None:
    other = lab.user.home / "other"
    other.mkdir()
    result = lab.user.run("mount", other)
    assert result.returncode == FAILED
    assert "-o ro" in result.stderr
    assert lab.user.run("mount", "-o", "ro", other).returncode == 0
    lab.user.mounts.append(other)
    assert lab.user.run("sync", other).returncode == 0
    assert "read-only" in lab.user.run("queue", "retry", "--mount", other).stderr
