"""Lines about the tree: mounting, listings, and reading every document of a class."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import baselines
from benchmarks.datasets import CLASS, LARGE
from benchmarks.figures import Figure
from benchmarks.processes import Failed, timed
from benchmarks.world import World

_RCLONE_FILES = 200
# The kernel believes attributes for a second; then the mount has to answer.
KERNEL_TRUST = 1.1


def mount_to_first_ls(world: World) -> Iterator[Figure]:
    """From the command to the answer of ``ls``, for whoever has mounted before or not."""
    world.forget()
    for state in ("cold", "warm"):
        yield from first_ls(world, state)
        yield Figure("  API calls", len(world.log("api")), "calls", at_most=3)


def first_ls(world: World, state: str) -> Iterator[Figure]:
    """Mount, list the organization, and end the mount; the sandbox's log has its calls."""
    world.clear_log()
    start = time.perf_counter()
    with world.mount() as root:
        names = os.listdir(root)  # noqa: PTH208
        seconds = time.perf_counter() - start
    if not set(names) >= set(world.datasets):
        raise Failed(f"the organization shows {names} only")
    yield Figure(f"mount to first ls, {state}", seconds, "s", at_most=1.0)


def list_classes(world: World) -> Iterator[Figure]:
    """``ls documents/`` of the large dataset."""
    world.forget()
    with world.mount() as root:
        folder = str(root / LARGE / "documents")
        seconds, _ = timed("ls", folder)
        yield Figure("ls documents/, first time", seconds, "s", at_most=6.0)
        seconds, _ = timed("ls", folder)
        yield Figure("ls documents/, second time", seconds, "s", at_most=0.3)
    with world.mount() as root:
        world.clear_log()
        seconds, _ = timed("ls", str(root / LARGE / "documents"))
        yield Figure("ls documents/, after a remount", seconds, "s", at_most=0.3)


def list_a_class(world: World) -> Iterator[Figure]:
    """``ls -l`` and ``grep -r`` of a class whose names are known: 10,000 documents, or a share."""
    world.forget()
    with world.mount() as root:
        folder = root / LARGE / "documents" / CLASS
        first, listed = timed("ls", "-U", str(folder))
        count = len(listed.splitlines())
        scale = count / 10_000
        yield Figure(f"ls of a class of {count:,} documents, cold", first, "s")
        world.clear_log()
        cold, _ = timed("ls", "-l", str(folder))
        yield Figure("ls -l of it, names known, cold", cold, "s", at_most=6.0 * max(scale, 0.2))
        calls = len(world.log("api"))
        yield Figure("  API calls", calls, "calls", at_most=max(25 * scale, 5))
        time.sleep(KERNEL_TRUST)
        warm, _ = timed("ls", "-l", str(folder))
        yield Figure("ls -l of it, warm", count / warm, "entries/s", at_least=50_000)
    world.forget()
    with world.mount() as root:
        folder = root / LARGE / "documents" / CLASS
        timed("ls", "-U", str(folder))
        grep, _ = timed("sh", "-c", f"grep -r nothing-like-it '{folder}' || true")
    yield Figure("grep -r of it, cold, as a multiple of ls -l", grep / cold, "x", at_most=1.3)
    naive = baselines.naive_documents(world, LARGE, CLASS, 20) * count
    yield Figure("  one GET per document, as a naive client", naive, "s")
    if baselines.has_rclone():
        each = _rclone_documents(world)
        yield Figure("  ls -l of as many files by rclone mount", each * count, "s")


def _rclone_documents(world: World) -> float:
    """Seconds that ``ls -l`` takes for each file, from a folder of a few hundred."""
    served = world.folder / "served-documents"
    _fill(served, _RCLONE_FILES)
    with baselines.rclone(world, served) as root:
        seconds, listed = timed("ls", "-l", str(root))
    return seconds / (len(listed.splitlines()) - 1)


def _fill(folder: Path, count: int) -> None:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        (folder / f"{number}.json").write_text("{}\n" * 200)
