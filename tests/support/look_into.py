"""Look into a file with the library of its format; says what it found as JSON.

Run as a program of its own, as a user's script is: ``look_into.py walk PATH``, ``look_into.py part
PATH DATASET START STOP`` (also with several datasets), ``look_into.py map PATH START STOP STEP``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable

import h5py
import numpy as np


def walk(path: str) -> int:
    """Look at everything but the data, as a browser does; how much there is."""
    found = 0
    with h5py.File(path, "r", locking=True) as file:

        def look(_name: str, thing: h5py.Group | h5py.Dataset) -> None:
            nonlocal found
            found += 1 + len(dict(thing.attrs))

        file.visititems(look)
    return found


def part(path: str, names: str, start: str, stop: str) -> list[str]:
    """A digest of the same part of each dataset."""
    with h5py.File(path, "r", locking=True) as file:
        return [digest(file[name][int(start) : int(stop)]) for name in names.split(",")]


def mapped(path: str, start: str, stop: str, step: str) -> list[str]:
    """A digest of 600 rows of 64 samples at each step of a mapped file."""
    samples = np.memmap(path, "int16", "r").reshape(-1, 64)
    return [digest(samples[at : at + 600]) for at in range(int(start), int(stop), int(step))]


def digest(values: np.ndarray) -> str:
    """What differs where one value does."""
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    commands: dict[str, Callable[..., object]] = {"walk": walk, "part": part, "map": mapped}
    sys.stdout.write(json.dumps(commands[command](*arguments)))
