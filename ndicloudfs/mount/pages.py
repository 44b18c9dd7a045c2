"""Whose bytes the kernel keeps of a file: it has one set of pages for all who have it open.

Somebody who reads an older version on would fill the pages with bytes that a reader of the newer
one then finds there. So a version ends for its readers when a newer one is opened.
"""

from __future__ import annotations

import threading

from cachetools import LRUCache

_PATHS_KEPT = 100_000


class Pages:
    """What the pages of each path are of: the identity of the bytes that were opened last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: LRUCache[str, str] = LRUCache(_PATHS_KEPT)
        self._open: dict[int, tuple[str, str]] = {}

    def opened(self, path: str, handle: int, identity: str) -> bool:
        """Note that ``path`` is open; whether the pages that the kernel has are still right.

        ``identity`` names the bytes; one that is ``""`` names none.
        """
        with self._lock:
            same = bool(identity) and self._last.get(path) == identity
            self._last[path] = identity
            if identity:
                self._open[handle] = (path, identity)
        return same

    def outdated(self, handle: int) -> bool:
        """Whether other bytes have been opened under the path of ``handle`` since."""
        with self._lock:
            path, identity = self._open.get(handle, ("", ""))
            return bool(identity) and self._last.get(path, identity) not in ("", identity)

    def closed(self, handle: int) -> None:
        """Note that nobody reads through ``handle`` any more."""
        with self._lock:
            self._open.pop(handle, None)
