"""The lines of the table: what a reader does, and how long it takes."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import baselines
from benchmarks.world import MIB, World, drop_page_cache, large_file, timed

CLASS = "element_epoch"  # about one document in ten


@dataclass(frozen=True)
class Figure:
    """A measured value with the value to reach: ``at_most`` or ``at_least``."""

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target was reached; None where there is none."""
        if self.at_most is not None:
            return self.value <= self.at_most
        return None if self.at_least is None else self.value >= self.at_least


def mount_to_first_ls(world: World) -> Iterator[Figure]:
    """From the command to the answer of ``ls``, for whoever has mounted before or not."""
    world.forget()
    for state in ("cold", "warm"):
        world.clear_log()
        start = time.perf_counter()
        with world.mount() as root:
            names = os.listdir(root / world.organization)  # noqa: PTH208
            seconds = time.perf_counter() - start
            assert len(names) >= 3
            yield Figure(f"mount to first ls, {state}", seconds, "s", at_most=1.0)
            yield Figure(f"  API calls, {state}", len(world.log("api")), "calls", at_most=3)


def list_classes(world: World) -> Iterator[Figure]:
    """``ls documents/`` of the large dataset."""
    world.forget()
    with world.mount() as root:
        folder = root / world.organization / "Large" / "documents"
        seconds, _ = timed("ls", str(folder))
        yield Figure("ls documents/, first time", seconds, "s", at_most=6.0)
        seconds, _ = timed("ls", str(folder))
        yield Figure("ls documents/, second time", seconds, "s", at_most=0.3)
    with world.mount() as root:
        world.clear_log()
        seconds, _ = timed("ls", str(root / world.organization / "Large" / "documents"))
        yield Figure("ls documents/, after a remount", seconds, "s", at_most=0.3)


def list_a_class(world: World) -> Iterator[Figure]:
    """``ls -l`` and ``grep -r`` of a class of 10,000 documents whose names are known."""
    world.forget()
    with world.mount() as root:
        folder = root / world.organization / "Large" / "documents" / CLASS
        count = len(timed("ls", "-U", str(folder))[1].splitlines())
        world.clear_log()
        cold, _ = timed("ls", "-l", str(folder))
        scale = count / 10_000
        yield Figure(f"ls -l of {count} documents, cold", cold, "s", at_most=6.0 * max(scale, 0.2))
        calls = len(world.log("api"))
        yield Figure("  API calls", calls, "calls", at_most=max(25 * scale, 5))
        time.sleep(1.1)  # so that the kernel's own second is over and the mount has to answer
        warm, _ = timed("ls", "-l", str(folder))
        yield Figure("ls -l, warm", count / warm, "entries/s", at_least=50_000)
    world.forget()
    with world.mount() as root:
        folder = root / world.organization / "Large" / "documents" / CLASS
        timed("ls", "-U", str(folder))
        grep, _ = timed("sh", "-c", f"grep -r nothing-like-it '{folder}' || true")
        yield Figure("grep -r, cold, as a multiple of ls -l", grep / cold, "x", at_most=1.3)
    yield Figure(
        "one GET per document, as a naive client",
        baselines.naive_documents(world, "Large", CLASS, 20) * count,
        "s",
    )


def read_sequentially(world: World) -> Iterator[Figure]:
    """A large file from its beginning to its end: from the cloud, the disk and the memory."""
    world.forget()
    size = world.sizes.sequential
    curl = baselines.parallel_curl(world, "Sequential", size)
    yield Figure("8 parallel curl ranges", size / curl / 1e6, "MB/s")
    with world.mount() as root:
        path = large_file(root / world.organization / "Sequential", size)
        drop_page_cache()
        world.clear_log()
        cold, _ = timed("dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none")
        fetched = sum(entry["response_bytes"] for entry in world.log("object"))
        yield Figure("sequential read, cold", size / cold / 1e6, "MB/s")
        yield Figure("  of parallel curl", curl / cold, "x", at_least=0.8)
        yield Figure("  bytes fetched per byte", fetched / size, "x", at_most=1.1)
        memory, _ = timed("dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none")
    local = baselines.plain_file(world.folder, size)
    native, _ = timed("dd", f"if={local}", "of=/dev/null", "bs=1M", "status=none")
    yield Figure("the page cache, as a multiple of a local file's", native / memory, "x", None, 0.5)
    with world.mount() as root:
        path = large_file(root / world.organization / "Sequential", size)
        drop_page_cache()
        disk, _ = timed("dd", f"if={path}", "of=/dev/null", "bs=1M", "status=none")
    drop_page_cache()
    through = baselines.passthrough(world.folder, local)
    yield Figure("sequential read, from the disk cache", size / disk / 1e6, "MB/s")
    yield Figure("  of the bare binding over a local file", through / disk, "x", at_least=0.8)
    local.unlink()


def read_randomly(world: World) -> Iterator[Figure]:
    """64 KiB at random places of a large file."""
    world.forget()
    size, length, reads = world.sizes.random, 64 << 10, 100
    places = random.Random(1)
    with world.mount() as root:
        path = large_file(root / world.organization / "Random", size)
        with path.open("rb", buffering=0) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            world.clear_log()
            start = time.perf_counter()
            for _ in range(reads):
                file.seek(places.randrange(size - length))
                assert len(file.read(length)) == length
            seconds = time.perf_counter() - start
            log = world.log("object")
    yield Figure("64 KiB at random places, each", 1000 * seconds / reads, "ms")
    yield Figure("  round trips each", len(log) / reads, "calls", at_most=1.5)
    fetched = sum(entry["response_bytes"] for entry in log)
    yield Figure("  bytes fetched per byte", fetched / (reads * length), "x", at_most=4)


def first_bytes(world: World) -> Iterator[Figure]:
    """The first 4 KiB of a file that was never touched."""
    world.forget()
    with world.mount() as root:
        path = next((root / world.organization / "Sequential" / "files").glob("generic_file/*/*"))
        world.clear_log()
        start = time.perf_counter()
        with path.open("rb", buffering=0) as file:
            file.read(4096)
        seconds = time.perf_counter() - start
    yield Figure("first 4 KiB of a file never touched", seconds, "s", at_most=0.2)
    yield Figure("  API calls", len(world.log("api")), "calls", at_most=1)
    yield Figure("  ranges", len(world.log("object")), "calls", at_most=1)


def memory(world: World) -> Iterator[Figure]:
    """What the process of the mount takes with the large dataset listed and a large file read."""
    world.forget()
    with world.mount() as root:
        pid = _mount_process(root)
        documents = root / world.organization / "Large" / "documents"
        for folder in documents.iterdir():
            timed("ls", "-U", str(folder))
        listed = _resident(pid)
        path = large_file(root / world.organization / "Random", world.sizes.random)
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while data := file.read(4 * MIB):
                digest.update(data)
        yield Figure("memory with the large dataset listed", listed / MIB, "MiB", at_most=250)
        yield Figure("  after a large file was read", _resident(pid) / MIB, "MiB", at_most=350)


def _mount_process(root: Path) -> int:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"--foreground" in words and str(root).encode() in words:
                return int(process.name)
    raise SystemExit("bench: the process of the mount was not found")


def _resident(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("bench: the process of the mount is gone")


LINES: dict[str, Callable[[World], Iterator[Figure]]] = {
    "mount": mount_to_first_ls,
    "classes": list_classes,
    "class": list_a_class,
    "sequential": read_sequentially,
    "random": read_randomly,
    "first": first_bytes,
    "memory": memory,
}
