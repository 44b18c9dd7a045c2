"""``ndicloudfs refresh`` through a real mount: what changed on the server shows at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sandbox.raw import Api, body, login, ndi_id
from tests.support.mounting import COMMAND_SECONDS, Machine, account_of, machine
from tests.support.sandbox import Sandbox
from tests.support.system import until

LAB = "Sandbox Lab"
FETCH = "POST /datasets/{id}/documents/bulk-fetch"


@dataclass
class Lab:
    """A dataset with 5 subjects, and a mount that believes for an hour what it has seen."""

    sandbox: Sandbox
    api: Api
    dataset: str
    user: Machine
    root: Path

    @property
    def documents(self) -> Path:
        return self.root / LAB / "Data" / "documents"

    def refresh(self, path: Path | str) -> dict[str, int]:
        result = self.user.run("refresh", path, "--json")
        assert result.returncode == 0, result.stderr
        answer: dict[str, int] = json.loads(result.stdout)
        return answer


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Iterator[Lab]:
    with (
        login(sandbox) as api,
        machine(tmp_path / "home", account_of(sandbox), "--metadata-ttl", "3600") as user,
    ):
        dataset = api.dataset(sandbox.organization_id, name="Data")
        for number in range(5):
            api.document(dataset, body(number))
        yield Lab(sandbox, api, dataset, user, user.mount())


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))  # noqa: PTH208 (names are wanted)


def test_what_is_new_changed_and_gone_shows_after_a_refresh(lab: Lab) -> None:
    subjects = lab.documents / "subject"
    before = {path.name: path.read_bytes() for path in subjects.iterdir()}
    first, second = (f"{ndi_id(number)}.json" for number in (0, 1))
    ids = {name: os.getxattr(subjects / name, "user.ndi.cloud_id").decode() for name in before}
    lab.api.document(lab.dataset, body(9))
    lab.api.post(f"/datasets/{lab.dataset}/documents/{ids[first]}", body(0, extra="new"))
    lab.api.delete(f"/datasets/{lab.dataset}/documents/{ids[second]}").raise_for_status()
    assert {path.name: path.read_bytes() for path in subjects.iterdir()} == before

    done = lab.refresh(subjects)
    assert done == {"listings": 2, "bodies": 4, "added": 1, "removed": 1, "changed": 1}
    assert names(subjects) == sorted([*set(before) - {second}, f"{ndi_id(9)}.json"])
    assert b'"extra": "new"' in (subjects / first).read_bytes()
    assert lab.refresh(subjects)["changed"] == 0


def test_a_refresh_of_the_mount_covers_all_that_is_known_and_no_more(lab: Lab) -> None:
    names(lab.root / LAB)
    (lab.documents / "subject" / f"{ndi_id(2)}.json").read_bytes()
    lab.api.dataset(lab.sandbox.organization_id, name="Another")
    assert lab.refresh(lab.root)["added"] == 1
    assert names(lab.root / LAB) == ["Another", "Data"]
    lab.sandbox.clear_log()
    lab.refresh(lab.root / LAB / "Another")
    assert lab.sandbox.log() == []


def test_one_document_is_refreshed_with_one_call(lab: Lab) -> None:
    document = lab.documents / "subject" / f"{ndi_id(2)}.json"
    document.read_bytes()
    lab.sandbox.clear_log()
    assert lab.refresh(document)["bodies"] == 1
    assert [entry["route"] for entry in lab.sandbox.log()] == [FETCH]


def test_a_path_is_found_from_inside_the_mount_and_through_links(lab: Lab) -> None:
    names(lab.documents / "subject")
    link = lab.user.home / "link"
    link.symlink_to(lab.documents)
    assert lab.refresh(link / "subject")["listings"] == 2
    inside = subprocess.run(
        [sys.executable, "-m", "ndicloudfs", "refresh", "."],
        cwd=lab.documents / "subject",
        env=lab.user.environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert inside.stdout == "refreshed 2 listings, 0 documents; nothing has changed\n"


@pytest.mark.parametrize(
    ("path", "sentence", "code"),
    [
        (
            "ndi/nothing",
            "nothing: No such file or directory; where it is new on the server, refresh",
            1,
        ),
        ("ndi/.ndicloudfs", "there is nothing of it on the server", 2),
        (".", "is not in a mount of ndicloudfs", 2),
    ],
)
def test_a_path_that_cannot_be_refreshed_is_a_sentence(
    lab: Lab, path: str, sentence: str, code: int
) -> None:
    result = lab.user.run("refresh", lab.user.home / path)
    assert sentence in result.stderr
    assert result.returncode == code
    assert len(result.stderr.splitlines()) == 1


def test_a_refresh_without_the_server_fails_and_loses_nothing(lab: Lab) -> None:
    before = names(lab.documents / "subject")
    lab.sandbox.stop()
    result = lab.user.run("refresh", lab.documents)
    assert "cannot be reached" in result.stderr
    assert result.returncode == 4
    assert names(lab.documents / "subject") == before


def test_ctrl_c_ends_the_work_in_the_mount(lab: Lab) -> None:
    for number in range(10, 40):
        lab.api.document(lab.dataset, body(number, f"class_{number}"))
    for folder in lab.documents.iterdir():
        names(folder)
    lab.sandbox.set(api_latency=0.2)
    lab.sandbox.clear_log()
    with subprocess.Popen(
        [sys.executable, "-m", "ndicloudfs", "refresh", str(lab.documents)],
        env=lab.user.environment,
        stderr=subprocess.PIPE,
    ) as client:
        until(lambda: len(lab.sandbox.log()) >= 2)
        client.send_signal(signal.SIGINT)
        assert client.wait(COMMAND_SECONDS) != 0
    lab.sandbox.set(api_latency=0.0)
    calls = len(lab.sandbox.log())
    started = time.monotonic()
    lab.user.umount(lab.root)
    assert time.monotonic() - started < 5
    assert len(lab.sandbox.log()) <= calls + 2 < 30
