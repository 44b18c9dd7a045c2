"""What ``status`` shows: at a glance, as JSON, live, and to Prometheus."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest
import requests

from ndicloudfs.cli.status import size
from tests.support.mounting import Machine, account_of, machine, need_fuse, serving
from tests.support.sandbox import Sandbox
from tests.support.system import dead_mounts, until

NAMES = ("mount", "account", "sign-in", "server", "cache", "queue")


@pytest.fixture
def user(sandbox: Sandbox, tmp_path: Path) -> Iterator[Machine]:
    need_fuse("mfusepy")
    with machine(tmp_path / "home", account_of(sandbox)) as made:
        ready = made.home / "ready.json"
        account = {
            "url": sandbox.url,
            "email": sandbox.email,
            "password": sandbox.password,
            "organization_id": sandbox.organization_id,
        }
        ready.write_text(json.dumps(account))
        sample = ("sample", "--name", "Study", "--documents", "3", "--files", "2")
        result = made.run("sandbox", *sample, "--file-size", "1MB", "--ready-file", ready)
        assert result.returncode == 0, result.stderr
        yield made


def facts(user: Machine, *arguments: str) -> dict[str, Any]:
    result = user.run("status", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    (found,) = [
        each
        for each in json.loads(result.stdout)["mounts"]
        if each["mountpoint"].startswith(str(user.home))
    ]
    return dict(found)


def read_everything(root: Path) -> int:
    files = list((root / "Sandbox Lab/Study/files").glob("*/*/*"))
    return sum(len(file.read_bytes()) for file in files)


def test_status_tells_account_cache_and_traffic(user: Machine, sandbox: Sandbox) -> None:
    root = user.mount()
    assert facts(user)["cache"]["hit_rate"] is None
    number = read_everything(root)
    assert number == 2_000_000
    found = facts(user, str(root))
    assert found["account"] == sandbox.email
    assert found["token"]["signs_in_again"] is True
    assert found["online"] is True
    assert found["traffic"]["downloaded_bytes"] == number
    assert found["cache"]["hit_rate"] == 0
    user.umount(root)
    root = user.mount()
    read_everything(root)
    found = facts(user)
    assert found["cache"]["hit_rate"] == 1
    assert found["cache"]["used_bytes"] > number
    same = json.loads((root / ".ndicloudfs/status.json").read_text())
    assert same["cache"] == found["cache"]
    shown = user.run("status", root).stdout
    for words in (
        str(root),
        f"{sandbox.email} at 127.0.0.1",
        "signs in again by itself",
        "answers",
        "100% of what was read needed no download",
    ):
        assert words in shown


def test_a_transfer_under_way_and_the_last_errors_are_shown(
    user: Machine, sandbox: Sandbox
) -> None:
    root = user.mount()
    sandbox.set(object_bandwidth=200_000)
    file = next((root / "Sandbox Lab/Study/files").glob("*/*/*"))
    with pexpect.spawn(sys.executable, ["-c", f"open({str(file)!r}, 'rb').read()"]) as reader:
        until(lambda: bool(facts(user)["transfers"]))
        reader.close(force=True)
    sandbox.stop()
    with pytest.raises(OSError, match="unreachable"):
        os.listdir(root / ("0" * 24))  # noqa: PTH208
    found = facts(user)
    assert not found["online"]
    assert "cannot be reached" in found["outage"]
    assert "cannot be reached" in found["errors"][-1]
    assert "cannot be reached" in user.run("status", root).stdout


def test_a_pipe_gets_a_line_for_each_fact_however_long(user: Machine) -> None:
    root = user.mount("n" * 200)
    sentence = f"mount    {root}"
    lines = user.run("status", root).stdout.splitlines()
    assert lines[0] == sentence
    assert all(line.split("  ")[0] in NAMES for line in lines)
    command = [sys.executable, "-m", "ndicloudfs", "status", "--watch", str(root)]
    with subprocess.Popen(
        command, env=user.environment, stdout=subprocess.PIPE, text=True
    ) as watching:
        assert watching.stdout is not None
        lines = []
        while lines.count(sentence) < 2:
            lines.append(watching.stdout.readline().rstrip("\n"))
        watching.send_signal(signal.SIGINT)
    assert all(line.split("  ")[0] in (*NAMES, "") for line in lines)


def test_a_dead_mount_is_a_problem_with_its_remedy(user: Machine) -> None:
    root = user.mount()
    (process,) = serving(root)
    with dead_mounts():
        os.kill(process, signal.SIGKILL)
        until(lambda: not serving(root))
        result = user.run("status", root)
        assert result.returncode == 1
        assert f"ndicloudfs umount {root}" in result.stderr
        assert "umount" in facts(user)["problem"]
        user.umount(root)


def test_without_mounts_it_says_how_to_make_one(user: Machine) -> None:
    result = user.run("status", user.home)
    assert result.returncode == 2
    assert "is not in a mount of ndicloudfs" in result.stderr


@pytest.mark.parametrize("columns", [30, 120])
def test_the_live_view_goes_on_until_ctrl_c_in_any_window(user: Machine, columns: int) -> None:
    root = user.mount()
    with pexpect.spawn(
        sys.executable,
        ["-m", "ndicloudfs", "status", "--watch", str(root)],
        env={**user.environment, "TERM": "xterm"},
        encoding="utf-8",
        timeout=30,
        dimensions=(24, columns),
    ) as session:
        for _ in range(2):
            session.expect("server.*answers")
        ended = 1
        while ended:
            session.sendintr()
            ended = session.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=2)
        assert "Traceback" not in str(session.before)
    assert session.exitstatus in (0, 130)


def test_prometheus_finds_the_figures_on_this_machine_only(user: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user.arguments = ("--metrics", str(port))
    root = user.mount()
    read_everything(root)
    answer = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10)
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    figures = dict(
        line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")
    )
    assert float(figures["ndicloudfs_downloaded_bytes_total"]) == 2_000_000
    assert float(figures["ndicloudfs_online"]) == 1
    assert requests.get(f"http://127.0.0.1:{port}/", timeout=10).status_code == 404
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    assert f"0100007F:{port:04X}" in listening
    assert f"00000000:{port:04X}" not in listening


def test_a_metrics_port_that_is_taken_is_said(user: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        target = user.home / "ndi"
        target.mkdir()
        result = user.run("mount", target, "--metrics", str(taken.getsockname()[1]))
    assert result.returncode == 1
    assert "ddress already in use" in result.stderr


def test_sizes_are_written_as_people_read_them() -> None:
    assert [size(number) for number in (0, 1023, 1024, 1536, 150 << 20, 3 << 40)] == [
        *("0 B", "1023 B", "1.0 KiB", "1.5 KiB", "150 MiB", "3.0 TiB")
    ]
