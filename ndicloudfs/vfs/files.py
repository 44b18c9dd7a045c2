"""``files/<class>/<ndi id>/<file name>``: the binary files of documents, and ``files/.uid/``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote

from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cache.reader import ObjectReader
from ndicloudfs.cache.rendering import FileLink
from ndicloudfs.cache.scope import DatasetScope, Part, Scope
from ndicloudfs.cloud.errors import ObjectMissing
from ndicloudfs.vfs import names
from ndicloudfs.vfs.documents import UID_DIRECTORY, ClassFolders, DocumentClass, document_xattrs
from ndicloudfs.vfs.nodes import (
    Attributes,
    Directory,
    Entry,
    File,
    Kind,
    Node,
    OpenFile,
    State,
    derive_ino,
)


class Files(ClassFolders):
    """``files/``: a folder per class, and ``.uid``, which resolves and is not listed."""

    def __init__(self, parent: int, cache: LocalCache, dataset_id: str, mtime_ns: int) -> None:
        super().__init__(parent, "files", cache, dataset_id, mtime_ns)

    def scope(self) -> Scope:
        return DatasetScope(self._dataset_id, Part.FILES)

    def child(self, name: str) -> Node | None:
        if name == UID_DIRECTORY:
            return _Uids(self.ino, self._cache, self._dataset_id, self.mtime_ns)
        documents = self.documents_under(name)
        return None if documents is None else FileClass(self.ino, documents, self.mtime_ns)


class FileClass(Directory):
    """``files/<class>/``: a folder for each document that has files."""

    def __init__(self, parent: int, documents: DocumentClass, mtime_ns: int) -> None:
        super().__init__(derive_ino(parent, documents.class_name), mtime_ns)
        self._documents = documents

    def scope(self) -> Scope:
        documents = self._documents
        return DatasetScope(documents.dataset_id, Part.FILES, documents.class_name)

    def entries(self) -> Iterator[Entry]:
        # Only bodies say which documents have files.
        documents = self._documents
        documents.cache.bodies.describe_class(documents.dataset_id, documents.class_name)
        for stem, row in documents.every():
            if row.has_files:
                yield Entry(stem, derive_ino(self.ino, row.id), Kind.DIRECTORY)

    def child(self, name: str) -> Node | None:
        document_id = self._documents.find(name)
        if document_id is None:
            return None
        cache, dataset_id = self._documents.cache, self._documents.dataset_id
        if not cache.bodies.described(dataset_id, document_id).has_files:
            return None
        return _FileFolder(self.ino, cache, dataset_id, document_id, self.mtime_ns)


class _FileFolder(Directory):
    """``files/<class>/<ndi id>/``: the files that one document names."""

    def __init__(
        self, parent: int, cache: LocalCache, dataset_id: str, document_id: str, default_ns: int
    ) -> None:
        super().__init__(derive_ino(parent, document_id), default_ns)
        self._cache = cache
        self._dataset_id = dataset_id
        self._id = document_id
        self._named: tuple[list[FileLink], dict[str, tuple[int, FileLink]]] = ([], {})

    def attributes(self) -> Attributes:
        return Attributes(self.ino, Kind.DIRECTORY, 0, self._document_ns())

    def scope(self) -> Scope:
        row = self._cache.bodies.described(self._dataset_id, self._id)
        return DatasetScope(self._dataset_id, Part.FILES, row.class_name, self._id)

    def xattrs(self) -> dict[str, str]:
        row = self._cache.bodies.described(self._dataset_id, self._id)
        return document_xattrs(self._dataset_id, row)

    def entries(self) -> Iterator[Entry]:
        for name, (position, _) in self._links().items():
            yield Entry(name, derive_ino(self.ino, str(position)), Kind.FILE)

    def child(self, name: str) -> Node | None:
        position, link = self._links().get(name, (-1, None))
        if link is None:
            return None
        located = Located(self._cache, self._dataset_id, link.uid)
        ino = derive_ino(self.ino, str(position))
        return DataFile(ino, located, self._document_ns(), link.name, self._id)

    def _links(self) -> dict[str, tuple[int, FileLink]]:
        """The files by shown name, with their position in the document."""
        links = self._cache.bodies.files(self._dataset_id, self._id)
        known, named = self._named
        if known != links:
            shown = names.unique_file_names((link.name, link.uid) for link in links)
            named = dict(zip(shown, enumerate(links), strict=True))
            self._named = (links, named)
        return named

    def _document_ns(self) -> int:
        row = self._cache.bodies.described(self._dataset_id, self._id)
        return self.mtime_ns if row.mtime_ns is None else row.mtime_ns


class _Uids(Directory):
    """``files/.uid/``: any object of the dataset by its uid; lists nothing."""

    def __init__(self, parent: int, cache: LocalCache, dataset_id: str, mtime_ns: int) -> None:
        super().__init__(derive_ino(parent, UID_DIRECTORY), mtime_ns)
        self._cache = cache
        self._dataset_id = dataset_id

    def entries(self) -> Iterator[Entry]:
        return iter(())

    def child(self, name: str) -> Node | None:
        uid = unquote(name)  # a uid may be any text; one with a slash is written %2F here
        try:
            self._cache.objects.size(self._dataset_id, uid)
        except ObjectMissing:
            return None
        located = Located(self._cache, self._dataset_id, uid)
        return DataFile(derive_ino(self.ino, uid), located, self.mtime_ns, "", "")


@dataclass(frozen=True, slots=True)
class Located:
    """An object and where to get it."""

    cache: LocalCache
    dataset_id: str
    uid: str


@dataclass(frozen=True, slots=True)
class _ObjectFile(OpenFile):
    """An open object."""

    reader: ObjectReader
    identity: str

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.reader.size

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end."""
        return self.reader.read(offset, length)

    def readinto(self, offset: int, into: memoryview) -> int:
        """The same, without a copy of the bytes in between."""
        return self.reader.readinto(offset, into)

    def close(self) -> None:
        """Nobody will read any more."""
        self.reader.close()


