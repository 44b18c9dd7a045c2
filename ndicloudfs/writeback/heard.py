"""Which names the journal may have: to say that it has not heard of one, it need not look.

A tool looks for each file before it makes it, and that takes a tenth of the way to its close.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

MOST = 50_000  # names; 6 MB


class Heard:
    """Every name that was heard of, or nothing where they are too many. Used by any thread."""

    def __init__(self, names: Iterable[str], most: int = MOST) -> None:
        """``names``: what there is already."""
        self._most = most
        self._names: set[str] | None = set()
        self.note(*islice(names, most + 1))

    def note(self, *names: str) -> None:
        """These are about to be in the journal."""
        if self._names is not None:
            self._names.update(names)
            if len(self._names) > self._most:
                self._names = None

    def never(self, name: str) -> bool:
        """Whether the journal has nothing under ``name`` for sure."""
        names = self._names
        return names is not None and name not in names
