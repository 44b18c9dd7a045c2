"""Making the kernel ask again for files that have changed on the server.

The kernel's own answer to a request may wait for a request that this process has to answer first.
So it is told from a thread of its own, which holds no lock.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from ndicloudfs.mount.told import Told

_JOIN_SECONDS = 5.0
_DROP_SECONDS = 0.5  # it takes 50 us


@dataclass(frozen=True, slots=True)
class _Path:
    """A path to drop."""

    path: str
    dropped: threading.Event = field(default_factory=threading.Event)


class Invalidation:
    """Hears which names have changed, and drops what the kernel was told of them."""

    def __init__(self, told: Told) -> None:
        self._told = told
        self._names: queue.SimpleQueue[str | _Path | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self, drop: Callable[[str], None]) -> None:
        """Begin; ``drop`` makes the kernel forget a path."""

        def run() -> None:
            while (item := self._names.get()) is not None:
                if isinstance(item, _Path):
                    drop(item.path)
                    item.dropped.set()
                else:
                    for path in self._told.paths(item):
                        drop(path)

        self._thread = threading.Thread(target=run, name="ndi-invalidation", daemon=True)
        self._thread.start()

    def changed(self, name: str) -> None:
        """The files of this name, wherever they are, may be others now; returns at once."""
        if self._thread is not None:
            self._names.put(name)

    def drop(self, path: str) -> None:
        """What the kernel believes of ``path`` is wrong: it has been told when this returns.

        Unless the kernel keeps the thread that tells it waiting, which may be for this very call.
        """
        if self._thread is not None:
            item = _Path(path)
            self._names.put(item)
            item.dropped.wait(_DROP_SECONDS)

    def stop(self) -> None:
        """End, before the kernel's side of the mount does."""
        if self._thread is not None:
            self._names.put(None)
            self._thread.join(_JOIN_SECONDS)
            self._thread = None
