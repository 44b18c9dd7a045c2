"""A dataset that can be written: its metadata, its class folders."""

from __future__ import annotations

import errno
import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from ndicloudfs.cache.rendering import pretty_json
from ndicloudfs.cache.scope import DatasetScope, Part, Scope
from ndicloudfs.cloud.values import DatasetRow, Json
from ndicloudfs.vfs import names
from ndicloudfs.vfs.bodies import Unusable, parse
from ndicloudfs.vfs.class_documents import ClassDocuments, state_of
from ndicloudfs.vfs.contents import Content, LocalContent, copy, in_memory
from ndicloudfs.vfs.dataset import DOCUMENTS_NAME, FILES_NAME, METADATA_NAME, metadata
from ndicloudfs.vfs.documents import UID_DIRECTORY, ClassFolders, Documents
from ndicloudfs.vfs.files import Files
from ndicloudfs.vfs.nodes import (
    Attributes,
    BytesFile,
    Directory,
    Entry,
    Kind,
    Node,
    OpenFile,
    derive_ino,
)
from ndicloudfs.vfs.scratch import is_scratch
from ndicloudfs.vfs.sessions import Editable, NotTaken, Session
from ndicloudfs.vfs.writable import Edits, Home, WritableFolder, refusal
from ndicloudfs.vfs.writable_documents import WritableClass
from ndicloudfs.vfs.writable_files import WritableFileClass
from ndicloudfs.vfs.writable_uids import WritableUids
from ndicloudfs.writeback import LOCAL_PREFIX
from ndicloudfs.writeback import Entry as Pending
from ndicloudfs.writeback import Kind as Work

# What the server lets one change (section 4.4); everything else it makes up itself.
EDITABLE = frozenset(
    {
        *("name", "abstract", "description", "branchName", "contributors"),
        *("correspondingAuthors", "associatedPublications", "funding", "license", "doi"),
        *("species", "brainRegions", "numberOfSubjects", "neurons", "pubMedId", "affiliation"),
    }
)


class WritableDataset(WritableFolder):
    """``<dataset>/``."""

    checks_content = True

    def __init__(self, ino: int, edits: Edits, home: Home, row: DatasetRow, mtime_ns: int) -> None:
        known_as = edits.writeback.first_id(home.dataset_id)
        area, key = edits.scratch.below(known_as), derive_ino(0, "dataset", known_as)
        super().__init__(ino, mtime_ns, edits, area, key)
        self._home = home
        self._row = row
        self._metadata = WritableMetadata(self, home, row)
        self._children: dict[str, Node] = {
            METADATA_NAME: self._metadata,
            DOCUMENTS_NAME: WritableDocuments(self, home),
            FILES_NAME: WritableFileFolders(self, home),
        }

    @property
    def home(self) -> Home:
        """The dataset."""
        return self._home

    def scope(self) -> Scope:
        return DatasetScope(self._home.dataset_id)

    def xattrs(self) -> dict[str, str]:
        return {
            "user.ndi.cloud_id": self._home.dataset_id,
            "user.ndi.dataset_id": self._home.dataset_id,
            "user.ndi.name": self._row.name,
            "user.ndi.state": state_of(self._metadata.pending()).value,
        }

    def listed(self) -> Iterator[Entry]:
        for name, node in self._children.items():
            if node.ino not in self.edits.aside:
                yield Entry(name, node.ino, node.kind)

    def named(self, name: str) -> Node | None:
        node = self._children.get(name)
        return None if node is None or node.ino in self.edits.aside else node

    def make(self, name: str) -> Editable:
        return self._metadata if name == METADATA_NAME else super().make(name)

    def move(
        self, node: Editable, session: Session | None, name: str, replaced: Editable | None
    ) -> None:
        del session, replaced
        if node is not self._metadata or not is_scratch(name):
            raise refusal(errno.EPERM, name)
        content = LocalContent(self.area.make(name))
        content.truncate(0)
        copy(node.open(), content)
        content.close()
        self.edits.aside.add(node.ino)

    def adopt(self, content: Content | OpenFile) -> Content:
        return in_memory(content)