class DataFile(File):
    """A binary file. One whose bytes are not on the server has size 0 and opens with ENODATA."""

    def __init__(
        self, ino: int, located: Located, mtime_ns: int, name: str, document_id: str
    ) -> None:
        super().__init__(ino)
        self._located = located
        self._mtime_ns = mtime_ns
        self._name = name
        self._document_id = document_id

    def attributes(self) -> Attributes:
        return Attributes(self.ino, Kind.FILE, self.size() or 0, self._mtime_ns)

    def scope(self) -> Scope:
        located = self._located
        return DatasetScope(
            located.dataset_id, Part.FILES, document_id=self._document_id, uid=located.uid
        )

    def xattrs(self) -> dict[str, str]:
        located = self._located
        state = State.MISSING if self.size() is None else State.CLEAN
        attributes = {
            "user.ndi.uid": located.uid,
            "user.ndi.name": self._name,
            "user.ndi.dataset_id": located.dataset_id,
            "user.ndi.state": state.value,
        }
        if self._document_id:
            row = located.cache.bodies.described(located.dataset_id, self._document_id)
            attributes = document_xattrs(located.dataset_id, row) | attributes
        return attributes

    def open(self) -> OpenFile:
        located = self._located
        if not located.uid:
            raise located.cache.objects.nameless(located.dataset_id, self._document_id, self._name)
        reader = located.cache.objects.open(located.dataset_id, located.uid)
        return _ObjectFile(reader, f"{located.dataset_id}/{located.uid}/{reader.size}")

    def size(self) -> int | None:
        """Number of bytes, None where they are not on the server."""
        if not self._located.uid:
            return None
        try:
            return self._located.cache.objects.size(self._located.dataset_id, self._located.uid)
        except ObjectMissing:
            return None
