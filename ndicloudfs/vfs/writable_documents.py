"""``documents/`` as it can be written: the documents of the server, under what is pending."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path

from ndicloudfs.cache.index import DocumentName
from ndicloudfs.cache.scope import DatasetScope, Part, Scope
from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.cloud.values import is_ndi_id
from ndicloudfs.vfs import names
from ndicloudfs.vfs.bodies import Body, Defaults, Unusable, completed, parse, shown
from ndicloudfs.vfs.class_documents import ClassDocuments, is_gone, state_of
from ndicloudfs.vfs.contents import Content, LocalContent, copy, in_memory
from ndicloudfs.vfs.documents import DocumentFile, known_attributes
from ndicloudfs.vfs.nodes import (
    Attributes,
    BytesFile,
    Entry,
    Kind,
    Node,
    OpenFile,
    State,
    derive_ino,
    ino_maker,
)
from ndicloudfs.vfs.scratch import ScratchArea, ScratchFile, is_scratch
from ndicloudfs.vfs.sessions import Editable, NotTaken, Session
from ndicloudfs.vfs.writable import WritableFolder, refusal
from ndicloudfs.writeback import Entry as Pending
from ndicloudfs.writeback import Kind as Work
from ndicloudfs.writeback import Place, fingerprint
from ndicloudfs.writeback import State as Progress

log = logging.getLogger(__name__)


def is_document(name: str) -> bool:
    """Whether a file of this name in a class folder is a document."""
    return name.endswith(names.JSON_SUFFIX) and not is_scratch(name)


class WritableClass(WritableFolder):
    """``documents/<class>/``."""

    checks_content = True

    def __init__(
        self, ino: int, mtime_ns: int, area: ScratchArea, key: int, documents: ClassDocuments
    ) -> None:
        super().__init__(ino, mtime_ns, documents.edits, area, key)
        self.documents = documents

    def scope(self) -> Scope:
        return DatasetScope(
            self.documents.home.dataset_id, Part.DOCUMENTS, self.documents.class_name
        )

    def xattrs(self) -> dict[str, str]:
        return {
            "user.ndi.class": self.documents.class_name,
            "user.ndi.dataset_id": self.documents.home.dataset_id,
        }

    def listed(self) -> Iterator[Entry]:
        documents = self.documents
        pending = self.edits.writeback.documents(documents.home.dataset_id, documents.class_name)
        changed = {entry.document_id: entry for entry in pending if entry.document_id}
        new = [entry for entry in pending if not entry.document_id and entry.kind is Work.DOCUMENT]
        # Documents that were sent, or not, and not seen: the server may list them already.
        unseen = {
            entry.ndi_id
            for entry in pending
            if not entry.document_id and (entry.kind is Work.DOCUMENT or is_gone(entry))
        }
        open_for_writing = self.edits.sessions.of
        on_server = known_attributes(self.edits.cache, self.mtime_ns, writable=True)
        ino_of, file = ino_maker(self.ino), Kind.FILE
        server = documents.on_server
        for stem, row in () if server is None else server.every():
            entry = changed.pop(row.id, None) if changed else None
            if stem in unseen:
                continue  # it has just arrived
            ino = ino_of(row.id)
            known: Attributes | None
            if entry is None or entry.state is Progress.CONFLICT:
                known = on_server(ino, row)
            elif entry.kind is Work.DOCUMENT:
                known = _attributes(ino, entry)
            else:
                continue
            if open_for_writing(ino) is not None:
                known = None  # it has another size already
            yield Entry(stem + names.JSON_SUFFIX, ino, file, known)
        for entry in [*new, *changed.values()]:
            if entry.kind is Work.DOCUMENT:
                name = (entry.name or entry.ndi_id) + names.JSON_SUFFIX
                ino = self._ino(entry)
                known = None if open_for_writing(ino) else _attributes(ino, entry)
                yield Entry(name, ino, Kind.FILE, known)

    def named(self, name: str) -> Node | None:
        if not name.endswith(names.JSON_SUFFIX):
            return None
        place = self.documents.find(name.removesuffix(names.JSON_SUFFIX))
        if place is None:
            return None
        return WritableDocument(self, name, place, self._ino(place))

    def unfinished(self, name: str) -> Editable:
        return self.make(name)  # a document that waits for its content, or a scratch file

    def make(self, name: str) -> Editable:
        if not is_document(name):
            return ScratchFile(self.key, self.area, name)
        place = self.documents.place("", name=name.removesuffix(names.JSON_SUFFIX))
        return WritableDocument(self, name, place, self._ino(place))

    def remove(self, node: Editable) -> None:
        if not isinstance(node, WritableDocument):
            super().remove(node)
        else:
            self._delete(node, aside=False)

    def _delete(self, node: WritableDocument, *, aside: bool) -> None:
        if node.place.ndi_id or node.place.document_id:
            self.edits.writeback.commit_deletion(node.place, node.base(), aside=aside)
            node.tell()

    def move(
        self, node: Editable, session: Session | None, name: str, replaced: Editable | None
    ) -> None:
        if not isinstance(node, WritableDocument):
            raise refusal(errno.EPERM, name)
        sessions = self.edits.sessions
        if not is_document(name):
            aside = ScratchFile(self.key, self.area, name)
            content = LocalContent(self.area.make(name))
            content.truncate(0)
            opened = node.open()
            copy(opened, content)
            opened.close()
            content.sync()
            self._delete(node, aside=True)
            if session is None:
                content.close()
                sessions.unlinked(node.session_key, None)
            else:
                session.become(aside, content)
                sessions.moved(session, aside)
            return
        entry = node.pending()
        if replaced is not None or entry is None or not entry.is_new or entry.document_id:
            raise refusal(errno.EPERM, name)  # the name of a document is its id
        stem = name.removesuffix(names.JSON_SUFFIX)
        if self.edits.writeback.commit_document_name(entry.generation, stem) is None:
            raise refusal(errno.EPERM, name)  # it has just arrived
        node.tell()  # its files have been found under the old name
        if session is not None:
            place = self.documents.place(entry.ndi_id, name=stem)
            moved = WritableDocument(self, name, place, self._ino(place))
            session.become(moved)
            sessions.moved(session, moved)

    def adopt(self, content: Content | OpenFile) -> Content:
        return in_memory(content)

    def _ino(self, place: Place) -> int:
        if place.document_id:
            return derive_ino(self.ino, place.document_id)
        return derive_ino(self.ino, "new", place.name)


class WritableDocument(Editable):
    """``documents/<class>/<name>.json``: a document, or what is to be one."""

    def __init__(self, folder: WritableClass, name: str, place: Place, ino: int) -> None:
        super().__init__(ino, folder.key, name)
        self.place = place
        self._folder = folder
        self._documents = folder.documents
        self._edits = folder.edits
        self._changes = folder.edits.changes.get(place.dataset_id)
        # What `stat` tells, while nothing but that has been written to the journal.
        self._closed: tuple[int, Attributes] | None = None

    def current(self) -> bool:
        if self._edits.changes.get(self.place.dataset_id) is not self._changes:
            return False
        # One that was to be made, and was refused, is none.
        return self._exists() or self._edits.sessions.at(self.folder_key, self.name) is not None

    def scope(self) -> Scope:
        return DatasetScope(
            self.place.dataset_id, Part.DOCUMENTS, self.place.class_name, self.place.document_id
        )

    def attributes(self) -> Attributes:
        session = self._edits.sessions.of(self.session_key)
        return self.committed() if session is None else session.attributes()

    def committed(self) -> Attributes:
        if self._closed is not None and self._closed[0] == self._edits.writeback.writes:
            return self._closed[1]
        entry = self._shown()
        if entry is not None:
            return _attributes(self.ino, entry)
        server = self._on_server()
        if server is not None:
            attributes = server.attributes()
            return Attributes(
                self.ino, Kind.FILE, attributes.size, attributes.mtime_ns, writable=True
            )
        if self._folder.area.has(self.name):
            return Attributes(self.ino, Kind.FILE, 0, self._folder.mtime_ns, writable=True)
        raise refusal(errno.ENOENT, self.name)

    def xattrs(self) -> dict[str, str]:
        entry = self.pending()
        server = None if entry is not None and not entry.document_id else self._on_server()
        found = {} if server is None else server.xattrs()
        state = State.PENDING if entry is None and server is None else state_of(entry)
        found.update(
            {
                "user.ndi.class": self.place.class_name,
                "user.ndi.dataset_id": self.place.dataset_id,
                "user.ndi.state": state.value,
            }
        )
        if self.place.ndi_id:
            found["user.ndi.id"] = self.place.ndi_id
        return found

    def open(self) -> OpenFile:
        opened = self._open()
        self._edits.seen[self.ino] = opened.data
        return opened

    def content(self, source: OpenFile | None) -> Content:
        return in_memory(source)

    def commit(self, session: Session) -> OpenFile | None:
        content = session.written()
        if not content.size:
            # A shell empties a file before it writes: there is nothing yet to keep or to refuse.
            if not self._exists():
                self._folder.area.make(self.name)
            return None
        data = content.read(0, content.size)
        try:
            body = self._body(data)
        except Unusable as error:
            sentence = f"{self.name} was not taken as a document: {error}"
            self._reject(session, data, sentence)
            raise NotTaken(sentence) from error
        self._keep(body)
        session.dirty = False
        self._accept(session)
        self._folder.area.remove(self.name)
        return BytesFile(body.data)

    def ended(self, session: Session) -> bool:
        # It was emptied and waits for its content: until then it is seen as empty.
        return session.size == 0 and self._exists()

    def pending(self) -> Pending | None:
        """What is pending about the document."""
        if not self._documents.pending or not (self.place.ndi_id or self.place.document_id):
            return None
        return self._edits.writeback.document(self.place)

    def base(self) -> str:
        """The fingerprint of what somebody has seen of the document, ``""`` where nobody has."""
        data = self._edits.seen.get(self.ino)
        if data is None:
            server = self._on_server()
            try:
                opened = None if server is None else server.open()
            except CloudError as error:
                log.info("%s is changed without having been read: %s", self.name, error)
                return ""
            data = None if opened is None else opened.read(0, opened.size or 0)
        return "" if data is None else fingerprint(data)

    def tell(self) -> None:
        """Whoever believes something of the document, under whatever name, is to ask again."""
        name = DocumentName(self.place.document_id, self.place.ndi_id)
        self._edits.cache.changes.tell(self.place.dataset_id, [name])

    def _shown(self) -> Pending | None:
        entry = self.pending()
        if entry is None:
            return None
        if is_gone(entry):
            raise refusal(errno.ENOENT, self.name)
        # What somebody else has made of it is what there is to go on with; the other version is in
        # conflicts/.
        conflict = entry.state is Progress.CONFLICT or entry.kind is Work.DELETION
        return None if conflict and self._on_server() is not None else entry

    def _open(self) -> BytesFile:
        entry = self._shown()
        data = None if entry is None else self._edits.writeback.body(entry)
        if entry is not None and data is not None:
            return BytesFile(data, identity=f"journal/{entry.generation}")
        server = self._on_server()
        if server is not None:
            return server.open()
        if self._folder.area.has(self.name):
            return BytesFile(b"")
        raise refusal(errno.ENOENT, self.name)

    def _on_server(self) -> DocumentFile | None:
        documents = self._documents.on_server
        place = self.place
        if documents is None:
            return None
        document_id: str | None = place.document_id
        if not document_id:
            document_id = documents.find(place.ndi_id) if place.ndi_id else None
        if not document_id:
            return None
        return DocumentFile(
            self._folder.ino,
            self._edits.cache,
            documents.dataset_id,
            document_id,
            self._folder.mtime_ns,
        )

    def _exists(self) -> bool:
        return bool(self.place.ndi_id or self.place.document_id)

    def _body(self, data: bytes) -> Body:
        """What was written as it will be. Raises ``Unusable``."""
        place = self.place
        named = place.name if not place.ndi_id and is_ndi_id(place.name) else ""
        defaults = Defaults(
            place.class_name,
            place.ndi_id or named,
            _session_id(place.dataset_id),
            self._folder.now(),
        )
        given = parse(data)
        base = given.get("base")
        stated = base.get("id") if isinstance(base, dict) else None
        body = shown(
            completed(given, defaults),
            place.dataset_id,
            place.class_name,
            unheard_of=not (stated or defaults.ndi_id),
        )
        if place.ndi_id and body.ndi_id != place.ndi_id:
            raise Unusable(f"its base.id is {body.ndi_id!r}; the id of a document never edits")
        if stated and not self._exists():
            other = self._documents.find(body.ndi_id)
            if other is not None:
                raise Unusable(f"there is a document with its base.id {body.ndi_id!r} already")
        return body

    def _keep(self, body: Body) -> None:
        new = not self._exists()
        if not new:
            current = self._shown()
            had = None if current is None else self._edits.writeback.body(current)
            if had == body.data or (had is None and self._is_on_server(body.data)):
                return
        place = self._documents.place(
            self.place.ndi_id or body.ndi_id, self.place.document_id, self.place.name
        )
        base = "" if new else self.base()
        writeback = self._edits.writeback
        writes = writeback.writes
        entry = writeback.commit_document(
            place, body.data, base, body.mtime_ns, unheard_of=body.unheard_of
        )
        self.place = place
        # Tools look at what they have just closed.
        self._closed = (writes + 1, _attributes(self.ino, entry))
        self._edits.seen[self.ino] = body.data
        if not new:
            self.tell()

    def _is_on_server(self, data: bytes) -> bool:
        server = self._on_server()
        try:
            return server is not None and server.open().data == data
        except CloudError:
            return False

    def _reject(self, session: Session, data: bytes, sentence: str) -> None:
        self._accept(session)
        session.rejected = str(self._edits.writeback.reject(self.name, data, sentence))
        if not self._exists():
            self._folder.area.remove(self.name)

    def _accept(self, session: Session) -> None:
        """Take back what was refused of this file while it was half written."""
        if session.rejected:
            self._edits.writeback.take_back(Path(session.rejected))
            session.rejected = ""


def _attributes(ino: int, entry: Pending) -> Attributes:
    return Attributes(ino, Kind.FILE, entry.size, entry.mtime_ns, writable=True)


@cache
def _session_id(dataset_id: str) -> str:
    """The session of documents that are written without one: one for each dataset."""
    digest = sha256(dataset_id.encode()).hexdigest()
    return f"{digest[:16]}_{digest[16:32]}"
