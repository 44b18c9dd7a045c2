"""The same operations on datasets of growing size: what the plot shows."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.datasets import CLASS, scale_names
from benchmarks.figures import Figure
from benchmarks.processes import resident, timed
from benchmarks.world import MIB, World


def scale(world: World) -> Iterator[Figure]:
    """Listings and memory at each size."""
    for dataset, size in scale_names(world).items():
        world.forget()
        with world.mount() as root:
            documents = root / dataset / "documents"
            names, _ = timed("ls", str(documents))
            first, _ = timed("ls", "-U", str(documents / CLASS))
            sizes, _ = timed("ls", "-l", str(documents / CLASS))
            for folder in documents.iterdir():
                timed("ls", "-U", str(folder))
            memory = resident(world.mount_pid) / MIB
        found = (
            ("ls documents/, first time", names, "s"),
            ("ls of a class with a tenth of them, first time", first, "s"),
            ("ls -l of it, first time", sizes, "s"),
            ("memory with all documents listed", memory, "MiB"),
        )
        for name, value, unit in found:
            yield Figure(f"{name}: {size:,} documents", value, unit, series=name, size=size)
