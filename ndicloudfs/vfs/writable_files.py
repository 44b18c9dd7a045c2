"""``files/`` as it can be written: the files that documents name, with what is pending."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass

from ndicloudfs.cache.rendering import FileLink
from ndicloudfs.cache.scope import DatasetScope, Part, Scope
from ndicloudfs.vfs import names
from ndicloudfs.vfs.bodies import parse, shown
from ndicloudfs.vfs.class_documents import ClassDocuments, is_gone, state_of
from ndicloudfs.vfs.contents import Content, LocalFile, StagedContent, copy
from ndicloudfs.vfs.files import DataFile, FileClass, Located
from ndicloudfs.vfs.nodes import (
    Attributes,
    Entry,
    Kind,
    Node,
    OpenFile,
    State,
    derive_ino,
)
from ndicloudfs.vfs.scratch import ScratchArea, is_scratch
from ndicloudfs.vfs.sessions import Editable, Session
from ndicloudfs.vfs.writable import WritableFolder, refusal
from ndicloudfs.writeback import Entry as Pending
from ndicloudfs.writeback import Kind as Work
from ndicloudfs.writeback import Place
from ndicloudfs.writeback import Scope as PendingScope


@dataclass(frozen=True, slots=True)
class Linked:
    """A file of a document; ``entry`` is what is pending about it."""

    link: FileLink
    entry: Pending | None = None


class DocumentFiles:
    """The files of one document as they are with what is pending."""

    def __init__(self, documents: ClassDocuments, place: Place) -> None:
        self.documents = documents
        self.place = place

    def entry(self) -> Pending | None:
        """The document's pending body."""
        documents = self.documents
        return documents.edits.writeback.document(self.place) if documents.pending else None

    def all(self) -> list[Linked]:
        """Every file, in the document's order."""
        linked = [Linked(link) for link in self._named()]
        if not self.documents.pending:
            return linked
        for entry in self.documents.edits.writeback.files(self.place):
            at = next(
                (
                    number
                    for number, item in enumerate(linked)
                    if item.link.uid == entry.uid or item.link.uid in entry.replaces
                ),
                None,
            )
            if entry.kind is Work.DETACHMENT:
                linked = [
                    item
                    for item in linked
                    if item.link.uid != entry.uid and item.link.uid not in entry.replaces
                ]
                continue
            item = Linked(FileLink(entry.name, entry.uid), entry)
            if at is None:
                linked.append(item)
            else:
                linked[at] = item
        return linked

    def mtime_ns(self) -> int | None:
        """The document's time."""
        entry = self.entry()
        if entry is not None and entry.kind is Work.DOCUMENT:
            return entry.mtime_ns
        server, document_id = self.documents.on_server, self.document_id()
        if server is None or not document_id:
            return None
        return server.cache.bodies.described(server.dataset_id, document_id).mtime_ns

    def document_id(self) -> str:
        """The document's cloud id, ``""`` while it has none."""
        if self.place.document_id:
            return self.place.document_id
        found = self.documents.find(self.place.ndi_id)
        return "" if found is None else found.document_id

    def _named(self) -> list[FileLink]:
        """The files that the document itself names."""
        entry = self.entry()
        body = None
        if entry is not None and entry.kind is Work.DOCUMENT:
            body = self.documents.edits.writeback.body(entry)
        if body is not None:
            place = self.place
            return list(shown(parse(body), place.dataset_id, place.class_name).files)
        server, document_id = self.documents.on_server, self.document_id()
        if server is None or not document_id:
            return []
        return server.cache.bodies.files(server.dataset_id, document_id)


