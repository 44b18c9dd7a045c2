"""Whose bytes the kernel keeps of a file: it has one set of pages for all who have it open.

Somebody who reads an older version on would fill the pages with bytes that a reader of the newer
one then finds there. So a version ends for its readers when a newer one is opened.

Who writes a file that another one has taken the place of, under another name of it, goes on with it
and with its pages. What is under its path now is read past the kernel's pages as long.

Until a version ends, the size of the file is that of the version that is open: the kernel has one
size, too, and would cut the bytes of the older version to the size of the newer one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from cachetools import LRUCache

_PATHS_KEPT = 100_000


@dataclass(slots=True)
class _Version:
    """What is open under a path; ``hides``: somebody was not told of another size meanwhile."""

    identity: str
    size: int
    readers: int = 0
    hides: bool = False


class Pages:
    """What the pages of each path are of: the identity of the bytes that were opened last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: LRUCache[str, str] = LRUCache(_PATHS_KEPT)
        self._open: dict[int, tuple[str, str]] = {}  # path and identity, by handle
        self._versions: dict[str, _Version] = {}

    def opened(self, path: str, handle: int, identity: str, size: int | None) -> bool:
        """Note that ``path`` is open; whether the pages that the kernel has are still right.

        ``identity`` names the ``size`` bytes; one that is ``""`` names none.
        """
        with self._lock:
            same = bool(identity) and self._last.get(path) == identity
            self._last[path] = identity
            version = self._versions.pop(path, None)
            self._open[handle] = (path, identity)
            if identity and size is not None:
                if version is None or version.identity != identity:
                    version = _Version(identity, size)
                version.readers += 1
                self._versions[path] = version
        return same

    def belong_to(self, path: str, handles: set[int]) -> bool:
        """Whether one of ``handles`` is open under ``path``: then the pages are of that."""
        with self._lock:
            found = any(self._open.get(handle, ("", ""))[0] == path for handle in handles)
            if found:
                self._last[path] = ""  # nor does who opens it next believe them
        return found

    def size(self, path: str, size: int) -> int:
        """The size to tell of ``path``, which has ``size``: that of the version that is open."""
        version = self._versions.get(path)
        if version is None or version.size == size:
            return size
        version.hides = True
        return version.size

    def sizes(self, directory: str) -> dict[str, int]:
        """The sizes of all versions that are open in ``directory``, by name."""
        if not self._versions:
            return {}
        with self._lock:
            places = [(path.rpartition("/"), version) for path, version in self._versions.items()]
        return {name: version.size for (at, _, name), version in places if at == directory}

    def changed(self, path: str) -> None:
        """What was open under ``path`` is no longer what the path is."""
        if self._versions:
            with self._lock:
                self._versions.pop(path, None)

    def removed(self, path: str, now: str = "") -> None:
        """The kernel has taken ``path`` away from what was open under it, which is ``now``."""
        with self._lock:
            self._versions.pop(path, None)
            for handle, (at, identity) in self._open.items():
                if at == path:
                    self._open[handle] = (now, identity)

    def renamed(self, path: str, new_path: str) -> None:
        """What was open under ``path`` is under ``new_path`` now, in place of what was there."""
        self.removed(new_path)
        self.removed(path, new_path)

    def outdated(self, handle: int) -> bool:
        """Whether other bytes have been opened under the path of ``handle`` since."""
        with self._lock:
            path, identity = self._open.get(handle, ("", ""))
            return bool(identity) and self._last.get(path, identity) not in ("", identity)

    def closed(self, handle: int) -> bool:
        """Note that nobody reads through ``handle``; whether a size is hidden no longer."""
        with self._lock:
            path, identity = self._open.pop(handle, ("", ""))
            version = self._versions.get(path)
            if version is None or version.identity != identity:
                return False
            version.readers -= 1
            if version.readers:
                return False
            del self._versions[path]
            return version.hides