class WritableMetadata(Editable):
    """``dataset.json``."""

    def __init__(self, folder: WritableDataset, home: Home, row: DatasetRow) -> None:
        super().__init__(derive_ino(folder.ino, METADATA_NAME), folder.key, METADATA_NAME)
        self._folder = folder
        self._home = home
        self._row = row

    def scope(self) -> Scope:
        return DatasetScope(self._home.dataset_id, Part.METADATA)

    def attributes(self) -> Attributes:
        session = self._folder.edits.sessions.of(self.session_key)
        return self.committed() if session is None else session.attributes()

    def committed(self) -> Attributes:
        size = len(self._bytes())
        return Attributes(self.ino, Kind.FILE, size, self._folder.mtime_ns, writable=True)

    def xattrs(self) -> dict[str, str]:
        return {
            "user.ndi.dataset_id": self._home.dataset_id,
            "user.ndi.state": state_of(self.pending()).value,
        }

    def open(self) -> OpenFile:
        return BytesFile(self._bytes())

    def content(self, source: OpenFile | None) -> Content:
        return in_memory(source)

    def commit(self, session: Session) -> OpenFile | None:
        content = session.written()
        if not content.size:
            return None
        data = content.read(0, content.size)
        edits = self._folder.edits
        try:
            changed, base = self._changed(parse(data))
        except Unusable as error:
            sentence = f"{METADATA_NAME} was not taken: {error}"
            edits.writeback.reject(METADATA_NAME, data, sentence)
            raise NotTaken(sentence) from error
        if changed:
            edits.writeback.change_dataset(self._home.dataset_id, changed, base)
        session.dirty = False
        edits.aside.discard(self.ino)
        return BytesFile(self._bytes())

    def ended(self, session: Session) -> bool:
        return session.size == 0

    def pending(self) -> Pending | None:
        """The newest thing that is pending about the dataset itself."""
        writeback = self._folder.edits.writeback
        if not writeback.pending_in(self._home.dataset_id):
            return None
        found = writeback.of_dataset(self._home.dataset_id)
        return found[-1] if found else None

    def _bytes(self) -> bytes:
        return pretty_json(self._fields())

    def _fields(self) -> Json:
        edits = self._folder.edits
        dataset_id = edits.writeback.dataset_id(self._home.dataset_id)
        if dataset_id.startswith(LOCAL_PREFIX):
            fields: Json = {"name": self._row.name, "organizationId": self._home.organization_id}
        else:
            fields = metadata(edits.cache.catalog.fields(dataset_id))
        if edits.writeback.pending_in(dataset_id):
            for entry in edits.writeback.of_dataset(dataset_id):
                body = edits.writeback.body(entry)
                if entry.kind is Work.DATASET_CHANGE and body is not None:
                    fields.update(json.loads(body)["fields"])
        return fields

    def _changed(self, written: Json) -> tuple[Json, Json]:
        """The fields that were changed, and what they were. Raises ``Unusable``."""
        had = self._fields()
        changed = {
            key: value
            for key, value in written.items()
            if key not in had or not _same(value, had[key])
        }
        fixed = sorted(set(changed) - EDITABLE)
        if fixed:
            raise Unusable(
                f"{fixed[0]!r} cannot be changed; what can: {', '.join(sorted(EDITABLE))}"
            )
        return changed, {key: had.get(key) for key in changed}


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


