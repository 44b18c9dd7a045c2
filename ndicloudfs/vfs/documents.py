"""``documents/<class>/<ndi id>.json``: the documents of a dataset as JSON files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b

from ndicloudfs.cache.index import DocumentRow
from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cache.scope import DatasetScope, Part, Scope
from ndicloudfs.cloud.errors import NotFound
from ndicloudfs.cloud.values import is_cloud_id, is_ndi_id
from ndicloudfs.vfs import names
from ndicloudfs.vfs.nodes import (
    Attributes,
    BytesFile,
    Directory,
    Entry,
    File,
    Kind,
    Node,
    State,
    derive_ino,
    ino_maker,
)
from ndicloudfs.vfs.shown import Shown

UID_DIRECTORY = ".uid"  # of files/; no class may have its name


class ClassFolders(Directory):
    """A folder per class of a dataset: what ``documents/`` and ``files/`` have in common."""

    def __init__(
        self, parent: int, name: str, cache: LocalCache, dataset_id: str, mtime_ns: int
    ) -> None:
        super().__init__(derive_ino(parent, name), mtime_ns)
        self._cache = cache
        self._dataset_id = dataset_id
        self._shown = Shown(lambda: cache.catalog.classes(dataset_id), _by_folder_name)

    def entries(self) -> Iterator[Entry]:
        for name, (class_name, _) in self._shown.items().items():
            yield Entry(name, derive_ino(self.ino, class_name), Kind.DIRECTORY)

    def documents_under(self, name: str) -> DocumentClass | None:
        """The documents of the class that is shown as ``name``, None where none is."""
        shown = self._shown.items().get(name)
        return None if shown is None else DocumentClass(self._cache, self._dataset_id, shown[0])


def _by_folder_name(classes: tuple[tuple[str, int], ...]) -> dict[str, tuple[str, int]]:
    counted = dict(classes)
    return {
        name: (class_name, counted[class_name])
        for name, class_name in names.class_names(counted, {UID_DIRECTORY}).items()
    }


class Documents(ClassFolders):
    """``documents/``."""

    def __init__(self, parent: int, cache: LocalCache, dataset_id: str, mtime_ns: int) -> None:
        super().__init__(parent, "documents", cache, dataset_id, mtime_ns)

    def scope(self) -> Scope:
        return DatasetScope(self._dataset_id, Part.DOCUMENTS)

    def child(self, name: str) -> Node | None:
        documents = self.documents_under(name)
        return None if documents is None else DocumentFolder(self.ino, documents, self.mtime_ns)


class DocumentClass:
    """The documents of one class and the names they have, in whatever folder they are shown."""

    def __init__(self, cache: LocalCache, dataset_id: str, class_name: str) -> None:
        self.cache = cache
        self.dataset_id = dataset_id
        self.class_name = class_name

    def named(self, rows: Iterable[DocumentRow]) -> Iterator[tuple[str, DocumentRow]]:
        """Each document with its stem; ``rows`` are ordered by (ndi id, cloud id)."""
        last = None
        for row in rows:
            ndi_id = row.ndi_id
            if ndi_id != last and is_ndi_id(ndi_id):  # nearly all
                yield ndi_id, row
            else:
                yield names.document_stem(ndi_id, row.id, first=ndi_id != last), row
            last = ndi_id

    def every(self) -> Iterator[tuple[str, DocumentRow]]:
        """Every document of the class with its stem."""
        return self.named(self.cache.catalog.documents(self.dataset_id, self.class_name))

    def find(self, stem: str) -> str | None:
        """The cloud id of the document with this stem, or with this id; None if there is none."""
        mark = names.mark_of(stem)
        if is_cloud_id(stem):
            return self._with_cloud_id(stem)
        if mark is not None and is_cloud_id(mark):
            found = self._with_cloud_id(mark)
            return found if found is not None and self._stem_of(found) == stem else None
        rows = self.cache.catalog.documents_with_ndi_id(self.dataset_id, self.class_name, stem)
        return next((row.id for name, row in self.named(rows) if name == stem), None)

    def first(self, ndi_id: str) -> str | None:
        """The cloud id of the first document with this ndi id, as far as is known; no call."""
        rows = self.cache.catalog.known_with_ndi_id(self.dataset_id, self.class_name, ndi_id)
        return rows[0].id if rows else None

    def _with_cloud_id(self, document_id: str) -> str | None:
        try:
            row = self.cache.catalog.known_document(
                self.dataset_id, document_id
            ) or self.cache.bodies.described(self.dataset_id, document_id)
        except NotFound:
            return None
        if row.class_name != self.class_name:
            # Its body may name a class that its row in the lists does not, and lists decide.
            self.cache.catalog.documents(self.dataset_id, self.class_name)
            listed = self.cache.catalog.known_document(self.dataset_id, document_id)
            row = listed or row
        return document_id if row.class_name == self.class_name else None

    def _stem_of(self, document_id: str) -> str | None:
        row = self.cache.catalog.known_document(self.dataset_id, document_id)
        if row is None:
            return None
        rows = self.cache.catalog.documents_with_ndi_id(
            self.dataset_id, self.class_name, row.ndi_id
        )
        return next((name for name, other in self.named(rows) if other.id == document_id), None)


class DocumentFolder(Directory):
    """``documents/<class>/``."""

    def __init__(self, parent: int, documents: DocumentClass, mtime_ns: int) -> None:
        super().__init__(derive_ino(parent, documents.class_name), mtime_ns)
        self._documents = documents

    def scope(self) -> Scope:
        documents = self._documents
        return DatasetScope(documents.dataset_id, Part.DOCUMENTS, documents.class_name)

    def xattrs(self) -> dict[str, str]:
        return {
            "user.ndi.class": self._documents.class_name,
            "user.ndi.dataset_id": self._documents.dataset_id,
        }

    def entries(self) -> Iterator[Entry]:
        ino_of = ino_maker(self.ino)
        known, file = known_attributes(self._documents.cache, self.mtime_ns), Kind.FILE
        for stem, row in self._documents.every():
            ino = ino_of(row.id)
            yield Entry(stem + names.JSON_SUFFIX, ino, file, known(ino, row))

    def child(self, name: str) -> Node | None:
        if not name.endswith(names.JSON_SUFFIX):
            return None
        document_id = self._documents.find(name.removesuffix(names.JSON_SUFFIX))
        if document_id is None:
            return None
        return DocumentFile(
            self.ino,
            self._documents.cache,
            self._documents.dataset_id,
            document_id,
            self.mtime_ns,
        )


class DocumentFile(File):
    """``documents/<class>/<ndi id>.json``."""

    def __init__(
        self, parent: int, cache: LocalCache, dataset_id: str, document_id: str, default_ns: int
    ) -> None:
        super().__init__(derive_ino(parent, document_id))
        self._cache = cache
        self._dataset_id = dataset_id
        self._id = document_id
        self._default_ns = default_ns

    def attributes(self) -> Attributes:
        row = self._row()
        mtime_ns = self._default_ns if row.mtime_ns is None else row.mtime_ns
        return Attributes(self.ino, Kind.FILE, row.size or 0, mtime_ns)

    def scope(self) -> Scope:
        row = self._row()
        return DatasetScope(self._dataset_id, Part.DOCUMENTS, row.class_name, row.id)

    def xattrs(self) -> dict[str, str]:
        return document_xattrs(self._dataset_id, self._row())

    def open(self) -> BytesFile:
        data = self._cache.bodies.read(self._dataset_id, self._id)
        digest = blake2b(data, digest_size=16).hexdigest()
        return BytesFile(data, identity=f"{self._dataset_id}/{self._id}/{digest}")

    def _row(self) -> DocumentRow:
        return self._cache.bodies.described(self._dataset_id, self._id)


def known_attributes(
    cache: LocalCache, default_ns: int, *, writable: bool = False
) -> Callable[[int, DocumentRow], Attributes | None]:
    """What tells, for an inode number and a document, what ``stat`` tells of it.

    Where that is known and costs nothing, else None.
    """
    fresh, file = cache.bodies.fresh, Kind.FILE

    def known(ino: int, row: DocumentRow) -> Attributes | None:
        size = row.size
        if size is None or not fresh(row):
            return None
        mtime_ns = row.mtime_ns
        return Attributes(ino, file, size, default_ns if mtime_ns is None else mtime_ns, writable)

    return known


def document_xattrs(dataset_id: str, row: DocumentRow) -> dict[str, str]:
    """The extended attributes of a document."""
    return {
        "user.ndi.id": row.ndi_id,
        "user.ndi.cloud_id": row.id,
        "user.ndi.class": row.class_name,
        "user.ndi.name": row.name,
        "user.ndi.dataset_id": dataset_id,
        "user.ndi.state": State.CLEAN.value,
    }
