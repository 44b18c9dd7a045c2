"""The datasets that are measured: made once per benchmark, without latencies."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import science
from benchmarks.processes import Failed
from benchmarks.world import LATENCIES, MIB, NONE, World

LARGE, SEQUENTIAL, RANDOM, SCIENCE, NEW = "Large", "Sequential", "Random", "Science", "New"
SMALL, MEDIUM = "Small", "Medium"
SCALE = "Scale"  # the small, the medium and the large one
# One document in ten of a dataset that `scale` makes: a share of one in thirteen by itself, and
# one in forty that has a file.
CLASS = "element_epoch"
_FILE_EACH = 40
_SMALL_FILE = "4KiB"


def make(world: World, names: set[str]) -> None:
    """Make the datasets of these names; what is there is left as it is."""
    growing = scale_names(world)
    makers = {**_MAKERS, **dict.fromkeys(growing, _documents)}
    wanted = names | (set(growing) if SCALE in names else set())
    with without_latencies(world):
        for name in sorted(wanted - {SCALE} - set(world.datasets)):
            world.datasets[name] = makers[name](world, name)


@contextmanager
def without_latencies(world: World) -> Iterator[None]:
    """A sandbox that answers at once."""
    world.settings(NONE)
    try:
        yield
    finally:
        world.settings(LATENCIES)


def scale_names(world: World) -> dict[str, int]:
    """Name and number of documents of the datasets of growing size."""
    return dict(zip((SMALL, MEDIUM, LARGE), world.sizes.documents, strict=True))


def large_file(dataset: Path) -> Path:
    """The one file of a dataset that has one; nothing is asked about it."""
    for folder in (dataset / "files").glob("*/*"):
        return folder / os.listdir(folder)[0]  # noqa: PTH208
    raise Failed(f"{dataset} has no file")


def _documents(world: World, name: str) -> str:
    count = scale_names(world)[name]
    files = str(count // _FILE_EACH)
    return _sample(
        world, name, *("--documents", str(count), "--files", files, "--file-size", _SMALL_FILE)
    )


def _sequential(world: World, name: str) -> str:
    return _one_file(world, name, world.sizes.sequential)


def _random(world: World, name: str) -> str:
    return _one_file(world, name, world.sizes.random)


def _one_file(world: World, name: str, size: int) -> str:
    return _sample(world, name, "--documents", "1", "--files", "1", "--file-size", str(size))


def _new(world: World, name: str) -> str:
    return _sample(world, name, "--documents", "1")


def _science(world: World, name: str) -> str:
    folder = world.folder / "science"
    folder.mkdir()
    science.write(folder, world.sizes.scientific)
    return world.ndicloudfs(
        *("sandbox", "load", str(folder), "--name", name),
        *("--ready-file", str(world.ready_file)),
    )


def _sample(world: World, name: str, *arguments: str) -> str:
    return world.ndicloudfs(
        *("sandbox", "sample", "--name", name),
        *("--ready-file", str(world.ready_file), *arguments),
    )


_MAKERS: dict[str, Callable[[World, str], str]] = {
    SEQUENTIAL: _sequential,
    RANDOM: _random,
    SCIENCE: _science,
    NEW: _new,
}


def plain_file(folder: Path, size: int) -> Path:
    """A local file of ``size`` bytes that are not alike."""
    path = folder / "plain"
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    return path


def document(number: int) -> bytes:
    """A new document as a user would write one."""
    body = {
        "document_class": {"class_name": "ontologyTableRow"},
        "base": {"name": f"trial {number}"},
        "ontologyTableRow": {
            "names": "Trial number",
            "variableNames": "TrialNumber",
            "ontologyNodes": "EMPTY:0000210",
            "data": {"TrialNumber": number},
        },
    }
    return json.dumps(body, indent=2).encode() + b"\n"
