"""Journal entries: what somebody did in the mount and the server does not show yet."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Kind(str, Enum):
    """What an entry asks of the server."""

    DOCUMENT = "document"  # a new document or a new body
    DELETION = "deletion"  # of a document
    ATTACHMENT = "attachment"  # a file that a document is to name, or its new name
    DETACHMENT = "detachment"  # a file that a document is to name no longer
    DATASET = "dataset"  # a new one
    DATASET_CHANGE = "dataset change"
    DATASET_DELETION = "dataset deletion"


class State(str, Enum):
    """How far an entry is. An entry that is done is no longer in the journal."""

    PENDING = "pending"
    UPLOADING = "uploading"  # sent, and not yet seen on the server
    CONFLICT = "conflict"  # somebody else changed the document; waits for a decision
    REJECTED = "rejected"  # the server refuses it for good; waits for a decision


# In the place of a fingerprint: whatever the server shows may be replaced.
ANYTHING = "*"
PARKED = (State.CONFLICT, State.REJECTED)


@dataclass(frozen=True, slots=True)
class Place:
    """The document that an entry is about.

    ``document_id`` is ``""`` while the server has none; ``name`` is the name it was written
    under, without ``.json``.
    """

    dataset_id: str
    organization_id: str
    class_name: str
    ndi_id: str
    document_id: str = ""
    name: str = ""

    def same_document(self, other: Place) -> bool:
        """Whether both are about one document: by cloud id where both know it, else by ndi id."""
        if self.dataset_id != other.dataset_id:
            return False
        if self.document_id and other.document_id:
            return self.document_id == other.document_id
        return bool(self.ndi_id) and self.ndi_id == other.ndi_id


@dataclass(frozen=True, slots=True)
class Scope:
    """A part of the queue: everything, or of a dataset, a class in it, a document in that."""

    dataset_id: str = ""
    class_name: str = ""
    ndi_id: str = ""


@dataclass(frozen=True, slots=True)
class Entry(Place):
    """A row of the journal.

    ``generation`` grows: of two entries for one thing the larger counts. ``name`` is that of the
    file where the entry is about one; ``size`` is in bytes, ``queued_at``, ``sent_at`` and
    ``due_at`` in seconds of the epoch. What the server may show before the entry has had its
    effect is in ``expected``: fingerprints of bodies.
    """

    generation: int = 0
    kind: Kind = Kind.DOCUMENT
    state: State = State.PENDING
    uid: str = ""
    size: int = 0
    mtime_ns: int = 0
    reason: str = ""
    queued_at: float = 0.0
    expected: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()  # uids that the file of this entry stands for
    staged: bool = False  # its bytes are in staging
    arrived: bool = False  # its bytes were seen on the server
    sent_at: float | None = None
    sends: int = 0  # how often it was sent
    is_new: bool = False  # it makes a document rather than changing one
    job: str = ""  # the bulk upload that brings its bytes
    tries: int = 0  # failures in a row
    due_at: float = 0.0  # not tried again before
