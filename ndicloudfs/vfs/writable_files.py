"""``files/`` as it can be written: the files that documents name, with what is pending."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from ndicloudfs.cache.index import DocumentRow
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


@dataclass(slots=True)
class _Shown:
    """What was found of the files of a document, which stays right as long as ``basis`` does."""

    basis: tuple[int, bytes | None]  # revision of the journal, digest of the server's body
    mtime_ns: int | None
    generation: int = 0  # of the last entry that is in it
    linked: list[Linked] = field(default_factory=list)
    by_name: dict[str, tuple[int, Linked]] = field(default_factory=dict)
    uids: set[str] = field(default_factory=set)
    _file_names: names.FileNames = field(default_factory=names.FileNames)

    def add(self, item: Linked) -> None:
        """Add a file behind all others."""
        name = self._file_names.add(item.link.name, item.link.uid)
        self.by_name[name] = (len(self.linked), item)
        self.linked.append(item)
        self.uids.add(item.link.uid)


class DocumentFiles:
    """The files of one document as they are with what is pending. Used by any thread.

    What was found is kept, and a file that was added is added to it: with 500 files to be sent of
    one document each request had read, and parsed, 500 entries several times.
    """

    def __init__(self, documents: ClassDocuments, place: Place) -> None:
        self.documents = documents
        self.place = place
        self._lock = threading.Lock()
        self._shown: _Shown | None = None
        self._known: tuple[int, Pending | None, str] | None = None

    def entry(self) -> Pending | None:
        """The document's pending body."""
        return self._document()[1]

    def all(self) -> list[Linked]:
        """Every file, in the document's order."""
        return list(self._current().linked)

    def by_name(self) -> dict[str, tuple[int, Linked]]:
        """The files by shown name, with their position in the document."""
        return dict(self._current().by_name)

    def named(self, name: str) -> tuple[int, Linked] | None:
        """The file that is shown as ``name``, with its position in the document."""
        return self._current().by_name.get(name)

    def mtime_ns(self) -> int | None:
        """The document's time."""
        return self._current().mtime_ns

    def _current(self) -> _Shown:
        revision, known = self._looked()
        if revision != self.documents.edits.writeback.revision:
            # What has arrived meanwhile was not on the server before, and has left the journal.
            _, known = self._looked()
        return known

    def _looked(self) -> tuple[int, _Shown]:
        """The journal's revision before a look, and what was found."""
        revision, entry, document_id = self._document()
        server, row = self.documents.on_server, None
        pending = entry is not None and entry.kind is Work.DOCUMENT
        if not pending and document_id and server is not None:
            row = server.cache.bodies.described(server.dataset_id, document_id)
        basis = (revision, None if row is None else row.digest)
        known = self._shown
        if known is None or known.basis != basis:
            known = self._found(basis, entry, row)
        with self._lock:
            if not self._add_new(known):
                known = self._found(basis, entry, row)
            self._shown = known
        return revision, known

    def _document(self) -> tuple[int, Pending | None, str]:
        """The journal's revision, what is pending of the document, its cloud id or ``""``."""
        documents, writeback = self.documents, self.documents.edits.writeback
        revision = writeback.revision  # before what is read
        known = self._known
        if known is None or known[0] != revision:
            entry = writeback.document(self.place) if documents.pending else None
            document_id = self.place.document_id
            if not document_id:
                found = documents.find(self.place.ndi_id)
                document_id = "" if found is None else found.document_id
            known = self._known = (revision, entry, document_id)
        return known

    def _found(
        self, basis: tuple[int, bytes | None], entry: Pending | None, row: DocumentRow | None
    ) -> _Shown:
        documents = self.documents
        server = documents.on_server
        mtime_ns, links = None if row is None else row.mtime_ns, []
        body = None
        if entry is not None and entry.kind is Work.DOCUMENT:
            mtime_ns = entry.mtime_ns
            body = documents.edits.writeback.body(entry)
        if body is not None:
            place = self.place
            links = list(shown(parse(body), place.dataset_id, place.class_name).files)
        elif row is not None and server is not None:
            links = server.cache.bodies.files(server.dataset_id, row.id)
        linked, generation = [Linked(link) for link in links], 0
        for change in documents.edits.writeback.files(self.place):
            linked, generation = _changed(linked, change), change.generation
        found = _Shown(basis, mtime_ns, generation)
        for item in linked:
            found.add(item)
        return found

    def _add_new(self, known: _Shown) -> bool:
        """Add the files that came since; False where something else has just come as well."""
        writeback = self.documents.edits.writeback
        for entry in writeback.files_after(self.place, known.generation):
            if entry.kind is Work.DETACHMENT or entry.replaces or entry.uid in known.uids:
                return False
            known.add(Linked(FileLink(entry.name, entry.uid), entry))
            known.generation = entry.generation
        return True


