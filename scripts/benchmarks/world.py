"""What is measured: a sandbox with latencies in a process of its own, datasets, mounts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ndicloudfs.mount import mountpoint

# The network that the figures to reach are stated for.
LATENCIES: dict[str, float] = {
    "api_latency": 0.1,
    "object_latency": 0.03,
    "object_bandwidth": 80e6,
    "bulk_fetch_per_document": 0.001,
}
NONE: dict[str, float | None] = dict.fromkeys(LATENCIES, 0)
NONE["object_bandwidth"] = None

MIB = 1 << 20


@dataclass(frozen=True)
class Sizes:
    """How large the datasets are: documents, and bytes of the two files."""

    documents: int
    sequential: int
    random: int
    runs: int


FULL = Sizes(documents=105_000, sequential=512 * MIB, random=1024 * MIB, runs=3)
QUICK = Sizes(documents=10_500, sequential=64 * MIB, random=256 * MIB, runs=1)


@dataclass
class World:
    """A sandbox that runs, and the machine that mounts it."""

    folder: Path
    account: dict[str, str]
    sizes: Sizes
    datasets: dict[str, str] = field(default_factory=dict)
    organization: str = ""

    @property
    def cache(self) -> Path:
        """The cache folder of every mount."""
        return self.folder / "cache"

    @property
    def environment(self) -> dict[str, str]:
        """Of every command."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("NDI_", "XDG_"))}
        return {**clean, **self.account, "HOME": str(self.folder / "home")}

    def control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One of the sandbox's own calls."""
        url = self.account["NDI_CLOUD_URL"].removesuffix("/v1") + "/sandbox" + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            url, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            content = answer.read()
        found: dict[str, Any] = json.loads(content) if content else {}
        return found

    def settings(self, values: dict[str, float] | dict[str, float | None]) -> None:
        """Change delays of the sandbox."""
        self.control("PATCH", "/settings", values)

    def clear_log(self) -> None:
        """Forget the requests so far."""
        self.control("DELETE", "/log")

    def log(self, port: str) -> list[dict[str, Any]]:
        """The requests since ``clear_log`` on the ``api`` or the ``object`` port."""
        return [e for e in self.control("GET", "/log")["requests"] if e["port"] == port]

    def forget(self) -> None:
        """Empty the cache."""
        shutil.rmtree(self.cache, ignore_errors=True)

    @contextmanager
    def mount(self, *arguments: str) -> Iterator[Path]:
        """A mount, through the command line."""
        target = self.folder / "ndi"
        target.mkdir(exist_ok=True)
        self.ndicloudfs("mount", str(target), "--cache-dir", str(self.cache), *arguments)
        try:
            yield target
        finally:
            mountpoint.unmount(str(target), lazy=True)

    def ndicloudfs(self, *arguments: str) -> str:
        """Run a command to its end; its output."""
        command = [sys.executable, "-m", "ndicloudfs", *arguments]
        result = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise SystemExit(f"bench: {' '.join(arguments[:2])}: {result.stderr.strip()}")
        return result.stdout.strip()

    def sample(self, name: str, *arguments: str) -> None:
        """Make a dataset."""
        ready = str(self.folder / "ready.json")
        made = self.ndicloudfs(
            "sandbox", "sample", "--name", name, "--ready-file", ready, *arguments
        )
        self.datasets[name] = made


@contextmanager
def world(folder: Path, sizes: Sizes) -> Iterator[World]:
    """A sandbox with the datasets in it."""
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "ndicloudfs", "sandbox", "serve"]
    process = subprocess.Popen(
        [*command, "--data", str(folder / "cloud"), "--ready-file", str(ready)],
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
    )
    try:
        line = process.stdout.readline() if process.stdout else b""
        account = json.loads(line)
        made = World(
            folder,
            {
                "NDI_CLOUD_URL": account["url"],
                "NDI_CLOUD_USERNAME": account["email"],
                "NDI_CLOUD_PASSWORD": account["password"],
            },
            sizes,
            organization="Sandbox Lab",
        )
        (folder / "home").mkdir()
        made.sample("Large", "--documents", str(sizes.documents))
        made.sample("Sequential", "--files", "1", "--file-size", str(sizes.sequential))
        made.sample("Random", "--files", "1", "--file-size", str(sizes.random))
        made.settings(LATENCIES)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        if process.stdout:
            process.stdout.close()


def drop_page_cache() -> None:
    """Make the kernel forget clean pages, where that is permitted."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3\n")
    except OSError:
        print("bench: page caches cannot be dropped without root; cold figures are too good")


def timed(*command: str, cwd: Path | None = None) -> tuple[float, bytes]:
    """Seconds that a command takes, and its output."""
    start = time.perf_counter()
    result = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - start, result.stdout


def large_file(dataset: Path, size: int) -> Path:
    """The one file of ``size`` bytes of a dataset."""
    for path in dataset.glob("files/element_epoch/*/*"):
        if path.stat().st_size == size:
            return path
    raise SystemExit(f"bench: {dataset} has no file of {size} bytes")
