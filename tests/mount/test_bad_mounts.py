"""Mounts that cannot begin: a sentence, an exit code, and nothing left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndicloudfs.mount.mountpoint import mounted_at, mounts
from tests.support.mounting import Machine, account_of, machine, need_fuse, serving
from tests.support.sandbox import Sandbox
from tests.support.system import dead_mounts, tiny_disk, until

USAGE, NOT_SIGNED_IN, OFFLINE = 2, 3, 4
LOGIN = "POST /auth/login"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("server")) as sandbox:
        yield sandbox


@pytest.fixture
def user(server: Sandbox, tmp_path: Path) -> Iterator[Machine]:
    need_fuse("mfusepy")
    server.clear_log()
    with machine(tmp_path / "home", account_of(server)) as made:
        (made.home / "ndi").mkdir()
        yield made
        assert serving(made.home / "ndi") == []


def listed(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def refused(user: Machine, target: Path | None = None, *arguments: str) -> tuple[int, str]:
    """The exit code and the sentence of a mount that must fail and leave nothing behind."""
    target = target or user.home / "ndi"
    before = mounted_at(str(target))
    result = user.run("mount", target, *arguments)
    assert result.returncode != 0
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert mounted_at(str(target)) == before
    (sentence,) = result.stderr.splitlines()
    assert sentence.startswith("ndicloudfs: ")
    return result.returncode, sentence


# Mount points


def test_a_mount_point_that_does_not_exist(user: Machine) -> None:
    assert "mkdir -p" in refused(user, user.home / "nowhere")[1]


def test_a_mount_point_that_is_a_file(user: Machine) -> None:
    (user.home / "file").write_text("data")
    assert "is not a directory" in refused(user, user.home / "file")[1]


def test_a_mount_point_that_is_not_empty(user: Machine) -> None:
    (user.home / "ndi/data").write_text("precious")
    assert "is not empty" in refused(user)[1]
    assert (user.home / "ndi/data").read_text() == "precious"


def test_a_mount_point_that_is_mounted_by_something_else(user: Machine) -> None:
    with tiny_disk(user.home / "disk", 1 << 20) as disk:
        assert "tmpfs" in refused(user, disk)[1]
        result = user.run("umount", disk)
        assert result.returncode == 1
        assert "not one of ndicloudfs" in result.stderr


def test_a_mount_point_that_is_mounted_already(user: Machine) -> None:
    root = user.mount()
    assert f"ndicloudfs umount {root}" in refused(user)[1]
    assert "published" in listed(root)
    user.umount(root)
    until(lambda: not serving(root))


def test_what_a_dead_mount_left_is_cleared_by_umount_and_by_the_next_mount(user: Machine) -> None:
    root = user.mount()
    for by_umount in (True, False):
        (process,) = serving(root)
        with dead_mounts():
            os.kill(process, signal.SIGKILL)
            until(lambda: not serving(root))
            if by_umount:
                user.umount(root)
            assert "published" in listed(user.mount())
    assert len([mount for mount in mounts() if mount.target == str(root)]) == 1
    user.umount(root)
    until(lambda: not serving(root))


def test_what_is_not_mounted_cannot_be_unmounted(user: Machine) -> None:
    for target in (user.home / "ndi", user.home / "nowhere"):
        result = user.run("umount", target)
        assert result.returncode == 1
        assert "is not mounted" in result.stderr


def test_a_cache_folder_inside_the_mount_point(user: Machine) -> None:
    target = user.home / "ndi"
    assert "inside the mount point" in refused(user, target, "--cache-dir", str(target / "c"))[1]


# Accounts and servers


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"NDI_CLOUD_PASSWORD": "wrong"}, NOT_SIGNED_IN, "check NDI_CLOUD_USERNAME and"),
        ({"NDI_CLOUD_PASSWORD": ""}, NOT_SIGNED_IN, "set both NDI_CLOUD_USERNAME and"),
        ({"NDI_CLOUD_USERNAME": ""}, NOT_SIGNED_IN, "set both NDI_CLOUD_USERNAME and"),
        ({"NDI_CLOUD_URL": "api.ndi-cloud.com/v1"}, USAGE, "NDI_CLOUD_URL is not the address"),
        ({"NDI_CLOUD_URL": "http://u:secret@h/v1"}, USAGE, "NDI_CLOUD_URL is not the address"),
        ({"NDI_CLOUD_URL": "http://127.0.0.1:1/v1"}, OFFLINE, "cannot be reached"),
        (
            {"NDI_CLOUD_URL": "", "CLOUD_API_ENVIRONMENT": "test"},
            USAGE,
            "(CLOUD_API_ENVIRONMENT): 'test' names no NDI Cloud",
        ),
        (
            {"NDI_CLOUD_USERNAME": "", "NDI_CLOUD_PASSWORD": "", "NDI_CLOUD_TOKEN": "nonsense"},
            NOT_SIGNED_IN,
            "NDI_CLOUD_TOKEN",
        ),
        ({"NDI_CLOUD_TOKEN": "two words"}, USAGE, "NDI_CLOUD_TOKEN is not a token"),
    ],
)
def test_an_account_or_server_that_cannot_be_used(
    user: Machine, server: Sandbox, changes: dict[str, str], code: int, words: str
) -> None:
    user.account = {**user.account, **changes}
    found, sentence = refused(user)
    assert found == code, sentence
    assert words in sentence
    assert "secret" not in sentence
    assert server.count(LOGIN) <= 1


def test_a_server_that_is_something_else(user: Machine, server: Sandbox) -> None:
    user.account = {**user.account, "NDI_CLOUD_URL": server.object_url + "/v1"}
    code, sentence = refused(user)
    assert code in (1, NOT_SIGNED_IN)
    assert "NDI_CLOUD" in sentence


def test_in_the_foreground_the_sentence_is_the_same(user: Machine) -> None:
    user.account = {**user.account, "NDI_CLOUD_PASSWORD": "wrong"}
    result = user.run("mount", user.home / "ndi", "--foreground")
    assert result.returncode == NOT_SIGNED_IN
    assert "check NDI_CLOUD_USERNAME" in result.stderr
    assert "Traceback" not in result.stderr


# Caches


def errors(root: Path) -> list[str]:
    return (root / ".ndicloudfs/errors.log").read_text().splitlines()


def test_a_cache_folder_that_cannot_be_used_is_one_warning(user: Machine) -> None:
    (user.home / "file").write_text("in the way")
    user.arguments = ("--cache-dir", str(user.home / "file/cache"))
    root = user.mount()
    assert listed(root / "published") == []
    assert os.statvfs(root).f_bsize
    (line,) = errors(root)
    assert "file/cache cannot be used" in line
    user.umount(root)
    until(lambda: not serving(root))


def test_a_full_disk_is_one_warning(user: Machine) -> None:
    with tiny_disk(user.home / "disk", 16 << 10) as disk:
        user.arguments = ("--cache-dir", str(disk / "cache"))
        root = user.mount()
        assert listed(root / "published") == []
        (line,) = errors(root)
        assert "cannot be used" in line
        user.umount(root)
        until(lambda: not serving(root))


def test_a_damaged_index_is_started_afresh(user: Machine) -> None:
    root = user.mount()
    user.umount(root)
    until(lambda: not serving(root))
    (index,) = (user.home / ".cache/ndicloudfs/index").rglob("*.sqlite")
    index.write_bytes(os.urandom(5000))
    assert listed(user.mount() / "published") == []
    assert errors(root) == []
    user.umount(root)
    until(lambda: not serving(root))


def test_a_mount_that_is_interrupted_leaves_nothing_behind(user: Machine, server: Sandbox) -> None:
    server.fault(LOGIN, "hang", count=-1)
    command = [sys.executable, "-m", "ndicloudfs", "mount", str(user.home / "ndi")]
    starting = subprocess.Popen(command, env=user.environment, stderr=subprocess.PIPE)
    until(lambda: server.count(LOGIN) > 0)
    starting.send_signal(signal.SIGINT)
    starting.communicate(timeout=60)
    until(lambda: not serving(user.home / "ndi"))
    assert mounted_at(str(user.home / "ndi")) is None
    server.clear_faults()