def _changed(linked: list[Linked], entry: Pending) -> list[Linked]:
    """The files after an attachment or a detachment."""
    known = {entry.uid, *entry.replaces}
    if entry.kind is Work.DETACHMENT:
        return [item for item in linked if item.link.uid not in known]
    item = Linked(FileLink(entry.name, entry.uid), entry)
    at = next((number for number, one in enumerate(linked) if one.link.uid in known), None)
    if at is None:
        linked.append(item)
    else:
        linked[at] = item
    return linked


class WritableFileClass(WritableFolder):
    """``files/<class>/``: a folder for each document that has files, and for every other if asked.

    Only documents that have files are listed.
    """

    def __init__(
        self, parent: WritableFolder, area: ScratchArea, documents: ClassDocuments
    ) -> None:
        """``parent``: ``files/``."""
        ino = derive_ino(parent.ino, documents.class_name)
        key = derive_ino(parent.key, documents.class_name)
        super().__init__(ino, parent.mtime_ns, documents.edits, area, key)
        self._parent = parent.ino
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
        new = {place.ndi_id: ino for ino, place in touched.items() if not place.document_id}
        inner = self._inner
        for entry in iter(()) if inner is None else inner.entries():
            if entry.ino in touched:
                shown_names[entry.ino] = entry.name
            elif entry.name in new:  # it has just arrived
                body = DocumentFiles(documents, touched.pop(new.pop(entry.name))).entry()
                if body is None or not is_gone(body):
                    yield entry
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
        known_as = self._documents.key(place)
        area, key = self.area.below(known_as), derive_ino(self.key, known_as)
        files = DocumentFiles(self._documents, place)
        return WritableFiles(ino, self.mtime_ns, area, key, files)


class WritableFiles(WritableFolder):
    """``files/<class>/<ndi id>/``: the files of one document."""

    def __init__(
        self, ino: int, default_ns: int, area: ScratchArea, key: int, files: DocumentFiles
    ) -> None:
        super().__init__(ino, default_ns, files.documents.edits, area, key)
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

    def listed(self) -> Iterator[Entry]:
        for name, (position, _) in self.files.by_name().items():
            ino = derive_ino(self.ino, str(position))
            yield Entry(name, ino, Kind.FILE)

    def named(self, name: str) -> Node | None:
        found = self.files.named(name)
        if found is None:
            return None
        position, item = found
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
        # By its uid: under its name there is the other file in a moment.
        other = replaced.item() if isinstance(replaced, WritableFile) else None
        writeback.commit_file_name(self.files.place, item.link.uid, name, size)
        if other is not None:
            writeback.commit_detachment(self.files.place, other.link.name, other.link.uid)
        elif replaced is not None:
            self.remove(replaced)
        sessions = self.edits.sessions
        moved = WritableFile(self, name, derive_ino(self.ino, "new", name), None)
        if session is None:
            sessions.unlinked(node.session_key, None)
            sessions.unlinked(moved.session_key, sessions.of(moved.session_key))
        else:
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
        super().__init__(ino, folder.key, name)
        self._folder = folder
        self._edits = folder.edits
        self._found = item

    def scope(self) -> Scope:
        place = self._folder.files.place
        uid = "" if self._found is None else self._found.link.uid
        return DatasetScope(place.dataset_id, Part.FILES, place.class_name, place.document_id, uid)

    @property
    def session_key(self) -> int:
        # Not its inode number: its position changes where files before it come or go.
        return derive_ino(self.folder_key, "open", self.name)

    def item(self) -> Linked | None:
        """The file as it is now, None where it is gone or not there yet."""
        found = self._folder.files.named(self.name)
        return None if found is None else found[1]

    def attributes(self) -> Attributes:
        session = self._edits.sessions.of(self.session_key)
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
