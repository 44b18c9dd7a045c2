"""Processes that a benchmark starts, and how they end with it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE = 30.0  # s until something that should happen has to have happened


class Failed(Exception):
    """A line cannot be measured: ``str(error)`` says why."""


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition; Failed, naming ``what``, when it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.005)


@contextmanager
def running(*command: str, stdout: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the context: Ctrl-C reaches the benchmark only, which ends it."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def timed(*command: str, cwd: Path | None = None) -> tuple[float, bytes]:
    """Seconds that a command takes, and its output."""
    start = time.perf_counter()
    result = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - start, result.stdout


def mount_process(target: Path) -> int:
    """The id of the process that serves the mount at ``target``."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mount" in words and str(target).encode() in words:
                return int(process.name)
    raise Failed("the process of the mount was not found")


def end(pid: int) -> None:
    """Wait for a process that was told to end; kill it when it does not."""
    try:
        until(lambda: not Path(f"/proc/{pid}").exists(), "the end of the mount")
    except Failed:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        raise


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise Failed("the process of the mount is gone")


def drop_page_cache() -> None:
    """Make the kernel forget clean pages, where that is permitted."""
    os.sync()
    with suppress(OSError):
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
