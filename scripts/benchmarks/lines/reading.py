"""Lines about files: from beginning to end, at random places, the first bytes; and memory."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import baselines
from benchmarks.datasets import LARGE, RANDOM, SEQUENTIAL, large_file, plain_file
from benchmarks.figures import Figure
from benchmarks.lines.listing import first_ls
from benchmarks.processes import Failed, drop_page_cache, resident, timed
from benchmarks.world import KIB, MIB, World

_READS, _LENGTH = 100, 64 * KIB


def dd(path: Path) -> float:
    """Seconds to read a file from its beginning to its end."""
    return timed("dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none")[0]


def sequentially(world: World) -> Iterator[Figure]:
    """A large file from its beginning to its end: from the cloud, the disk and the memory."""
    world.forget()
    size = world.sizes.sequential
    curl = baselines.parallel_curl(world, SEQUENTIAL, size)
    yield Figure("8 parallel curl ranges", size / curl / 1e6, "MB/s")
    with world.mount() as root:
        path = large_file(root / SEQUENTIAL)
        world.cool(size)
        world.clear_log()
        cold = dd(path)
        fetched = sum(entry["response_bytes"] for entry in world.log("object"))
        before = _asked_for(root)
        memory = dd(path)
        asked = _asked_for(root) - before
    yield Figure("sequential read, cold", size / cold / 1e6, "MB/s")
    yield Figure("  of parallel curl", curl / cold, "x", at_least=0.8)
    yield Figure("  bytes fetched per byte", fetched / size, "x", at_most=1.1)
    if baselines.has_rclone():
        yield from _rclone(world, cold)
    local = plain_file(world.folder, size)
    native = dd(local)
    yield Figure("sequential read, from the page cache", size / memory / 1e6, "MB/s")
    yield Figure("  bytes the mount is asked for, per byte", asked / size, "x", at_most=0.001)
    yield Figure(
        "  of a local file, whose pages the kernel keeps in larger units", native / memory, "x"
    )
    with world.mount() as root:
        path = large_file(root / SEQUENTIAL)
        drop_page_cache()
        disk = dd(path)
    drop_page_cache()
    through = baselines.passthrough(world.folder, local)
    yield Figure("sequential read, from the disk cache", size / disk / 1e6, "MB/s")
    yield Figure("  of the bare binding over a local file", through / disk, "x", at_least=0.8)
    local.unlink()


def _asked_for(root: Path) -> int:
    """Bytes that the kernel has asked the mount for so far, a status of some KiB among them."""
    status = json.loads((root.parent / ".ndicloudfs" / "status.json").read_bytes())
    asked: int = status["cache"]["read_bytes"]
    return asked


def _rclone(world: World, cold: float) -> Iterator[Figure]:
    source = world.objects(world.sizes.sequential)[0]
    for name, options in (("", ()), (", full cache", ("--vfs-cache-mode", "full"))):
        with baselines.rclone(world, source.parent, *options) as root:
            seconds = dd(root / source.name)
        yield Figure(f"  times as fast as rclone mount{name}", seconds / cold, "x")


@dataclass(slots=True)
class Traffic:
    """What the object store was asked for."""

    calls: int = 0
    fetched: int = 0
    seconds: float = 0.0


@contextmanager
def traffic(world: World) -> Iterator[Traffic]:
    """What is fetched from the object store, and how long it takes, in this context."""
    found = Traffic()
    world.clear_log()
    start = time.perf_counter()
    yield found
    found.seconds = time.perf_counter() - start
    log = world.log("object")
    found.calls = len(log)
    found.fetched = sum(entry["response_bytes"] for entry in log)


def _read_at_random(path: Path, size: int) -> None:
    places = random.Random(1)
    with path.open("rb", buffering=0) as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        for _ in range(_READS):
            file.seek(places.randrange(size - _LENGTH))
            if len(file.read(_LENGTH)) != _LENGTH:
                raise Failed(f"a read of {path} was cut short")


def randomly(world: World) -> Iterator[Figure]:
    """64 KiB at random places of a large file."""
    world.forget()
    size = world.sizes.random
    with world.mount() as root:
        path = large_file(root / RANDOM)
        world.cool(size)
        with traffic(world) as cold:
            _read_at_random(path, size)
        drop_page_cache()
        with traffic(world) as warm:
            _read_at_random(path, size)
    yield Figure("64 KiB at random places, each, cold", 1000 * cold.seconds / _READS, "ms")
    yield Figure("  round trips each", cold.calls / _READS, "calls", at_most=1.5)
    asked = _READS * _LENGTH
    yield Figure("  bytes fetched per byte", cold.fetched / asked, "x", at_most=4)
    if baselines.has_rclone():
        source = world.objects(size)[0]
        with baselines.rclone(world, source.parent) as root:
            start = time.perf_counter()
            _read_at_random(root / source.name, size)
            rclone = time.perf_counter() - start
        yield Figure("  times as fast as rclone mount", rclone / cold.seconds, "x")
    yield Figure("64 KiB at random places, each, warm", 1000 * warm.seconds / _READS, "ms")
    yield Figure("  round trips each, warm", warm.calls / _READS, "calls", at_most=0)


def first_bytes(world: World) -> Iterator[Figure]:
    """The first 4 KiB of a file that was never touched."""
    world.forget()
    with world.mount() as root:
        path = large_file(root / RANDOM)
        for state in ("cold", "warm"):
            world.cool(world.sizes.random)
            with traffic(world) as found, path.open("rb", buffering=0) as file:
                file.read(4 * KIB)
            calls = len(world.log("api"))
            yield Figure(f"first 4 KiB of a file, {state}", found.seconds, "s", at_most=0.2)
            allowed = int(state == "cold")
            yield Figure(f"  API calls, {state}", calls, "calls", at_most=allowed)
            yield Figure(f"  ranges, {state}", found.calls, "calls", at_most=allowed)


def memory(world: World) -> Iterator[Figure]:
    """What the process of the mount takes with the large dataset listed and a large file read."""
    world.forget()
    with world.mount() as root:
        start = time.perf_counter()
        for folder in (root / LARGE / "documents").iterdir():
            timed("ls", "-U", str(folder))
        yield Figure("ls of every class of the large dataset", time.perf_counter() - start, "s")
        listed = resident(world.mount_pid)
        yield Figure("memory with the large dataset listed", listed / MIB, "MiB", at_most=250)
        path = large_file(root / RANDOM)
        dd(path)
        first = resident(world.mount_pid)
        yield Figure("  after a large file was read", first / MIB, "MiB", at_most=250)
        drop_page_cache()
        dd(path)
        _read_at_random(path, world.sizes.random)
        grown = (resident(world.mount_pid) - first) / MIB
        yield Figure("  growth when it is read again", grown, "MiB", at_most=30)
    yield from first_ls(world, "all of that in the cache")
