"""Who wants to hear of what has changed on the server: the kernel may believe the old state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from ndicloudfs.cache.index import DocumentName

# Called with the dataset and with documents of which the size is another one or that are gone, or
# with none where the metadata of the dataset have changed. Must return at once.
Listener: TypeAlias = Callable[[str, Sequence[DocumentName]], None]


class Changes:
    """Tells listeners of changes, in whatever thread has found them."""

    def __init__(self) -> None:
        self._listeners: tuple[Listener, ...] = ()

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` from now on."""
        self._listeners = (*self._listeners, listener)

    def tell(self, dataset_id: str, documents: Sequence[DocumentName] | None = None) -> None:
        """Documents have changed, or the metadata of the dataset where none are given."""
        if documents is None or documents:
            for listener in self._listeners:
                listener(dataset_id, documents or ())
