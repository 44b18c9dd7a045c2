"""Changing documents that the server has: fetch, compare, send, see.

The server has no versions (section 5.4): what it shows must be what was edited, or what was sent
before, or nothing is overwritten. A change of the files alone is made to whatever it shows.
"""

from __future__ import annotations

import logging
from functools import partial

from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.errors import CloudError, Refused
from ndicloudfs.cloud.values import Document
from ndicloudfs.writeback import lookup
from ndicloudfs.writeback.context import Context
from ndicloudfs.writeback.entries import ANYTHING, Entry, Kind, State
from ndicloudfs.writeback.fingerprints import fingerprint
from ndicloudfs.writeback.sending import in_parallel, mark_sent
from ndicloudfs.writeback.work import Work

log = logging.getLogger(__name__)

_FILES = "files"
CHANGED = "Somebody else changed the document meanwhile"
THERE = "Somebody else made a document with the same id"
DELETED = "The document was deleted on the server meanwhile"


class EditSender:
    """Changes documents of one dataset whose cloud ids are known."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def send(self, dataset_id: str, works: list[Work]) -> list[Work]:
        """Change the documents; gives the works that are none of ours: without a cloud id."""
        mine = [work for work in works if work.document_id]
        others = [work for work in works if not work.document_id]
        context = self._context
        pauses = context.pauses(context.timing.doubt)
        while mine:
            shown = self._fetch(dataset_id, mine)
            ready: list[Work] = []
            doubtful: list[tuple[Work, str]] = []
            for work in mine:
                document = shown.get(work.document_id)
                known = work.main.expected if work.main is not None else ()
                if document is None:
                    doubtful.append((work, DELETED))
                elif self._aimed(work, document):
                    ready.append(work)
                else:
                    doubtful.append((work, CHANGED if known else THERE))
            self._bring(dataset_id, ready, shown)
            mine = [work for work, _ in doubtful]
            if mine and not pauses.more():
                if not context.stopping.is_set():
                    others += self._decide(doubtful, shown)
                break
        return others

    def _fetch(self, dataset_id: str, works: list[Work]) -> dict[str, Document]:
        context = self._context
        found = lookup.fetch(context.cloud, dataset_id, [work.document_id for work in works])
        context.line.worked()
        return found

    def _aimed(self, work: Work, document: Document) -> bool:
        """Work out what the server is to show; whether that may take the place of ``document``."""
        if work.main is None or work.body is None:
            work.aim(document.body)
            return True
        work.aim(work.body)
        known = (*work.main.expected, work.mark)
        if ANYTHING in known or fingerprint(document.body) in known:
            return True
        # Other files in the document, and nothing else: those who edited its text did not mean
        # to take them away.
        as_before = {key: value for key, value in document.body.items() if key != _FILES}
        if _FILES in work.body:
            as_before[_FILES] = work.body[_FILES]
        if fingerprint(as_before) not in known:
            return False
        merged = {key: value for key, value in work.body.items() if key != _FILES}
        if _FILES in document.body:
            merged[_FILES] = document.body[_FILES]
        work.aim(merged)
        return True

    def _decide(self, doubtful: list[tuple[Work, str]], shown: dict[str, Document]) -> list[Work]:
        """Park what is still in doubt; gives what makes a document anew."""
        context, anew = self._context, []
        for work, reason in doubtful:
            if reason == DELETED and _makes_anew(work):
                # The journal has to know: once sent, it would look like a change of what is gone.
                context.journal.begin_anew(work.entries)
                work.begin_anew()
                anew.append(work)
            elif work.main is not None:
                context.conflict(work.main, reason, shown.get(work.document_id))
            else:
                for entry in work.edits:
                    context.reject(entry, "The document of this file is not on the server")
        return anew

    def _bring(self, dataset_id: str, works: list[Work], shown: dict[str, Document]) -> None:
        """Send what is not there yet, and see it."""
        done = [work for work in works if _shows(work, shown)]
        self._finish(dataset_id, done, shown)
        context = self._context
        missing = mark_sent(context, [work for work in works if not _shows(work, shown)])
        sent: list[Work] = []
        unclear: dict[int, CloudError] = {}

        def call(work: Work) -> str:
            context.cloud.documents.update(dataset_id, work.document_id, work.target)
            return ""

        for work, outcome in in_parallel(context, missing, call):
            if isinstance(outcome, CloudError):
                if isinstance(outcome, Refused):
                    for entry in work.entries:
                        context.reject(entry, str(outcome))
                    continue
                if not outcome.retryable:
                    context.later(work.entries, outcome)
                    continue
                context.line.failed(outcome)
                unclear[id(work)] = outcome
            sent.append(work)
        for work in self._see(dataset_id, sent):
            if id(work) in unclear:
                context.later(work.entries, unclear[id(work)])
            else:
                context.not_seen(work.entries)

    def _see(self, dataset_id: str, works: list[Work]) -> list[Work]:
        """Wait until the server shows them; gives those that it does not."""
        context, left = self._context, works
        pauses = context.pauses(context.timing.patience)
        while left:
            shown = self._fetch(dataset_id, left)
            self._finish(dataset_id, [work for work in left if _shows(work, shown)], shown)
            left = [work for work in left if not _shows(work, shown)]
            if left and not pauses.more():
                break
        return left

    def _finish(self, dataset_id: str, works: list[Work], shown: dict[str, Document]) -> None:
        context = self._context
        for work in works:
            document = shown[work.document_id]
            context.tell(partial(context.arrivals.document_stored, dataset_id, document))
        context.finish((work.entries, work.document_id) for work in works)


def _makes_anew(work: Work) -> bool:
    """Whether it is a whole document, and was made without one that the server had then."""
    return work.main is not None and (not work.main.expected or ANYTHING in work.main.expected)


def _shows(work: Work, shown: dict[str, Document]) -> bool:
    document = shown.get(work.document_id)
    return document is not None and fingerprint(document.body) == work.mark


def over_theirs(cloud: NdiCloud, entry: Entry) -> dict[str, object]:
    """What to note of an entry so that it may take the place of what the server shows now."""
    again: dict[str, object] = {
        "state": State.PENDING,
        "reason": "",
        "due_at": 0.0,
        "tries": 0,
        "sends": 0,
    }
    if entry.kind is Kind.DATASET_CHANGE:
        return {**again, "expected": (ANYTHING,)}
    document_id = entry.document_id
    if not document_id:
        found = lookup.find(cloud, entry.dataset_id, {entry.ndi_id: entry.class_name})
        document_id = next((row.id for row in found.get(entry.ndi_id, [])), "")
    shown = lookup.fetch(cloud, entry.dataset_id, [document_id]) if document_id else {}
    if document_id not in shown:  # it is not there any more: made anew
        return {**again, "document_id": "", "is_new": True, "expected": ()}
    seen = fingerprint(shown[document_id].body)
    return {**again, "document_id": document_id, "expected": (*entry.expected, seen)}
