"""The documents of a class as they are with what is pending, and what a user is told of that."""

from __future__ import annotations

from ndicloudfs.vfs.documents import DocumentClass
from ndicloudfs.vfs.nodes import State
from ndicloudfs.vfs.writable import Edits, Home
from ndicloudfs.writeback import LOCAL_PREFIX, Place
from ndicloudfs.writeback import Entry as Pending
from ndicloudfs.writeback import Kind as Work
from ndicloudfs.writeback import State as Progress


class ClassDocuments:
    """The documents of one class as they are with what is pending, wherever they are shown."""

    def __init__(self, edits: Edits, home: Home, class_name: str) -> None:
        self.edits = edits
        self.home = home
        self.class_name = class_name

    def place(self, ndi_id: str, document_id: str = "", name: str = "") -> Place:
        """A document of the class."""
        home = self.home
        return Place(
            home.dataset_id, home.organization_id, self.class_name, ndi_id, document_id, name
        )

    def key(self, place: Place) -> str:
        """What a document is known by before the server has it and after: its ndi id.

        Of several that have the same one, only the first is made here.
        """
        if not (place.ndi_id and place.document_id):
            return place.ndi_id or place.document_id
        server = self.on_server
        first = None if server is None else server.first(place.ndi_id)
        return place.ndi_id if first in (None, place.document_id) else place.document_id

    @property
    def on_server(self) -> DocumentClass | None:
        """The documents that the server has; None while it does not have the dataset."""
        dataset_id = self.edits.writeback.dataset_id(self.home.dataset_id)
        if dataset_id.startswith(LOCAL_PREFIX):
            return None
        return DocumentClass(self.edits.cache, dataset_id, self.class_name)

    @property
    def pending(self) -> bool:
        """Whether anything is pending in the dataset."""
        return self.edits.writeback.pending_in(self.home.dataset_id)

    def find(self, stem: str) -> Place | None:
        """The document that is shown as ``stem``, or has it as an id or had it as its name."""
        writeback = self.edits.writeback
        if self.pending:
            entry = writeback.named(self.home.dataset_id, self.class_name, stem)
            if entry is not None:
                return (
                    None
                    if is_gone(entry)
                    else self.place(entry.ndi_id, entry.document_id, entry.name)
                )
        server = self.on_server
        document_id = None if server is None else server.find(stem)
        if document_id is None:
            made = writeback.alias(self.home.dataset_id, self.class_name, stem)
            if made is None:
                return None
            found = self.place(made[0], made[1], stem)
        else:
            found = self.place(self._ndi_id(document_id), document_id, stem)
        entry = writeback.document(found) if self.pending else None
        if server is not None and document_id is None and entry is None:
            # Made here once; somebody else may have deleted it.
            return None if server.find(found.document_id) is None else found
        return None if entry is not None and is_gone(entry) else found

    def _ndi_id(self, document_id: str) -> str:
        dataset_id = self.edits.writeback.dataset_id(self.home.dataset_id)
        row = self.edits.cache.catalog.known_document(dataset_id, document_id)
        return "" if row is None else row.ndi_id


def is_gone(entry: Pending) -> bool:
    """Whether the document is to go, and nobody has changed it meanwhile."""
    return entry.kind is Work.DELETION and entry.state is not Progress.CONFLICT


def state_of(entry: Pending | None) -> State:
    """The state that a user is told."""
    if entry is None:
        return State.CLEAN
    if entry.state is Progress.PENDING and entry.sent_at is not None:
        return State.UPLOADING
    return State(entry.state.value)
