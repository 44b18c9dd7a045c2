"""Run the readers, look at the mount now and then, and say whether it has stayed as it was."""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median

from benchmarks.processes import Failed, resident
from benchmarks.world import SIZES, World, world

from soaking.readers import KIB, MIB, Lists, Reader, Work, read_at_random, read_in_order, refresh

LOOK_EVERY = 15.0  # s
FEWEST_LOOKS = 10
CACHE_LIMIT = 64 * MIB
# A fifth of the time is for growing to the usual size; what comes then must not grow any more than
# what measuring itself does.
WARMING_UP = 0.2
MORE_MEMORY, MORE_FILES, MORE_THREADS = 24 * MIB, 24, 16
# SQLite's journal, and what several threads write at the same moment.
OVER_LIMIT = 24 * MIB
FILE_SIZES = [1, 100, 4 * KIB, 128 * KIB, 128 * KIB + 1, 900 * KIB, *[5 * MIB + 77] * 12, 60 * MIB]
READERS: dict[str, Callable[[], Reader]] = {
    "random": lambda: read_at_random,
    "order": lambda: read_in_order,
    "lists": Lists,
    "refresh": lambda: refresh,
}
USUAL = ("random", "random", "order", "order", "lists", "refresh")
SERVER = {"api_latency": 0.01, "object_latency": 0.005}


@dataclass(frozen=True, slots=True)
class Look:
    """The mount at one moment."""

    memory: int  # bytes
    files: int
    threads: int
    cache: int  # bytes on the disk


def main() -> int:
    """Run; 0 where all bytes were right and nothing has grown."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default: 10)")
    parser.add_argument("--seed", type=int, default=1, help="of what is read (default: 1)")
    parser.add_argument(
        "--reader",
        action="append",
        choices=sorted(READERS),
        help=f"who reads; may be repeated (default: {' '.join(USUAL)})",
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ndicloudfs-soak-") as name:
        try:
            with world(Path(name), SIZES["tiny"]) as there:
                return _soak(
                    there, arguments.minutes * 60, arguments.seed, arguments.reader or USUAL
                )
        except Failed as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1


def _soak(there: World, seconds: float, seed: int, names: Sequence[str]) -> int:
    sources = _make(there, seed)
    there.settings(SERVER)
    options = ("--cache-size", str(CACHE_LIMIT), "--metadata-ttl", "5")
    with there.mount(*options) as organization:
        dataset = organization / "Soak"
        files = {path.name: path for path in dataset.glob("files/*/*/*")}
        work = Work(
            dataset, {files[path.name]: path for path in sources.iterdir()}, there.environment
        )
        threads = [
            threading.Thread(target=work.run, args=(READERS[name](), seed + number), daemon=True)
            for number, name in enumerate(names)
        ]
        for thread in threads:
            thread.start()
        looks = _watch(there, work, seconds)
        work.ending.set()
        for thread in threads:
            thread.join(60)
        problems = [*work.failures, *_problems(looks)]
        if any(thread.is_alive() for thread in threads):
            problems.append("a reader did not end within a minute")
        problems += _said(there)
    for problem in problems:
        print(f"failed: {problem}", file=sys.stderr)
    print("failed" if problems else "every byte was right, and nothing has grown")
    return 1 if problems else 0


def _make(there: World, seed: int) -> Path:
    """The dataset; gives the folder with what its files are made of."""
    folder = there.folder / "sources"
    folder.mkdir()
    rng = random.Random(seed)
    for number, size in enumerate(FILE_SIZES):
        (folder / f"{number:02}.bin").write_bytes(rng.randbytes(size))
    ready = ("--ready-file", str(there.ready_file))
    there.ndicloudfs("sandbox", "load", str(folder), "--name", "Soak", *ready)
    return folder


def _watch(there: World, work: Work, seconds: float) -> list[Look]:
    """Look at the mount until the time is over or something is wrong."""
    looks: list[Look] = []
    print("   time  memory  files  threads   cache     read  listings  refreshes")
    began = time.monotonic()
    every = min(LOOK_EVERY, seconds / FEWEST_LOOKS)
    while not work.ending.wait(min(every, max(0.0, began + seconds - time.monotonic()))):
        passed = time.monotonic() - began
        look = _look(there)
        looks.append(look)
        print(
            f"{passed:5.0f} s {look.memory // MIB:3} MiB  {look.files:5}  {look.threads:7}"
            f" {look.cache // MIB:3} MiB  {work.done['bytes'] / 1e9:4.1f} GB"
            f"  {work.done['listings']:8}  {work.done['refreshes']:9}",
            flush=True,
        )
        if passed >= seconds:
            break
    return looks


def _look(there: World) -> Look:
    process = Path(f"/proc/{there.mount_pid}")
    return Look(
        memory=resident(there.mount_pid),
        files=len(os.listdir(process / "fd")),  # noqa: PTH208
        threads=len(os.listdir(process / "task")),  # noqa: PTH208
        cache=sum(  # folders come and go: `walk` passes over them
            _on_disk(Path(folder) / name)
            for folder, _, names in os.walk(there.cache / "blocks")
            for name in names
        ),
    )


def _on_disk(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:  # it was evicted
        return 0


def _problems(looks: Sequence[Look]) -> list[str]:
    """What has grown from the first half of the looks to the second, once it was warm."""
    problems = []
    warm = [astuple(look) for look in looks[int(len(looks) * WARMING_UP) :]]
    half = len(warm) // 2
    if half == 0:
        return ["the time was too short to see anything grow; take more --minutes"]
    names = ("memory", "open files", "threads")
    for number, (name, more) in enumerate(
        zip(names, (MORE_MEMORY, MORE_FILES, MORE_THREADS), strict=True)
    ):
        first, second = (
            median(look[number] for look in part) for part in (warm[:half], warm[half:])
        )
        if second > first + more:
            problems.append(f"{name} grew from {first:.0f} to {second:.0f}")
    largest = max(look.cache for look in looks)
    if largest > CACHE_LIMIT + OVER_LIMIT:
        problems.append(f"the cache took {largest // MIB} of {CACHE_LIMIT // MIB} MiB")
    return problems


def _said(there: World) -> list[str]:
    """What the mount found wrong itself."""
    control = there.folder / "ndi/.ndicloudfs"
    errors = (control / "errors.log").read_text().splitlines()
    status = json.loads((control / "status.json").read_bytes())
    return [*errors, *([] if status["online"] else [str(status["outage"])])]


if __name__ == "__main__":
    sys.exit(main())
