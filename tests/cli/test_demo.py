"""The demo, as somebody sees it who has just installed ndicloudfs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ndicloudfs.mount.mountpoint import mounts
from tests.support.mounting import COMMAND_SECONDS, Machine, need_fuse
from tests.support.system import until

# What a shell does to a program in the background.
IGNORING_CTRL_C = ("sh", "-c", 'trap "" INT; exec "$@"', "sh")


@contextmanager
def demo(tmp_path: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    need_fuse("mfusepy")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    environment = Machine(tmp_path, {}).environment | {"TMPDIR": str(scratch)}
    with subprocess.Popen(
        [*IGNORING_CTRL_C, sys.executable, "-m", "ndicloudfs", "demo", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
    assert list(scratch.iterdir()) == []
    assert not [mount for mount in mounts() if str(tmp_path) in mount.target]


def test_the_tour_ends_well_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path, "--once") as process:
        output, _ = process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == 0, output
    for shown in (
        "$ ls",
        "published",
        '"local_identifier": "rat1@lab.example.org"',
        "The checksums equal that of the source.",
        "88200 samples at 44100 Hz",
    ):
        assert shown in output


def test_it_stays_until_ctrl_c_and_then_leaves_nothing_behind(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        assert process.stdout is not None
        until(lambda: "Ctrl-C ends the demo" in next(process.stdout, ""))  # type: ignore[arg-type]
        (mount,) = [mount for mount in mounts() if str(tmp_path) in mount.target]
        assert (Path(mount.target) / "published").is_dir()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=COMMAND_SECONDS)
    assert process.returncode == 0, output
