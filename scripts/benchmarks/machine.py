"""The machine that was measured on, and the software: what a figure means nothing without."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path

import ndicloudfs

LOAD = "load before the run"


def facts(folder: Path) -> dict[str, str]:
    """Name and value of each fact; ``folder`` is where datasets and caches are."""
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    load = os.getloadavg()[0]
    return {
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        "processor": f"{os.cpu_count()} x {model[1] if model else platform.machine()}",
        "memory": f"{int(memory[1]) / 2**20:.0f} GiB" if memory else "unknown",
        LOAD: f"{load:.1f}",
        "disk": _file_system(folder),
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "ndicloudfs": ndicloudfs.__version__,
        "libfuse": _version("fusermount3", "-V"),
        "rclone": _version("rclone", "version") if shutil.which("rclone") else "not installed",
    }


def _version(*command: str) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except OSError:
        return "not installed"
    found = re.search(r"\d+(\.\d+)+", said)
    return found[0] if found else "unknown"


def _file_system(folder: Path) -> str:
    said = subprocess.run(
        ["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False
    )
    free = shutil.disk_usage(folder).free
    return f"{said.stdout.strip() or 'unknown'}, {free / 2**30:.0f} GiB free"
