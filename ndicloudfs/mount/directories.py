"""Open directories: a listing that is made while it is read, and goes on where the kernel asks.

The kernel reads a directory in pieces of some hundred entries, each from the offset where the last
one ended, and may go back. What was listed stays until the directory is closed.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
from collections.abc import Callable, Iterator

from ndicloudfs.vfs.nodes import Entry


class OpenDirectory:
    """One reader's listing of a directory: entry n stays the same until it is read from the top."""

    def __init__(self, path: str, entries: Callable[[], Iterator[Entry]]) -> None:
        """``entries`` begins a listing."""
        self.path = path
        self._begin = entries
        self._lock = threading.Lock()
        self.rewind()

    def rewind(self) -> None:
        """List anew: whoever reads from the top wants what is there now."""
        with self._lock:
            self._coming = self._begin()
            self._listed: list[Entry] = []
            self._failure: Exception | None = None

    def entry(self, number: int) -> Entry | None:
        """Entry ``number`` >= 0, None behind the last one. Raises what listing raises."""
        if number >= len(self._listed):
            with self._lock:
                self._list(number)
        return self._listed[number] if number < len(self._listed) else None

    def _list(self, number: int) -> None:
        # A generator that has failed ends without a word when it is asked again, and a reader who
        # tries again would take what is listed for all there is.
        if self._failure is not None:
            raise self._failure
        try:
            while len(self._listed) <= number:
                self._listed.append(next(self._coming))
        except StopIteration:
            pass
        except Exception as error:
            self._failure = error
            raise


class OpenDirectories:
    """Open directories by handle."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, OpenDirectory] = {}

    def add(self, directory: OpenDirectory) -> int:
        """A handle for ``directory``."""
        handle = next(self._numbers)
        self._open[handle] = directory
        return handle

    def get(self, handle: int) -> OpenDirectory:
        """The directory of ``handle``. Raises EBADF."""
        try:
            return self._open[handle]
        except KeyError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None

    def close(self, handle: int) -> None:
        """Let go of a directory."""
        self._open.pop(handle, None)
