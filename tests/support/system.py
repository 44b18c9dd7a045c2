"""What tests need of the system they run on."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

# Set where the tests must not skip anything for want of FUSE or rights.
REQUIRED = os.environ.get("NDICLOUDFS_REQUIRE_FUSE") == "1"


def need(condition: bool, what: str) -> None:
    """Skip a test that needs ``what``; where everything must run, fail it."""
    if condition:
        return
    if REQUIRED:
        pytest.fail(f"this machine has no {what}")
    pytest.skip(f"needs {what}")


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for ``condition``, looking often; fail after ``seconds``."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"{condition} did not come true in {seconds:.0f} s")
        pause.wait(0.005)


@contextmanager
def dead_mounts() -> Iterator[None]:
    """While no other test of this user has dead mounts: ``doctor`` clears all of them."""
    name = f"ndicloudfs-dead-mounts-{os.geteuid()}.lock"
    with (Path(tempfile.gettempdir()) / name).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def tiny_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of ``size`` bytes at ``folder``."""
    need(os.geteuid() == 0, "right to mount a tmpfs")
    folder.mkdir()
    options = f"size={size},mode=0700"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def left_behind(folder: Path) -> list[str]:
    """Mounts in ``folder``, and the processes that are told of it."""
    name = os.fsencode(folder) + b"/"
    mounts = Path("/proc/self/mounts").read_bytes().splitlines()
    found = [line.decode() for line in mounts if name in line]
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with suppress(OSError):  # it has ended
                words = (process / "cmdline").read_bytes()
                if name in words:
                    found.append(words.replace(b"\0", b" ").decode())
    return found
