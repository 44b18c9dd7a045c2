"""The names of a listing, worked out once for each version of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from ndicloudfs.cache.listings import Listing

Item = TypeVar("Item")


class Shown(Generic[Item]):
    """Shown name -> item of a listing that may change."""

    def __init__(
        self,
        listing: Callable[[], Listing[Item]],
        name: Callable[[tuple[Item, ...]], dict[str, Item]],
    ) -> None:
        self._listing = listing
        self._name = name
        self._state: tuple[float, dict[str, Item]] = (-1.0, {})

    def items(self) -> dict[str, Item]:
        """The listing as it is now, by shown name."""
        listing = self._listing()
        version, items = self._state
        if version != listing.version:
            items = self._name(listing.items)
            self._state = (listing.version, items)  # one assignment: threads see both or neither
        return items
