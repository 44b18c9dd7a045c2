"""A mount from beginning to end, as people start and stop it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ndicloudfs.mount.mountpoint import FILESYSTEM_TYPE, mounted_at
from tests.mount.conftest import ORGANIZATION, Study
from tests.support.mounting import (
    BINDINGS,
    COMMAND_SECONDS,
    Machine,
    account_of,
    machine,
    need_fuse,
)
from tests.support.system import until


@pytest.fixture(params=BINDINGS)
def home(request: pytest.FixtureRequest, study: Study, tmp_path: Path) -> Iterator[Machine]:
    """A machine of its own for a test, under each binding."""
    with machine(tmp_path / "home", account_of(study.sandbox), binding=request.param) as made:
        yield made


@contextmanager
def in_foreground(home: Machine) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A mount in the foreground, as ``systemd`` or a shell would run it."""
    need_fuse(home.binding)
    target = home.home / "front"
    target.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "ndicloudfs", "mount", "-f", str(target)],
        env=home.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        home.mounts.append(target)
        until(lambda: mounted_at(str(target)) is not None)
        try:
            yield process, target
        except BaseException:
            process.kill()
            raise
        assert mounted_at(str(target)) is None
        home.mounts.remove(target)


def test_mount_returns_when_the_mount_answers(home: Machine) -> None:
    target = home.mount()
    found = mounted_at(str(target))
    assert found is not None
    assert found.filesystem == FILESYSTEM_TYPE
    assert found.source.startswith("ndicloud:127.0.0.1:")
    assert ORGANIZATION in os.listdir(target)  # noqa: PTH208 (one name is looked for)
    home.umount(target)
    assert mounted_at(str(target)) is None
    assert list(target.iterdir()) == []


def test_the_process_ends_with_its_mount(home: Machine) -> None:
    with in_foreground(home) as (process, target):
        assert (target / ORGANIZATION).is_dir()
        assert home.run("umount", target).returncode == 0
        assert process.wait(COMMAND_SECONDS) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_mount_cleanly(home: Machine, number: signal.Signals) -> None:
    with in_foreground(home) as (process, target):
        assert (target / ORGANIZATION).is_dir()
        process.send_signal(number)
        assert process.wait(COMMAND_SECONDS) == 0


def test_a_busy_mount_says_so_and_goes_away_lazily(home: Machine) -> None:
    target = home.mount()
    file = next((target / ORGANIZATION / "Recordings" / "files").glob("*/*/*.ns2"))
    with file.open("rb") as opened:
        result = home.run("umount", target)
        assert result.returncode == 1
        assert f"{target} is in use by a program or a shell" in result.stderr
        assert f"ndicloudfs umount --lazy {target}" in result.stderr
        assert len(opened.read(1000)) == 1000
        assert home.run("umount", "--lazy", target).returncode == 0
        assert mounted_at(str(target)) is None
        assert len(opened.read()) == file_size(opened) - 1000
    home.mounts.remove(target)


def file_size(opened: object) -> int:
    return os.fstat(opened.fileno()).st_size  # type: ignore[attr-defined]


def test_unmounting_what_is_not_mounted_says_so(home: Machine) -> None:
    result = home.run("umount", home.home)
    assert result.returncode == 1
    assert result.stderr == (
        f"ndicloudfs: {home.home} is not mounted; `ndicloudfs status` shows what is\n"
    )


def test_two_mounts_share_one_cache(home: Machine) -> None:
    first, second = home.mount("first"), home.mount("second", "-o", "ro")
    name = "Recordings/files/.uid"
    uid = os.getxattr(
        next((first / ORGANIZATION / "Recordings" / "files").glob("*/*/*.ns2")), "user.ndi.uid"
    ).decode()
    data = (first / ORGANIZATION / name / uid).read_bytes()
    assert (second / ORGANIZATION / name / uid).read_bytes() == data


def test_an_unknown_binding_is_named_with_the_known_ones(home: Machine) -> None:
    home.binding = "pyfuse3"
    target = home.home / "ndi"
    target.mkdir()
    result = home.run("mount", target)
    assert result.returncode == 1
    assert "NDICLOUDFS_FUSE is 'pyfuse3'; it can be mfusepy or fusepy" in result.stderr


def test_without_credentials_only_published_data_are_shown(study: Study, tmp_path: Path) -> None:
    with machine(tmp_path / "home", {"NDI_CLOUD_URL": study.sandbox.url}) as anonymous:
        target = anonymous.mount()
        assert sorted(os.listdir(target)) == [".ndicloudfs", "published"]  # noqa: PTH208
        dataset = target / "published" / "Sample"
        assert len(list(dataset.glob("documents/*/*.json"))) > 60
        assert all(path.read_bytes() for path in dataset.glob("files/generic_file/*/*"))
        drafts = study.sandbox.control("GET", "/log")
        assert drafts["requests"]
        with pytest.raises(FileNotFoundError):
            (target / ORGANIZATION).stat()
