"""What the figures are compared with, in the same run on the same machine."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import Failed, running, timed, until
from benchmarks.world import World
from ndicloudfs.cloud import NdiCloud
from ndicloudfs.mount import mountpoint

STREAMS = 8


def parallel_curl(world: World, dataset: str, size: int) -> float:
    """Seconds for the object of ``size`` bytes in eight ranges by ``curl``, all at once."""
    with NdiCloud(world.config) as cloud:
        dataset_id = world.datasets[dataset]
        (entry,) = (f for f in cloud.datasets.detail(dataset_id).files if f.size == size)
        url = cloud.files.detail(dataset_id, entry.uid).url
    assert url is not None
    world.cool(size)
    step = -(-size // STREAMS)
    start = time.perf_counter()
    processes = [
        subprocess.Popen(
            [
                *("curl", "-sf", "-o", "/dev/null"),
                *("-r", f"{place}-{min(place + step, size) - 1}", url),
            ]
        )
        for place in range(0, size, step)
    ]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise Failed("curl failed")
    return time.perf_counter() - start


def curl_upload(world: World, dataset: str, path: Path) -> float:
    """Seconds to PUT a file by ``curl -T``."""
    with NdiCloud(world.config) as cloud:
        uid = f"{secrets.token_hex(8)}_{secrets.token_hex(8)}"
        url = cloud.files.upload_url(world.organization_id, world.datasets[dataset], uid)
    seconds, _ = timed("curl", "-sf", "-H", "Expect:", "-T", str(path), url)
    return seconds


def naive_documents(world: World, dataset: str, class_name: str, count: int) -> float:
    """Seconds for each document by a GET of its own, from ``count`` of them."""
    with NdiCloud(world.config) as cloud:
        dataset_id = world.datasets[dataset]
        condition = [{"field": "", "operation": "isa", "param1": class_name, "param2": ""}]
        rows = cloud.documents.query(dataset_id, condition, 1, count).documents
        start = time.perf_counter()
        for row in rows:
            cloud.documents.get(dataset_id, row.id)
        return (time.perf_counter() - start) / len(rows)


_PASSTHROUGH = """
import os, sys
os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
import mfusepy
class Plain(mfusepy.Operations):
    use_ns = True
    def __init__(self, folder): self.folder = folder
    def getattr(self, path, fh=None):
        found = os.lstat(self.folder + path)
        return {"st_mode": found.st_mode, "st_size": found.st_size, "st_nlink": 1}
    def readdir(self, path, fh): return [".", "..", *os.listdir(self.folder + path)]
    def open(self, path, flags): return os.open(self.folder + path, os.O_RDONLY)
    def read(self, path, size, offset, fh): return os.pread(fh, size, offset)
    def release(self, path, fh): os.close(fh); return 0
mfusepy.FUSE(Plain(sys.argv[1]), sys.argv[2], foreground=True, ro=True, max_threads=64,
             subtype="ndicloudfs", fsname="bench")
"""


def passthrough(folder: Path, file: Path) -> float:
    """Seconds to read ``file`` through the bare binding, which hands on what the disk has."""
    target = folder / "passthrough"
    target.mkdir(exist_ok=True)
    command = (sys.executable, "-c", _PASSTHROUGH, str(file.parent), str(target))
    with _mounted(target, *command):
        seconds, _ = timed("dd", f"if={target / file.name}", "of=/dev/null", "bs=1M", "status=none")
        return seconds


def has_rclone() -> bool:
    """Whether rclone can be compared with."""
    return shutil.which("rclone") is not None


@contextmanager
def rclone(world: World, served: Path, *options: str) -> Iterator[Path]:
    """``rclone mount`` of the folder ``served`` over HTTP with the sandbox's latencies."""
    target = world.folder / "rclone"
    target.mkdir(exist_ok=True)
    serve = (sys.executable, "-m", "benchmarks.webfolder", str(served))
    with running(*serve, stdout=subprocess.PIPE) as server:
        url = server.stdout.readline().decode().strip() if server.stdout else ""
        command = ("rclone", "mount", ":http:", str(target), "--http-url", url, "--read-only")
        cache = world.folder / "rclone-cache"
        with _mounted(target, *command, "--cache-dir", str(cache), "--config", "", *options):
            yield target
        shutil.rmtree(cache, ignore_errors=True)


@contextmanager
def _mounted(target: Path, *command: str) -> Iterator[None]:
    """A mount that ``command`` serves until it is taken away."""
    with running(*command) as process:

        def answers() -> bool:
            if process.poll() is not None:
                raise Failed(f"{command[0]} could not mount {target}")
            return mountpoint.mounted_at(str(target)) is not None

        try:
            until(answers, f"the mount of {command[0]}")
            yield
        finally:
            if mountpoint.mounted_at(str(target)) is not None:
                subprocess.run(["fusermount3", "-uz", str(target)], check=False)
