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

_AT_ONCE = 100  # entries that are listed under one lock; the kernel asks for more than that


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

    def entries(self, first: int) -> Iterator[list[Entry]]:
        """The entries from number ``first`` >= 0, some at a time. Raises what listing raises."""
        number = first
        while some := self._some(number):
            yield some
            number += len(some)

    def _some(self, number: int) -> list[Entry]:
        """Some entries from ``number`` on, none behind the last one."""
        with self._lock:
            if number >= len(self._listed):
                self._list(number + _AT_ONCE)
            return self._listed[number : number + _AT_ONCE]

    def _list(self, count: int) -> None:
        """List on until there are ``count`` entries or all."""
        # A generator that has failed ends without a word when it is asked again, and a reader who
        # tries again would take what is listed for all there is.
        if self._failure is not None:
            raise self._failure
        before = len(self._listed)
        try:
            for entry in itertools.islice(self._coming, count - before):
                self._listed.append(entry)  # what came before a failure stays
        except Exception as error:
            self._failure = error
            if len(self._listed) == before:
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
