"""What the settings of a mount cost: the same work under the default and under another value."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator

from benchmarks.datasets import CLASS, MEDIUM, SEQUENTIAL, large_file
from benchmarks.figures import Figure
from benchmarks.lines.listing import KERNEL_TRUST
from benchmarks.lines.reading import dd, traffic
from benchmarks.processes import drop_page_cache, timed
from benchmarks.world import World

_LISTINGS = 3


def settings(world: World) -> Iterator[Figure]:
    """One setting after the other."""
    yield from _metadata_ttl(world)
    cold = yield from _cache_size(world)
    world.forget()
    with world.mount("--verbose") as root:
        verbose = dd(large_file(root / SEQUENTIAL))
    yield Figure("--verbose: a cold sequential read, as a multiple", verbose / cold, "x")


def _metadata_ttl(world: World) -> Iterator[Figure]:
    for ttl in ("60", "0"):
        world.forget()
        with world.mount("--metadata-ttl", ttl) as root:
            folder = str(root / MEDIUM / "documents" / CLASS)
            timed("ls", "-l", folder)
            world.clear_log()
            seconds = 0.0
            for _ in range(_LISTINGS):
                time.sleep(KERNEL_TRUST)
                seconds += timed("ls", "-l", folder)[0]
            calls = len(world.log("api"))
        name = f"--metadata-ttl {ttl}: ls -l of a class again"
        yield Figure(f"{name}, each", seconds / _LISTINGS, "s")
        yield Figure("  API calls in the background, each", calls / _LISTINGS, "calls")


def _cache_size(world: World) -> Generator[Figure, None, float]:
    """Gives the seconds of the last cold read."""
    size = world.sizes.sequential
    cold = 0.0
    for name, limit in (("half the file", size // 2), ("the file fits", 2 * size)):
        world.forget()
        with world.mount("--cache-size", str(limit)) as root:
            path = large_file(root / SEQUENTIAL)
            cold = dd(path)
            drop_page_cache()
            with traffic(world) as found:
                dd(path)
        yield Figure(f"--cache-size, {name}: reading it again", size / found.seconds / 1e6, "MB/s")
        yield Figure("  bytes fetched again per byte", found.fetched / size, "x")
    return cold
