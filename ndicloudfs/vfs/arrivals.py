"""What the server has taken goes into the cache, so that nobody has to fetch what was just sent."""

from __future__ import annotations

from pathlib import Path

from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cloud.values import Document


class CacheArrivals:
    """Tells the cache what has reached the server."""

    def __init__(self, cache: LocalCache) -> None:
        self._cache = cache

    def document_stored(self, dataset_id: str, document: Document) -> None:
        """The server has this document."""
        self._cache.bodies.stored(dataset_id, document)

    def document_deleted(self, dataset_id: str, document_id: str) -> None:
        """The server does not have this document any more."""
        self._cache.bodies.gone(dataset_id, document_id)

    def file_stored(self, dataset_id: str, uid: str, size: int, path: Path) -> None:
        """The server has this object of ``size`` bytes, which are at ``path``."""
        self._cache.objects.stored(dataset_id, uid, size, path)

    def dataset_changed(self, organization_id: str, dataset_id: str) -> None:
        """A dataset was made, changed or deleted."""
        if organization_id:
            self._cache.catalog.renew_datasets(organization_id)
        self._cache.catalog.renew_fields(dataset_id)
