"""Lines about what scientific libraries do: many small reads, slices, maps, folders of chunks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import baselines, science
from benchmarks.datasets import SCIENCE
from benchmarks.figures import Figure
from benchmarks.lines.reading import Traffic, traffic
from benchmarks.processes import Failed, drop_page_cache
from benchmarks.world import MIB, World

_WINDOWS = 50


def _path(dataset: Path, name: str) -> Path:
    """Where a file of the dataset is; lists, but asks nothing about it."""
    for folder in (dataset / "files" / "recording").iterdir():
        names = {entry.name for entry in folder.iterdir()}
        if name == science.ZARR and ".zarray" in names:
            return folder
        if name in names:
            return folder / name
    raise Failed(f"{dataset} has no {name}")


def _cost(
    found: Traffic, calls: float | None = None, size: float | None = None
) -> Iterator[Figure]:
    yield Figure("  GETs", found.calls, "calls", at_most=calls)
    yield Figure("  fetched", found.fetched / MIB, "MiB", at_most=size)


def hdf5(world: World) -> Iterator[Figure]:
    """An HDF5 file: look at all groups, datasets and attributes, then read a slice."""
    world.forget()
    with world.mount() as root:
        path = _path(root / SCIENCE, science.HDF5)
        with traffic(world) as walk:
            science.walk_hdf5(str(path))
        with traffic(world) as part:
            asked = science.slice_hdf5(path)
        reads, size = science.small_reads(path), path.stat().st_size
        drop_page_cache()
        with traffic(world) as again:
            science.walk_hdf5(str(path))
        chunked = _path(root / SCIENCE, science.CHUNKED)
        with traffic(world) as scattered:
            science.walk_hdf5(str(chunked))
    yield Figure(f"open an HDF5 file ({reads} small reads), cold", walk.seconds, "s")
    yield from _cost(walk, 5, 4)
    if baselines.has_rclone():
        rclone = _walk_by_rclone(world, size)
        yield Figure("  times as fast as rclone mount", rclone / walk.seconds, "x")
    yield Figure("open it again", again.seconds, "s")
    yield Figure("  GETs, warm", again.calls, "calls", at_most=0)
    yield Figure(f"a slice of {asked / MIB:.1f} MiB of it, cold", part.seconds, "s")
    yield from _cost(part)
    yield Figure("open one with chunk indexes all over it, cold", scattered.seconds, "s")
    yield from _cost(scattered)


def _walk_by_rclone(world: World, size: int) -> float:
    source = world.objects(size)[0]
    with baselines.rclone(world, source.parent) as root:
        start = time.perf_counter()
        science.walk_hdf5(str(root / source.name))
        return time.perf_counter() - start


def matlab(world: World) -> Iterator[Figure]:
    """A MATLAB v7.3 file: list the variables, load one."""
    world.forget()
    with world.mount() as root:
        path = _path(root / SCIENCE, science.MATLAB)
        with traffic(world) as found:
            asked = science.load_matlab(path)
    yield Figure(f"whos and load of {asked / MIB:.1f} MiB of a MATLAB file", found.seconds, "s")
    yield from _cost(found)


def zarr(world: World) -> Iterator[Figure]:
    """A Zarr array: open it and read a quarter."""
    world.forget()
    with world.mount() as root:
        path = _path(root / SCIENCE, science.ZARR)
        with traffic(world) as found:
            asked = science.read_zarr(path)
    yield Figure(f"a quarter of a Zarr array ({asked / MIB:.1f} MiB)", found.seconds, "s")
    yield Figure("  bytes fetched per byte", found.fetched / asked, "x", at_most=1.5)
    yield from _cost(found)


def memmap(world: World) -> Iterator[Figure]:
    """Raw samples mapped into memory: windows of 20 ms all over the recording."""
    world.forget()
    with world.mount() as root:
        path = _path(root / SCIENCE, science.RAW)
        with traffic(world) as found:
            asked = science.map_raw(path, _WINDOWS)
    yield Figure(f"{_WINDOWS} windows of a memory-mapped file, each", found.seconds / _WINDOWS, "s")
    yield Figure("  round trips each", found.calls / _WINDOWS, "calls", at_most=1.5)
    # The kernel reads 512 KiB around a page that is missing, which are five blocks.
    yield Figure("  bytes fetched per byte", found.fetched / asked, "x", at_most=9)
