"""What is to be done about one document: its entries taken together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from ndicloudfs.cloud.values import Json
from ndicloudfs.writeback.attachments import with_files
from ndicloudfs.writeback.entries import Entry, Kind
from ndicloudfs.writeback.fingerprints import fingerprint


@dataclass(slots=True)
class Work:
    """One document: at most one new body or deletion, and changes of its files.

    ``document_id`` is found out on the way; ``target`` is what the server is to show.
    """

    main: Entry | None
    edits: list[Entry] = field(default_factory=list)
    document_id: str = ""
    body: Json | None = None
    target: Json = field(default_factory=dict)
    mark: str = ""  # the fingerprint of target

    @property
    def entries(self) -> list[Entry]:
        """All its entries."""
        return [*([self.main] if self.main else []), *self.edits]

    @property
    def one(self) -> Entry:
        """Any of them, for what they have in common."""
        return self.main or self.edits[0]

    @property
    def deletes(self) -> bool:
        """Whether the document is to go."""
        return self.main is not None and self.main.kind is Kind.DELETION

    def begin_anew(self) -> None:
        """Its document is gone from the server: it makes another one."""
        self.document_id = ""
        if self.main is not None:
            self.main = replace(self.main, document_id="", is_new=True)
        self.edits = [replace(edit, document_id="") for edit in self.edits]

    def aim(self, base: Json) -> None:
        """Set what the server is to show: ``base`` with the changes of the files."""
        self.target = with_files(base, self.edits, self.one.dataset_id)
        self.mark = fingerprint(self.target)


def grouped(entries: Iterable[Entry]) -> list[Work]:
    """The works of one dataset, in order; what must wait for an earlier one is left out."""
    works: dict[str, list[Work]] = {}
    for entry in entries:
        same = works.setdefault(entry.ndi_id or entry.document_id, [])
        work = next((one for one in same if one.one.same_document(entry)), None)
        is_main = entry.kind in (Kind.DOCUMENT, Kind.DELETION)
        if work is None:
            same.append(Work(entry) if is_main else Work(None, [entry]))
        elif not is_main:
            if not work.deletes:
                work.edits.append(entry)
        elif work.main is None:
            work.main = entry
        # else: a document that is made again after its deletion; next time
    found = [work for same in works.values() for work in same]
    for work in found:
        work.document_id = next((one.document_id for one in work.entries if one.document_id), "")
    return found
