"""What the figures are compared with, in the same run on the same machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.world import MIB, World, timed
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.mount import mountpoint

STREAMS = 8


def parallel_curl(world: World, dataset: str, size: int) -> float:
    """Seconds for the object of ``size`` bytes in eight ranges by ``curl``, all at once."""
    with NdiCloud(CloudConfig.from_environment(world.account)) as cloud:
        dataset_id = world.datasets[dataset]
        (entry,) = (f for f in cloud.datasets.detail(dataset_id).files if f.size == size)
        url = cloud.files.detail(dataset_id, entry.uid).url
    assert url is not None
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
    if any(process.wait() for process in processes):
        raise SystemExit("bench: curl failed")
    return time.perf_counter() - start


def naive_documents(world: World, dataset: str, class_name: str, count: int) -> float:
    """Seconds for each document by a GET of its own, from ``count`` of them."""
    with NdiCloud(CloudConfig.from_environment(world.account)) as cloud:
        dataset_id = world.datasets[dataset]
        condition = [{"field": "", "operation": "isa", "param1": class_name, "param2": ""}]
        rows = cloud.documents.query(dataset_id, condition, 1, count).documents
        start = time.perf_counter()
        for row in rows:
            cloud.documents.get(dataset_id, row.id)
        return (time.perf_counter() - start) / len(rows)


def plain_file(folder: Path, size: int) -> Path:
    """A local file of ``size`` bytes."""
    path = folder / "plain"
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    return path


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
    process = subprocess.Popen(
        [sys.executable, "-c", _PASSTHROUGH, str(file.parent), str(target)],
        stderr=subprocess.DEVNULL,
    )
    try:
        while mountpoint.mounted_at(str(target)) is None:
            time.sleep(0.01)
        seconds, _ = timed("dd", f"if={target / file.name}", "of=/dev/null", "bs=1M", "status=none")
        return seconds
    finally:
        mountpoint.unmount(str(target), lazy=True)
        process.wait()
