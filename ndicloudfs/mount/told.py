"""What the kernel has been told of files, and may go on believing for a while.

The kernel keeps names and attributes for some seconds. Where a file has changed meanwhile, it would
cut the new bytes to the old size; whoever opens the file compares, and whoever hears of the change
makes the kernel ask again. Where a file is gone, the kernel is to look for its name again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

_FILES_KEPT = 1_000_000


class Told:
    """Names and sizes by directory, for as long as the kernel may believe them."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        """``seconds``: how long the kernel believes what it is told."""
        self._seconds = seconds
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # Two generations: what is noted in one is kept until the next has become as old, so that
        # noting a size is one assignment. A walk notes 50,000 a second.
        self._new: dict[str, dict[str, int | None]] = {}
        self._old: dict[str, dict[str, int | None]] = {}
        self._count = 0
        self._since = monotonic()

    def note(self, directory: str, sizes: Mapping[str, int]) -> None:
        """Remember the ``sizes`` (name -> bytes) that were told of files in ``directory``."""
        with self._lock:
            now = self._monotonic()
            if now - self._since > self._seconds or self._count > _FILES_KEPT:
                self._old, self._new = self._new, {}
                self._since, self._count = now, 0
            self._new.setdefault(directory, {}).update(sizes)
            self._count += len(sizes)

    def written(self, path: str) -> None:
        """The kernel asks again before it believes a size of ``path``, which it believes in."""
        directory, _, name = path.rpartition("/")
        with self._lock:
            for generation in (self._new, self._old):
                sizes = generation.get(directory, {})
                if name in sizes:
                    sizes[name] = None

    def renamed(self, path: str, new_path: str) -> None:
        """The kernel believes in ``new_path`` instead of ``path``, and asks for its size."""
        self.forget(path)
        directory, _, name = new_path.rpartition("/")
        with self._lock:
            self._new.setdefault(directory, {})[name] = None

    def forget(self, path: str) -> bool:
        """``path`` is gone; whether the kernel may have believed in it."""
        directory, _, name = path.rpartition("/")
        with self._lock:
            believed = False
            for generation in (self._new, self._old):
                sizes = generation.get(directory)
                if sizes is not None and name in sizes:
                    del sizes[name]
                    believed = True
        return believed

    def size(self, path: str) -> int | None:
        """The size that the kernel may believe ``path`` to have, None where it believes none."""
        directory, _, name = path.rpartition("/")
        with self._lock:
            for generation in (self._new, self._old):
                sizes = generation.get(directory, {})
                if name in sizes:
                    return sizes[name]
        return None

    def paths(self, name: str) -> list[str]:
        """Every path with ``name`` that the kernel may believe something of."""
        with self._lock:
            return list(
                {
                    f"{directory}/{name}": None
                    for generation in (self._new, self._old)
                    for directory, sizes in generation.items()
                    if name in sizes
                }
            )
