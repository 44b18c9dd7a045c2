"""When a listing is fetched: at once where it is not known, behind the reader where it is old.

A listing is known by its key once it was fetched as a whole. Many readers share one fetch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ndicloudfs.cache.index import Index
from ndicloudfs.cache.upstream import TOO_OLD, Upstream
from ndicloudfs.cloud.errors import CloudError, NotSignedIn

log = logging.getLogger(__name__)

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Listing(Generic[Item]):
    """The whole of a list; ``version`` changes whenever ``items`` may have."""

    version: int
    items: tuple[Item, ...]


class Listings:
    """The listings of the index, each fetched by the function that comes with its key."""

    def __init__(self, index: Index, upstream: Upstream) -> None:
        self._index = index
        self._up = upstream
        self._lock = threading.Lock()
        self._held: dict[str, Listing[Any]] = {}
        self._asked_again: dict[str, float] = {}

    def know(self, key: str, fetch: Callable[[], None]) -> None:
        """Make a listing known: now if it never was, in the background if it is old."""
        fetched_at = self._index.fetched_at(key)
        if fetched_at is None:
            self.fetch_unknown(key, fetch)
        elif self._up.age(fetched_at) > max(TOO_OLD, self._up.ttl):
            # Without a token that is still good, the cache is all there is until a login.
            with suppress(NotSignedIn):
                self._up.try_first(lambda: self._up.flight.run(key, fetch), key)
        elif not self._up.believes(fetched_at):
            self.fetch_behind(key, fetch)

    def read(self, key: str, load: Callable[[], list[Item]]) -> Listing[Item]:
        """What ``load`` reads from the index, read again only when the listing was written."""
        version = self._index.version(key)
        held = self._held.get(key)
        if held is None or held.version != version:
            # Loaded after the version was read: at worst it is loaded once more than needed.
            held = self._held[key] = Listing(version, tuple(load()))
        return held

    def fetch_unknown(self, key: str, fetch: Callable[[], None]) -> None:
        """Fetch a listing, unless it is known."""

        def first() -> None:
            if self._index.fetched_at(key) is None:
                fetch()

        self._up.flight.run(key, first)

    def fetch_behind(self, key: str, fetch: Callable[[], None]) -> None:
        """Fetch a listing again in the background, once in the time for which it is believed."""
        if self._up.uplink.down is not None:
            return
        now = self._up.clock()
        with self._lock:
            asked = self._asked_again.get(key, float("-inf"))
            if 0 <= now - asked <= self._up.ttl or self._up.flight.running(key):
                return
            self._asked_again[key] = now

        def run() -> None:
            try:
                self._up.flight.run(key, fetch)
            except CloudError as error:
                log.info("%s could not be refreshed, the old state goes on serving: %s", key, error)

        with suppress(RuntimeError):  # the pool is closed: the mount is going away
            self._up.pool.submit(run)

    def renew(self, key: str, fetch: Callable[[], None]) -> bool:
        """Fetch a listing again now, whatever its age; False where it is not known."""
        if self._index.fetched_at(key) is None:
            return False
        begun = False

        def mine() -> None:
            nonlocal begun
            begun = True
            fetch()

        while not begun:  # one that was under way may have asked before the server changed
            self._up.flight.run(key, mine)
        return True