class _WritableClassFolders(WritableFolder):
    """A folder per class: what ``documents/`` and ``files/`` have in common."""

    def __init__(self, dataset: WritableDataset, home: Home, name: str) -> None:
        ino, key = derive_ino(dataset.ino, name), derive_ino(dataset.key, name)
        super().__init__(ino, dataset.mtime_ns, dataset.edits, dataset.area.below(name), key)
        self.home = home
        self._dataset_ino = dataset.ino
        self._inner: ClassFolders | None = None

    @abstractmethod
    def folders_of(self, dataset_id: str) -> ClassFolders:
        """What the server has."""

    @abstractmethod
    def folder_of(self, name: str, documents: ClassDocuments) -> Directory:
        """The folder of a class."""

    def inner(self) -> ClassFolders | None:
        """What the server has, None while it does not have the dataset."""
        if self._inner is None:
            dataset_id = self.edits.writeback.dataset_id(self.home.dataset_id)
            if dataset_id.startswith(LOCAL_PREFIX):
                return None
            self._inner = self.folders_of(dataset_id)
        return self._inner

    def scope(self) -> Scope | None:
        inner = self.inner()
        return None if inner is None else inner.scope()

    def listed(self) -> Iterator[Entry]:
        local = self._local()
        inner = self.inner()
        if inner is not None:
            for entry in inner.entries():
                local.pop(entry.name, None)
                yield entry
        for name, class_name in local.items():
            yield Entry(name, derive_ino(self.ino, class_name), Kind.DIRECTORY)

    def named(self, name: str) -> Node | None:
        inner = self.inner()
        under = None if inner is None else inner.documents_under(name)
        class_name = self._local().get(name) if under is None else under.class_name
        if class_name is None:
            return None
        return self.folder_of(name, ClassDocuments(self.edits, self.home, class_name))

    def make_folder(self, name: str) -> None:
        if is_scratch(name) or names.class_names([name], {UID_DIRECTORY}) != {name: name}:
            raise refusal(errno.EPERM, name)
        self.edits.writeback.make_class(self.home.dataset_id, name)

    def remove_folder(self, name: str, node: Directory) -> None:
        if next(node.entries(), None) is not None:
            raise refusal(errno.ENOTEMPTY, name)
        class_name = self._local().get(name)
        if class_name is not None:
            self.edits.writeback.remove_class(self.home.dataset_id, class_name)

    def _local(self) -> dict[str, str]:
        """The classes that are known here, by shown name."""
        found = self.edits.writeback.classes(self.home.dataset_id)
        return names.class_names(found, {UID_DIRECTORY}) if found else {}


class WritableDocuments(_WritableClassFolders):
    """``documents/``."""

    def __init__(self, dataset: WritableDataset, home: Home) -> None:
        super().__init__(dataset, home, DOCUMENTS_NAME)

    def folders_of(self, dataset_id: str) -> ClassFolders:
        return Documents(self._dataset_ino, self.edits.cache, dataset_id, self.mtime_ns)

    def folder_of(self, name: str, documents: ClassDocuments) -> Directory:
        del name
        ino = derive_ino(self.ino, documents.class_name)
        key = derive_ino(self.key, documents.class_name)
        area = self.area.below(documents.class_name)
        return WritableClass(ino, self.mtime_ns, area, key, documents)


class WritableFileFolders(_WritableClassFolders):
    """``files/``."""

    def __init__(self, dataset: WritableDataset, home: Home) -> None:
        super().__init__(dataset, home, FILES_NAME)

    def folders_of(self, dataset_id: str) -> ClassFolders:
        return Files(self._dataset_ino, self.edits.cache, dataset_id, self.mtime_ns)

    def named(self, name: str) -> Node | None:
        if name == UID_DIRECTORY:
            inner = self.inner()
            below = None if inner is None else inner.child(name)
            ino = derive_ino(self.ino, name)
            on_server = below if isinstance(below, Directory) else None
            return WritableUids(ino, self.mtime_ns, self.edits, self.home, on_server)
        return super().named(name)

    def folder_of(self, name: str, documents: ClassDocuments) -> Directory:
        del name
        area = self.area.below(documents.class_name)
        return WritableFileClass(self, area, documents)
