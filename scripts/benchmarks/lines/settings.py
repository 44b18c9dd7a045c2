"""What the settings of a mount cost: the same work under the default and under another value."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

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
    yield from _cache_size(world)
    yield from _others(world)


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


def _cache_size(world: World) -> Iterator[Figure]:
    size = world.sizes.sequential
    for name, limit in (("half the file", size // 2), ("the file fits", 2 * size)):
        world.forget()
        with world.mount("--cache-size", str(limit)) as root:
            path = large_file(root / SEQUENTIAL)
            dd(path)
            drop_page_cache()
            with traffic(world) as found:
                dd(path)
        yield Figure(f"--cache-size, {name}: reading it again", size / found.seconds / 1e6, "MB/s")
        yield Figure("  bytes fetched again per byte", found.fetched / size, "x")


def _others(world: World) -> Iterator[Figure]:
    """What is cached: mount, list a class with sizes, read the large file."""
    alternatives = ((), ("--offline",), ("--verbose",), ("--metrics", str(_free_port())))
    usual = 0.0
    for arguments in ((), *alternatives):  # the first fills the cache
        drop_page_cache()
        start = time.perf_counter()
        with world.mount(*arguments) as root:
            timed("ls", "-l", str(root / MEDIUM / "documents" / CLASS))
            dd(large_file(root / SEQUENTIAL))
            seconds = time.perf_counter() - start
        usual = usual if arguments else seconds
        if arguments:
            name = f"{arguments[0]}: mount, ls -l, read what is cached, as a multiple"
            yield Figure(name, seconds / usual, "x")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
