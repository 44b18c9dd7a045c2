"""The lines of the table: what somebody does, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.datasets import LARGE, MEDIUM, NEW, RANDOM, SCALE, SCIENCE, SEQUENTIAL
from benchmarks.figures import Figure
from benchmarks.lines import listing, reading, scale, scientific, settings, writing
from benchmarks.world import World


@dataclass(frozen=True, slots=True)
class Line:
    """A line and the datasets that it needs; ``once``: one run says enough."""

    run: Callable[[World], Iterator[Figure]]
    needs: tuple[str, ...]
    once: bool = False


LINES = {
    "mount": Line(listing.mount_to_first_ls, (NEW,)),
    "classes": Line(listing.list_classes, (LARGE,)),
    "class": Line(listing.list_a_class, (LARGE,)),
    "sequential": Line(reading.sequentially, (SEQUENTIAL,)),
    "random": Line(reading.randomly, (RANDOM,)),
    "first": Line(reading.first_bytes, (RANDOM,)),
    "hdf5": Line(scientific.hdf5, (SCIENCE,)),
    "matlab": Line(scientific.matlab, (SCIENCE,)),
    "zarr": Line(scientific.zarr, (SCIENCE,)),
    "memmap": Line(scientific.memmap, (SCIENCE,)),
    "new-documents": Line(writing.new_documents, (NEW,)),
    "new-files": Line(writing.new_files, (NEW,)),
    "new-file": Line(writing.new_file, (NEW,), once=True),
    "memory": Line(reading.memory, (LARGE, RANDOM)),
    "scale": Line(scale.scale, (SCALE,), once=True),
    "settings": Line(settings.settings, (MEDIUM, SEQUENTIAL), once=True),
}
