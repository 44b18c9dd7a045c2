"""What is measured: a sandbox with latencies in a process of its own, and mounts of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import Failed, drop_page_cache, end, mount_process, running
from ndicloudfs.cloud import CloudConfig
from ndicloudfs.mount import mountpoint

# The network of the figures to reach: seconds, and bytes per second of a connection.
LATENCIES: dict[str, float] = {
    "api_latency": 0.1,
    "object_latency": 0.03,
    "object_bandwidth": 80e6,
    "bulk_fetch_per_document": 0.001,
}
NONE: dict[str, float] = dict.fromkeys(LATENCIES, 0)

KIB, MIB = 1 << 10, 1 << 20


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is: documents of the datasets, bytes of files, and how often all is run."""

    documents: tuple[int, int, int]  # of the small, the medium and the large dataset
    sequential: int
    random: int
    scientific: int
    new_documents: int
    new_files: int
    new_file: int
    runs: int


SIZES = {
    "full": Sizes(
        documents=(1_000, 10_000, 100_000),
        sequential=512 * MIB,
        random=1024 * MIB,
        scientific=128 * MIB,
        new_documents=2_000,
        new_files=500,
        new_file=2048 * MIB,
        runs=3,
    ),
    "quick": Sizes(
        documents=(100, 1_000, 10_000),
        sequential=96 * MIB,
        random=128 * MIB,
        scientific=32 * MIB,
        new_documents=1_000,
        new_files=200,
        new_file=200 * MIB,
        runs=1,
    ),
    "tiny": Sizes(
        documents=(80, 160, 240),
        sequential=4 * MIB,
        random=4 * MIB,
        scientific=4 * MIB,
        new_documents=20,
        new_files=10,
        new_file=5 * MIB,
        runs=2,
    ),
}


@dataclass
class World:
    """A sandbox that runs, and the machine that mounts it."""

    folder: Path
    account: dict[str, str]
    organization_id: str
    sizes: Sizes
    organization: str = "Sandbox Lab"
    datasets: dict[str, str] = field(default_factory=dict)  # cloud id by name

    @property
    def cache(self) -> Path:
        """The cache folder of every mount."""
        return self.folder / "cache"

    @property
    def ready_file(self) -> Path:
        """What the sandbox wrote when it was ready."""
        return self.folder / "ready.json"

    @property
    def config(self) -> CloudConfig:
        """Of a client in this process."""
        return CloudConfig.from_environment(self.account)

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

    def settings(self, values: dict[str, float]) -> None:
        """Change delays of the sandbox."""
        self.control("PATCH", "/settings", values)

    def clear_log(self) -> None:
        """Forget the requests so far."""
        self.control("DELETE", "/log")

    def log(self, port: str = "") -> list[dict[str, Any]]:
        """The requests since ``clear_log``, on the ``api`` or the ``object`` port."""
        entries: list[dict[str, Any]] = self.control("GET", "/log")["requests"]
        return [entry for entry in entries if port in ("", entry["port"])]

    def objects(self, size: int) -> list[Path]:
        """The sandbox's own files of the objects of ``size`` bytes."""
        found = (self.folder / "cloud" / "objects").rglob("*")
        return [path for path in found if path.is_file() and path.stat().st_size == size]

    def cool(self, size: int) -> None:
        """Empty the page cache, but for the sandbox's own files of the objects of ``size`` bytes.

        The sandbox stands for a cloud: how fast it reads from the disk of this machine would be
        measured as well, and was, with 512 MiB: 0.72 of a curl that had found them in memory.
        """
        drop_page_cache()
        for path in self.objects(size):
            with path.open("rb", buffering=0) as file:
                while file.read(MIB):
                    pass

    def forget(self) -> None:
        """Empty the cache."""
        shutil.rmtree(self.cache, ignore_errors=True)

    @contextmanager
    def mount(self, *arguments: str) -> Iterator[Path]:
        """A mount, through the command line; gives its folder of the organization."""
        target = self.folder / "ndi"
        target.mkdir(exist_ok=True)
        try:
            self.ndicloudfs("mount", str(target), "--cache-dir", str(self.cache), *arguments)
            yield target / self.organization
        finally:
            if mountpoint.mounted_at(str(target)) is not None:
                pid = mount_process(target)
                mountpoint.unmount(str(target), lazy=True)
                end(pid)

    @property
    def mount_pid(self) -> int:
        """The process of the mount."""
        return mount_process(self.folder / "ndi")

    def sync(self) -> None:
        """Wait until the server has everything that was written in the mount."""
        self.ndicloudfs("sync", str(self.folder / "ndi"))

    def ndicloudfs(self, *arguments: str) -> str:
        """Run a command to its end; its output."""
        command = [sys.executable, "-m", "ndicloudfs", *arguments]
        result = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        if result.returncode:
            raise Failed(f"{' '.join(arguments[:2])}: {result.stderr.strip()}")
        return result.stdout.strip()


@contextmanager
def world(folder: Path, sizes: Sizes) -> Iterator[World]:
    """A sandbox without datasets and without latencies."""
    serve = (sys.executable, "-m", "ndicloudfs", "sandbox", "serve")
    options = ("--data", str(folder / "cloud"), "--ready-file", str(folder / "ready.json"))
    with running(*serve, *options, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise Failed("the sandbox did not start")
        account = json.loads(line)
        (folder / "home").mkdir()
        yield World(
            folder,
            {
                "NDI_CLOUD_URL": account["url"],
                "NDI_CLOUD_USERNAME": account["email"],
                "NDI_CLOUD_PASSWORD": account["password"],
            },
            account["organization_id"],
            sizes,
        )