class WritableFileClass(WritableFolder):
    """``files/<class>/``: a folder for each document that has files, and for every other if asked.

    Only documents that have files are listed.
    """

    def __init__(
        self, parent: int, mtime_ns: int, area: ScratchArea, documents: ClassDocuments
    ) -> None:
        """``parent``: inode number of ``files/``."""
        ino = derive_ino(parent, documents.class_name)
        super().__init__(ino, mtime_ns, documents.edits, area)
        self._parent = parent
        self._documents = documents

    @property
    def _inner(self) -> FileClass | None:
        """What the server has of it; None while it does not have the dataset."""
        server = self._documents.on_server
        return None if server is None else FileClass(self._parent, server, self.mtime_ns)

    def scope(self) -> Scope | None:
        inner = self._inner
        return None if inner is None else inner.scope()

    def xattrs(self) -> dict[str, str]:
        inner = self._inner
        return {} if inner is None else inner.xattrs()

    def listed(self) -> Iterator[Entry]:
        documents = self._documents
        touched = self._touched()
        shown_names = {
            ino: place.ndi_id if place.document_id or not place.name else place.name
            for ino, place in touched.items()
        }
        inner = self._inner
        for entry in iter(()) if inner is None else inner.entries():
            if entry.ino in touched:
                shown_names[entry.ino] = entry.name
            else:
                yield entry
        for ino, place in touched.items():
            files = DocumentFiles(documents, place)
            body = files.entry()
            if (body is None or not is_gone(body)) and files.all():
                yield Entry(shown_names[ino], ino, Kind.DIRECTORY)

    def _touched(self) -> dict[int, Place]:
        """The documents that something is pending about, by the inode number of their folder."""
        documents = self._documents
        if not documents.pending:
            return {}
        found: dict[int, Place] = {}
        scope = PendingScope(documents.home.dataset_id, documents.class_name)
        for entry in documents.edits.writeback.queue(scope):
            if entry.ndi_id or entry.document_id:
                ino = derive_ino(self.ino, entry.document_id or entry.ndi_id)
                name = entry.name if entry.kind is Work.DOCUMENT else ""
                if name or ino not in found:
                    found[ino] = documents.place(entry.ndi_id, entry.document_id, name)
        return found

    def named(self, name: str) -> Node | None:
        place = self._documents.find(name)
        if place is None:
            return None
        ino = derive_ino(self.ino, place.document_id or place.ndi_id)
        area = self.area.below(place.ndi_id or place.document_id)
        files = DocumentFiles(self._documents, place)
        return WritableFiles(ino, self.mtime_ns, area, files)


class WritableFiles(WritableFolder):
    """``files/<class>/<ndi id>/``: the files of one document."""

    def __init__(self, ino: int, default_ns: int, area: ScratchArea, files: DocumentFiles) -> None:
        super().__init__(ino, default_ns, files.documents.edits, area)
        self.files = files
        self._changes = self.edits.changes.get(files.place.dataset_id)

    def attributes(self) -> Attributes:
        return Attributes(self.ino, Kind.DIRECTORY, 0, self.document_ns(), writable=True)

    def scope(self) -> Scope:
        place = self.files.place
        return DatasetScope(place.dataset_id, Part.FILES, place.class_name, place.document_id)

    def xattrs(self) -> dict[str, str]:
        place = self.files.place
        return {
            "user.ndi.id": place.ndi_id,
            "user.ndi.class": place.class_name,
            "user.ndi.dataset_id": place.dataset_id,
            "user.ndi.state": state_of(self.files.entry()).value,
        }

    def current(self) -> bool:
        return self.edits.changes.get(self.files.place.dataset_id) is self._changes

    def linked(self) -> dict[str, tuple[int, Linked]]:
        """The files by shown name, with their position in the document."""
        found = self.files.all()
        shown_names = names.unique_file_names((item.link.name, item.link.uid) for item in found)
        return dict(zip(shown_names, enumerate(found), strict=True))

    def listed(self) -> Iterator[Entry]:
        for name, (position, _) in self.linked().items():
            ino = derive_ino(self.ino, str(position))
            yield Entry(name, ino, Kind.FILE)

    def named(self, name: str) -> Node | None:
        position, item = self.linked().get(name, (-1, None))
        if item is None:
            return None
        return WritableFile(self, name, derive_ino(self.ino, str(position)), item)

    def make(self, name: str) -> Editable:
        if is_scratch(name):
            return super().make(name)
        return WritableFile(self, name, derive_ino(self.ino, "new", name), None)

    def remove(self, node: Editable) -> None:
        if not isinstance(node, WritableFile):
            super().remove(node)
            return
        item = node.item()
        if item is not None:
            writeback = self.edits.writeback
            writeback.commit_detachment(self.files.place, item.link.name, item.link.uid)

    def move(
        self, node: Editable, session: Session | None, name: str, replaced: Editable | None
    ) -> None:
        item = node.item() if isinstance(node, WritableFile) else None
        if item is None or is_scratch(name):
            raise refusal(errno.EXDEV, name)
        size = node.committed().size
        writeback = self.edits.writeback
        writeback.commit_file_name(self.files.place, item.link.uid, name, size)
        if replaced is not None:
            self.remove(replaced)
        sessions = self.edits.sessions
        if session is None:
            sessions.unlinked(node.ino, None)
        else:
            moved = WritableFile(self, name, derive_ino(self.ino, "new", name), None)
            session.become(moved)
            sessions.moved(session, moved)

    def adopt(self, content: Content | OpenFile) -> Content:
        adopted = StagedContent(self.edits.writeback.stage())
        try:
            copy(content, adopted)
        except BaseException:
            adopted.close()
            raise
        return adopted

    def document_ns(self) -> int:
        """The document's time, epoch ns."""
        stated = self.files.mtime_ns()
        return self.mtime_ns if stated is None else stated


