"""Mounts whose server hangs, dies, comes back, or is not to be used at all."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cloud_process import CloudProcess, cloud_process
from tests.support.mounting import BINDINGS, Machine, machine, serving, tool
from tests.support.system import until

DATASET = "Sandbox Lab/Data"
OBJECTS = "GET /objects"
# s: at once, on a machine that does other things as well; what waits for the server takes 8 s.
SOON = 3.0


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[CloudProcess]:
    sample = ("--documents", "300", "--files", "4", "--file-size", "2MB", "--name", "Data")
    with cloud_process(tmp_path / "cloud", *sample) as made:
        yield made


@pytest.fixture
def user(cloud: CloudProcess, tmp_path: Path) -> Iterator[Machine]:
    # Listings are old at once: each look at one would refresh it.
    with machine(tmp_path / "home", cloud.account, "--metadata-ttl", "0") as made:
        yield made


def status(root: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((root / ".ndicloudfs/status.json").read_bytes())
    return found


def failure(action: Callable[[], object]) -> int | None:
    with pytest.raises(OSError) as raised:  # noqa: PT011 (the caller looks at the errno)
        action()
    return raised.value.errno


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


class Seen:
    """What was looked at while the server was there, and a look at it again."""

    def __init__(self, root: Path) -> None:
        self.dataset = root / DATASET
        files = self.dataset.glob("files/*/*/*")
        *_, self.file, self.cold = sorted(files, key=lambda file: file.stat().st_size)
        assert self.cold.stat().st_size == 2_000_000
        self.before = self._look()

    def look(self) -> None:
        assert self._look() == self.before

    def _look(self) -> object:
        names = tool("ls", "-l", *sorted((self.dataset / "documents").iterdir()))
        bodies = [path.read_bytes() for path in self.dataset.glob("documents/subject/*")]
        return names, bodies, self.file.read_bytes()


def readable(file: Path) -> bool:
    try:
        return len(file.read_bytes()) > 0
    except OSError:
        return False


def test_what_is_known_is_there_at_full_speed_while_the_server_hangs(
    user: Machine, cloud: CloudProcess
) -> None:
    root = user.mount()
    seen = Seen(root)
    seen.look()
    usual = seconds(seen.look)
    cloud.hang()
    slowest = max(seconds(seen.look) for _ in range(5))
    assert slowest < 2 * usual + SOON / 3
    assert seconds(lambda: tool("df", str(root))) < SOON
    assert failure(seen.cold.read_bytes) in (errno.ETIMEDOUT, errno.ENETUNREACH)
    until(lambda: status(root)["online"] is False, 30)
    assert "does not answer" in str(status(root)["outage"])
    assert seconds(seen.look) < 2 * usual + SOON / 3

    cloud.go_on()
    assert seconds(lambda: until(lambda: status(root)["online"] is True)) < 5
    until(lambda: readable(seen.cold), 5)


def test_what_is_not_cached_fails_at_once_without_the_network_and_is_back_within_seconds(
    user: Machine, cloud: CloudProcess
) -> None:
    root = user.mount()
    seen = Seen(root)
    cloud.kill()
    seen.look()
    assert failure(seen.cold.read_bytes) == errno.ENETUNREACH
    assert seconds(lambda: failure(seen.cold.read_bytes)) < SOON
    assert status(root)["online"] is False
    seen.look()
    cloud.start()
    assert seconds(lambda: until(lambda: readable(seen.cold))) < 5
    until(lambda: status(root)["online"] is True, 5)


@pytest.mark.parametrize("away", [CloudProcess.hang, CloudProcess.kill])
def test_a_mount_without_its_server_shows_soon_what_is_remembered(
    user: Machine, cloud: CloudProcess, away: Callable[[CloudProcess], None]
) -> None:
    root = user.mount()
    seen = Seen(root)
    user.umount(root)
    usual = seconds(user.mount)
    user.umount(root)
    away(cloud)
    assert seconds(user.mount) < 2 * usual + 2.5
    seen.look()
    user.umount(root)


@pytest.mark.parametrize("binding", BINDINGS)
def test_offline_never_touches_the_network(
    user: Machine, cloud: CloudProcess, binding: str
) -> None:
    user.binding = binding
    root = user.mount()
    seen = Seen(root)
    user.umount(root)
    until(lambda: not serving(root))  # what it fetches in the background ends with it
    before = cloud.requests()
    user.arguments = ("--offline", "--metadata-ttl", "0")
    user.mount()
    seen.look()
    assert seconds(lambda: failure(seen.cold.read_bytes)) < SOON
    assert failure(seen.cold.read_bytes) == errno.ENETUNREACH
    assert failure((root / f"{1:024x}").stat) == errno.ENETUNREACH
    assert status(root)["online"] is False
    assert "--offline" in str(status(root)["outage"])
    result = user.run("refresh", root)
    assert result.returncode == 4
    assert "The mount is offline" in result.stderr
    written = seen.dataset / "documents/subject/offline.json"
    written.write_text('{"base": {"name": "written offline"}}')
    assert "written offline" in written.read_text()
    result = user.run("umount", root)
    assert "1 change" in result.stderr
    assert "umount --now" in result.stderr
    assert user.run("umount", "--now", root).returncode == 0
    user.mounts.remove(root)
    assert cloud.requests() == before


def test_offline_with_nothing_remembered_says_so(user: Machine, cloud: CloudProcess) -> None:
    target = user.home / "ndi"
    target.mkdir()
    result = user.run("mount", "--offline", target)
    assert result.returncode == 4
    assert "The mount is offline" in result.stderr


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("command", ["cat", "stat"])
def test_who_waits_for_something_that_hangs_can_be_killed(
    user: Machine, cloud: CloudProcess, binding: str, command: str
) -> None:
    user.binding = binding
    root = user.mount()
    seen = Seen(root)
    path = seen.cold if command == "cat" else root / f"{1:024x}"
    cloud.fault(OBJECTS if command == "cat" else "GET /datasets/{id}", "hang")
    for number in (signal.SIGKILL, signal.SIGINT):
        with subprocess.Popen([command, str(path)], stderr=subprocess.DEVNULL) as reader:
            until(lambda: waits_in_the_kernel(reader.pid))
            assert seconds(seen.look) < SOON
            assert seconds(lambda: tool("df", str(root))) < SOON
            assert reader.poll() is None
            reader.send_signal(number)
            assert seconds(reader.wait) < SOON
            assert reader.returncode == -number


def test_who_reads_an_open_file_that_hangs_can_be_killed(
    user: Machine, cloud: CloudProcess
) -> None:
    root = user.mount()
    seen = Seen(root)
    with subprocess.Popen(
        ["sh", "-c", f"exec 3<'{seen.cold}'; echo open; read go; exec tail -c 1000 <&3"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdin is not None
        assert reader.stdout.readline() == "open\n"
        cloud.fault(OBJECTS, "hang")
        reader.stdin.write("go\n")
        reader.stdin.flush()
        until(lambda: waits_in_the_kernel(reader.pid))
        assert seconds(seen.look) < SOON
        reader.kill()
        assert seconds(reader.wait) < SOON


def waits_in_the_kernel(process_id: int) -> bool:
    """Whether a process waits for a file system."""
    where = Path(f"/proc/{process_id}/wchan").read_text()
    return "request_wait_answer" in where or "folio_wait" in where


def test_a_mount_ends_soon_while_its_server_hangs(user: Machine, cloud: CloudProcess) -> None:
    root = user.mount()
    Seen(root)
    cloud.hang()
    with subprocess.Popen(["stat", str(root / f"{1:024x}")], stderr=subprocess.DEVNULL) as reader:
        until(lambda: waits_in_the_kernel(reader.pid))
        assert user.run("umount", "--lazy", root).returncode == 0
        reader.kill()
    user.mounts.remove(root)
    until(lambda: not processes_of(root), 10)


def processes_of(root: Path) -> list[int]:
    """The processes that serve the mount at ``root``."""
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 (names are wanted)
        try:
            words = Path(f"/proc/{name}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"mount" in words and str(root).encode() in words:
            found.append(int(name))
    return found
