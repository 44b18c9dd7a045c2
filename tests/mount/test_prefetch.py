"""``ndicloudfs prefetch`` and ``ndicloudfs cache`` with a real mount."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ndicloudfs.mount.commands import place_of
from tests.sandbox.raw import Api, body, login, ndi_id, upload
from tests.support.mounting import COMMAND_SECONDS, Machine, account_of, machine
from tests.support.sandbox import Sandbox
from tests.support.system import until

MIB = 1 << 20
OBJECTS = "GET /objects"
FETCH = "POST /datasets/{id}/documents/bulk-fetch"
DATASET = "Sandbox Lab/Data"
SOURCES = {1: os.urandom(9 * MIB + 11), 2: os.urandom(100_000), 3: os.urandom(5 * MIB), 4: b""}


@dataclass
class Lab:
    """A dataset with 20 subjects, and four files of class filed, one of them empty."""

    sandbox: Sandbox
    api: Api
    dataset: str
    user: Machine

    @property
    def root(self) -> Path:
        return self.user.home / "ndi" / DATASET

    def file(self, number: int) -> Path:
        return self.root / "files/filed" / ndi_id(100 + number) / f"{number}.bin"

    def prefetch(self, *paths: Path) -> dict[str, Any]:
        result = self.user.run("prefetch", *paths, "--json")
        assert result.returncode == 0, result.stderr
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def sent(self) -> int:
        """Bytes of objects that the server has sent."""
        return sum(entry["response_bytes"] for entry in self.sandbox.log(OBJECTS))


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Iterator[Lab]:
    with login(sandbox) as api, machine(tmp_path / "home", account_of(sandbox)) as user:
        dataset = api.dataset(sandbox.organization_id, name="Data")
        for number in range(20):
            api.document(dataset, body(number))
        made = Lab(sandbox, api, dataset, user)
        for number, data in SOURCES.items():
            add_file(made, number, data)
        yield made


def add_file(lab: Lab, number: int, data: bytes | None) -> None:
    info = {
        "name": f"{number}.bin",
        "locations": [{"uid": f"uid {number}", "location_type": "file"}],
    }
    lab.api.document(lab.dataset, body(100 + number, "filed", files={"file_info": [info]}))
    if data is not None:
        upload(lab.sandbox, lab.api, lab.dataset, f"uid {number}", data)


def test_a_dataset_that_was_prefetched_is_there_without_the_server(lab: Lab) -> None:
    lab.user.mount()
    done = lab.prefetch(lab.root)
    assert (done["documents"], done["documents_total"]) == (24, 24)
    assert (done["files"], done["files_total"], done["missing"]) == (4, 4, 0)
    assert done["bytes"] == done["bytes_total"] == sum(map(len, SOURCES.values()))
    lab.sandbox.stop()
    for number, data in SOURCES.items():
        assert lab.file(number).read_bytes() == data
    assert len([path.read_bytes() for path in lab.root.glob("documents/*/*.json")]) == 24
    assert b'"Data"' in (lab.root / "dataset.json").read_bytes()


def test_what_is_cached_is_not_fetched_again(lab: Lab) -> None:
    lab.user.mount()
    first = lab.prefetch(lab.root)
    assert lab.sent() < 1.1 * sum(map(len, SOURCES.values()))
    lab.sandbox.clear_log()
    second = lab.prefetch(lab.root / "documents", lab.root / "files")
    assert second == {**first, "cached": first["bytes"]}
    assert lab.sandbox.count(OBJECTS) == lab.sandbox.count(FETCH) == 0


def test_one_that_is_cut_short_goes_on_where_it_ended(lab: Lab) -> None:
    root = lab.user.mount()
    lab.sandbox.set(object_bandwidth=2e6)
    with subprocess.Popen(
        [sys.executable, "-m", "ndicloudfs", "prefetch", str(lab.root)],
        env=lab.user.environment,
        stderr=subprocess.PIPE,
    ) as client:
        until(lambda: kept(lab) >= 1)
        os.kill(place_of(str(root)).ask("ping", folder=sockets(lab))["pid"], signal.SIGKILL)
        assert client.wait(COMMAND_SECONDS) == 1
        assert client.stderr is not None
        assert b"ended before it was done" in client.stderr.read()
    lab.user.umount(root)
    lab.user.mount()
    lab.sandbox.set(object_bandwidth=0.0)
    done = lab.prefetch(lab.root)
    assert 0 < done["cached"] < done["bytes"]
    for number, data in SOURCES.items():
        assert lab.file(number).read_bytes() == data


def sockets(lab: Lab) -> Path:
    return lab.user.home / ".local/state/ndicloudfs/run"


def kept(lab: Lab) -> int:
    """How many parts of files are on the disk."""
    info = json.loads(lab.user.run("cache", "info", "--json").stdout)
    return int(info["parts"])


@pytest.mark.parametrize(
    ("path", "documents", "files"),
    [
        ("documents/subject", 20, 0),
        (f"documents/subject/{ndi_id(3)}.json", 1, 0),
        ("files/filed", 4, 4),
        (f"files/filed/{ndi_id(102)}", 1, 1),
        (f"files/filed/{ndi_id(102)}/2.bin", 0, 1),
        ("files/.uid/uid 3", 0, 1),
        ("dataset.json", 0, 0),
    ],
)
def test_only_what_was_asked_for_comes(lab: Lab, path: str, documents: int, files: int) -> None:
    lab.user.mount()
    done = lab.prefetch(lab.root / path)
    assert (done["documents"], done["files"]) == (documents, files)


def test_what_fails_is_named_and_the_rest_comes(lab: Lab) -> None:
    add_file(lab, 5, None)
    lab.user.mount()
    lab.prefetch(lab.file(2))
    lab.sandbox.fault(OBJECTS, "short", count=-1, bytes=100)
    result = lab.user.run("prefetch", lab.root)
    assert result.returncode == 1
    assert "cached 25 documents, 2 files" in result.stdout
    assert "1 files have no bytes on the server" in result.stdout
    assert "File uid 1: " in result.stderr
    assert "2 could not be fetched; run it again" in result.stderr
    lab.sandbox.clear_faults()
    assert lab.prefetch(lab.root)["files"] == 4


def test_more_than_the_cache_can_hold_is_refused_before_it_comes(lab: Lab) -> None:
    lab.user.arguments = ("--cache-size", "10MB")
    lab.user.mount()
    result = lab.user.run("prefetch", lab.root)
    assert result.returncode == 2
    assert "mount with a larger --cache-size" in result.stderr
    assert lab.sandbox.count(OBJECTS) == 0


def test_a_place_that_cannot_be_prefetched_is_a_sentence(lab: Lab) -> None:
    root = lab.user.mount()
    for path in (root, root / "Sandbox Lab", root / "published"):
        result = lab.user.run("prefetch", path)
        assert result.returncode == 2
        assert "more than one dataset" in result.stderr
    assert lab.user.run("prefetch", lab.user.home).returncode == 2
    lab.sandbox.stop()
    assert lab.user.run("prefetch", lab.root).returncode == 4


def test_a_terminal_shows_bars_and_a_pipe_shows_none(lab: Lab) -> None:
    lab.user.mount()
    lab.sandbox.set(object_bandwidth=4e6)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "ndicloudfs", "prefetch", str(lab.root)],
        env={**lab.user.environment, "TERM": "xterm", "COLUMNS": "80"},
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as client:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other end is closed
            pass
        finally:
            os.close(ours)
        assert client.wait(COMMAND_SECONDS) == 0
        assert client.stdout is not None
        assert client.stdout.read().startswith(b"cached 24 documents, 4 files (14.8 MB")
    assert b"MB/s" in shown
    assert lab.user.run("prefetch", lab.root).stderr == ""


# The cache


def test_the_cache_is_seen_checked_and_emptied_with_and_without_a_mount(lab: Lab) -> None:
    assert "There is no cache in" in lab.user.run("cache", "info").stderr
    root = lab.user.mount()
    lab.prefetch(lab.root)
    for _ in range(2):
        info = json.loads(lab.user.run("cache", "info", "--json").stdout)
        assert info["documents"] == 24
        assert info["parts"] == 4
        assert 14 * MIB < info["used_bytes"] < 20 * MIB
        assert [mount["mountpoint"] for mount in info["mounts"]] == list(map(str, lab.user.mounts))
        checked = json.loads(lab.user.run("cache", "verify", "--json").stdout)
        assert (checked["entries"], checked["dropped"]) == (28, 0)
        if lab.user.mounts:
            lab.user.umount(root)
    assert "none was damaged" in lab.user.run("cache", "verify").stdout
    shown = lab.user.run("cache", "info").stdout
    assert "documents  24" in shown
    assert "parts of up to 8 MiB" in shown
    lab.user.mount()
    assert json.loads(lab.user.run("cache", "clear", "--json").stdout)["bytes"] > 14 * MIB
    assert json.loads(lab.user.run("cache", "info", "--json").stdout)["documents"] == 0
    for number, data in SOURCES.items():
        assert lab.file(number).read_bytes() == data


def test_damage_is_found_dropped_and_fetched_again(lab: Lab) -> None:
    lab.user.mount()
    lab.prefetch(lab.root)
    blocks = max(
        (lab.user.home / ".cache/ndicloudfs/blocks").rglob("*"),
        key=lambda path: path.stat().st_size if path.is_file() else 0,
    )
    with blocks.open("r+b") as file:
        file.seek(MIB)
        file.write(b"damage")
    assert json.loads(lab.user.run("cache", "verify", "--json").stdout)["dropped"] == 1
    done = lab.prefetch(lab.root)
    assert 0 < done["bytes"] - done["cached"] <= 8 * MIB
    for number, data in SOURCES.items():
        assert lab.file(number).read_bytes() == data