class WritableFile(Editable):
    """``files/<class>/<ndi id>/<name>``: a file of a document, or what is to be one."""

    def __init__(self, folder: WritableFiles, name: str, ino: int, item: Linked | None) -> None:
        """``item``: the file as it was found, None where it is to be made."""
        super().__init__(ino, folder.ino, name)
        self._folder = folder
        self._edits = folder.edits
        self._found = item

    def scope(self) -> Scope:
        place = self._folder.files.place
        uid = "" if self._found is None else self._found.link.uid
        return DatasetScope(place.dataset_id, Part.FILES, place.class_name, place.document_id, uid)

    def item(self) -> Linked | None:
        """The file as it is now, None where it is gone or not there yet."""
        _, item = self._folder.linked().get(self.name, (-1, None))
        return item

    def attributes(self) -> Attributes:
        sessions = self._edits.sessions
        session = sessions.at(self._folder.ino, self.name) or sessions.of(self.ino)
        return self.committed() if session is None else session.attributes()

    def committed(self) -> Attributes:
        item = self._item()
        size = self._size(item)
        return Attributes(self.ino, Kind.FILE, size or 0, self._folder.document_ns(), writable=True)

    def xattrs(self) -> dict[str, str]:
        item = self.item()
        if item is None:
            return {"user.ndi.state": State.PENDING.value}
        state = state_of(item.entry)
        if item.entry is None and self._size(item) is None:
            state = State.MISSING
        return self._folder.xattrs() | {
            "user.ndi.uid": item.link.uid,
            "user.ndi.name": item.link.name,
            "user.ndi.state": state.value,
        }

    def open(self) -> OpenFile:
        item = self._item()
        staged = self._edits.writeback.staged(item.link.uid) if item.entry else None
        if staged is not None:
            try:
                return LocalFile.open(staged, f"staged/{item.link.uid}")
            except FileNotFoundError:  # it has just arrived
                pass
        return self._on_server(item).open()

    def content(self, source: OpenFile | None) -> Content:
        return StagedContent(self._edits.writeback.stage(), source)

    def commit(self, session: Session) -> None:
        content = session.written()
        if not isinstance(content, StagedContent):
            raise refusal(errno.EIO, self.name)
        content.complete()
        item = self.item()
        replaces = "" if item is None else item.link.uid
        name = self.name if item is None else item.link.name
        place = self._folder.files.place
        self._edits.writeback.commit_file(place, name, content.draft, replaces)
        session.dirty = False
        self._folder.area.remove(self.name)

    def _item(self) -> Linked:
        item = self.item()
        if item is None:
            raise refusal(errno.ENOENT, self.name)
        return item

    def _size(self, item: Linked) -> int | None:
        """Number of bytes, None where there are none."""
        if item.entry is not None:
            return item.entry.size
        return self._on_server(item).size()

    def _on_server(self, item: Linked) -> DataFile:
        place = self._folder.files.place
        dataset_id = self._edits.writeback.dataset_id(place.dataset_id)
        located = Located(self._edits.cache, dataset_id, item.link.uid)
        return DataFile(self.ino, located, self._folder.mtime_ns, item.link.name, place.document_id)
