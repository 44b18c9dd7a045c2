"""A dataset: its metadata, its documents, its files."""

from __future__ import annotations

from collections.abc import Iterator

from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cache.rendering import iso_to_ns, pretty_json
from ndicloudfs.cache.scope import DatasetScope, Part, Scope
from ndicloudfs.cloud.values import DatasetRow, Json
from ndicloudfs.vfs.documents import Documents
from ndicloudfs.vfs.files import Files
from ndicloudfs.vfs.nodes import (
    Attributes,
    BytesFile,
    Directory,
    Entry,
    File,
    Kind,
    Node,
    OpenFile,
    State,
    derive_ino,
)

METADATA_NAME = "dataset.json"
DOCUMENTS_NAME = "documents"
FILES_NAME = "files"

# Counters and markers of the server's own work: no metadata of the dataset.
_VOLATILE = frozenset({"__v", "publishProgress", "unpublishProgress"})


class Dataset(Directory):
    """``<dataset>/``: ``dataset.json``, ``documents/`` and ``files/``."""

    def __init__(self, parent: int, cache: LocalCache, row: DatasetRow, default_ns: int) -> None:
        """``default_ns``: the time of a dataset that states none, in epoch ns."""
        super().__init__(derive_ino(parent, row.id), iso_to_ns(row.updated_at) or default_ns)
        self._row = row
        self._children: dict[str, Node] = {
            METADATA_NAME: _Metadata(self.ino, cache, row.id, self.mtime_ns),
            DOCUMENTS_NAME: Documents(self.ino, cache, row.id, self.mtime_ns),
            FILES_NAME: Files(self.ino, cache, row.id, self.mtime_ns),
        }

    @property
    def row(self) -> DatasetRow:
        """The dataset as lists have it."""
        return self._row

    def scope(self) -> Scope:
        return DatasetScope(self._row.id)

    def xattrs(self) -> dict[str, str]:
        return {
            "user.ndi.cloud_id": self._row.id,
            "user.ndi.dataset_id": self._row.id,
            "user.ndi.name": self._row.name,
            "user.ndi.state": State.CLEAN.value,
        }

    def entries(self) -> Iterator[Entry]:
        for name, node in self._children.items():
            yield Entry(name, node.ino, node.kind)

    def child(self, name: str) -> Node | None:
        return self._children.get(name)


class _Metadata(File):
    """``dataset.json``: what the server says of the dataset, without its arrays of ids."""

    def __init__(self, parent: int, cache: LocalCache, dataset_id: str, mtime_ns: int) -> None:
        super().__init__(derive_ino(parent, METADATA_NAME))
        self._cache = cache
        self._dataset_id = dataset_id
        self._mtime_ns = mtime_ns

    def attributes(self) -> Attributes:
        return Attributes(self.ino, Kind.FILE, len(self._bytes()), self._mtime_ns)

    def scope(self) -> Scope:
        return DatasetScope(self._dataset_id, Part.METADATA)

    def xattrs(self) -> dict[str, str]:
        return {
            "user.ndi.dataset_id": self._dataset_id,
            "user.ndi.state": State.CLEAN.value,
        }

    def open(self) -> OpenFile:
        return BytesFile(self._bytes())

    def _bytes(self) -> bytes:
        return pretty_json(metadata(self._cache.catalog.fields(self._dataset_id)))


def metadata(fields: Json) -> Json:
    """The fields of dataset detail that are in ``dataset.json``."""
    return {
        "id" if key == "_id" else key: value
        for key, value in fields.items()
        if key not in _VOLATILE
    }
