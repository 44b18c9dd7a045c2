"""Wakes the write-back of a mount when somebody signs in elsewhere.

Reading finds a new token by itself when it needs one. Writing back pauses for minutes after it has
found nobody signed in, and would not look.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ndicloudfs.cloud.profiles import Stored
from ndicloudfs.writeback import WriteBack

LOOK_EVERY = 2.0  # s; a look is one stat()


@contextmanager
def reviving(stored: Stored | None, writeback: WriteBack | None) -> Iterator[None]:
    """Look meanwhile whether the sign-in has changed, and let what waits go on when it has."""
    if stored is None or writeback is None:
        yield
        return
    ended = threading.Event()

    def look() -> None:
        known = stored.load()
        while not ended.wait(LOOK_EVERY):
            found = stored.load()
            if found != known and found is not None and writeback.outage is not None:
                writeback.resume()
            known = found

    thread = threading.Thread(target=look, name="ndi-revival", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
