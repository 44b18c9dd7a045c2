"""Mounts as the system makes them: mount(8), systemd."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndicloudfs.cli.mount_helper import translated
from ndicloudfs.mount.mountpoint import mounted_at
from ndicloudfs.mount.readiness import notify
from tests.support.mounting import COMMAND_SECONDS, Machine, account_of, machine, need_fuse
from tests.support.sandbox import Sandbox
from tests.support.system import need

HELPER = Path("/sbin/mount.ndicloudfs")


@pytest.fixture
def user(sandbox: Sandbox, tmp_path: Path) -> Iterator[Machine]:
    need_fuse("mfusepy")
    with machine(tmp_path / "home", account_of(sandbox)) as made:
        (made.home / "ndi").mkdir()
        yield made


@pytest.fixture
def helper() -> Iterator[Path]:
    """The helper where mount(8) looks for it, as the documentation has it."""
    need(os.geteuid() == 0, "right to link into /sbin")
    need(not HELPER.exists(), "/sbin without a helper")
    HELPER.symlink_to(Path(sys.executable).parent / HELPER.name)
    yield HELPER
    HELPER.unlink()


def test_mount_8_mounts_with_the_options_of_fstab(user: Machine, helper: Path) -> None:
    target = user.home / "ndi"
    options = "rw,_netdev,noauto,user,x-systemd.automount,uid=1234,cache-size=1GiB"
    command = ["mount", "-t", "ndicloudfs", "-o", options, "published", str(target)]
    result = subprocess.run(
        command,
        env=user.environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    user.mounts.append(target)
    assert result.returncode == 0, result.stderr
    found = mounted_at(str(target))
    assert found is not None
    assert found.filesystem == "fuse.ndicloudfs"
    assert (target / ".ndicloudfs").stat().st_uid == 1234
    subprocess.run(["umount", str(target)], check=True, timeout=COMMAND_SECONDS)
    assert mounted_at(str(target)) is None


def test_the_helper_reads_what_mount_8_calls_it_with() -> None:
    arguments = ["My Lab", "/mnt/ndi", "-s", "-v", "-n", "-t", "ndicloudfs", "-o", "rw,user"]
    assert translated(arguments) == ["mount", "--verbose", "-orw,user", "--", "My Lab", "/mnt/ndi"]
    assert translated(["none", "/mnt/ndi", "-f"]) == ["config"]


def test_systemd_hears_when_a_mount_is_ready_and_when_it_ends(
    user: Machine, tmp_path: Path
) -> None:
    target = user.home / "ndi"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(COMMAND_SECONDS)
        with subprocess.Popen(
            [sys.executable, "-m", "ndicloudfs", "mount", "-f", str(target)],
            env={**user.environment, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert manager.recv(4096).startswith(b"READY=1\nSTATUS=mounted at ")
                assert (target / "published").is_dir()
                process.send_signal(signal.SIGTERM)
                assert manager.recv(4096) == b"STOPPING=1"
                assert process.wait(COMMAND_SECONDS) == 0
            finally:
                process.kill()
    assert mounted_at(str(target)) is None


def test_without_a_manager_nothing_is_sent(tmp_path: Path) -> None:
    notify("READY=1", {})
    notify("READY=1", {"NOTIFY_SOCKET": "relative"})
    notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "nobody")})


def test_an_abstract_socket_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0ndicloudfs-{os.getpid()}")
        manager.settimeout(5)
        notify("READY=1", {"NOTIFY_SOCKET": f"@ndicloudfs-{os.getpid()}"})
        assert manager.recv(100) == b"READY=1"
