"""Deleting documents, through bulk-delete also for one: the single call has failed (#813)."""

from __future__ import annotations

import logging
from functools import partial

from ndicloudfs.writeback import lookup
from ndicloudfs.writeback.context import Context
from ndicloudfs.writeback.edits import CHANGED
from ndicloudfs.writeback.entries import ANYTHING
from ndicloudfs.writeback.fingerprints import fingerprint
from ndicloudfs.writeback.work import Work

log = logging.getLogger(__name__)


class RemovalSender:
    """Deletes documents of one dataset whose cloud ids are known."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def send(self, dataset_id: str, works: list[Work]) -> list[Work]:
        """Delete what is to go; gives the works that are about something else."""
        mine = [work for work in works if work.deletes]
        context = self._context
        pauses = context.pauses(context.timing.doubt)
        while mine:
            ids = [work.document_id for work in mine]
            shown = lookup.fetch(context.cloud, dataset_id, ids)
            context.line.worked()
            doubtful = []
            for work in mine:
                document = shown.get(work.document_id)
                known = work.one.expected
                if document and ANYTHING not in known and fingerprint(document.body) not in known:
                    doubtful.append(work)
            self._delete(dataset_id, [work for work in mine if work not in doubtful])
            mine = doubtful
            if mine and not pauses.more():
                if not context.stopping.is_set():
                    for work in mine:
                        context.conflict(work.one, CHANGED, shown.get(work.document_id))
                break
        return [work for work in works if not work.deletes]

    def _delete(self, dataset_id: str, works: list[Work]) -> None:
        """Delete them, also those that seem gone: a look may leave out what is there."""
        context = self._context
        for part in lookup.parts(works, 1000):
            marked = mark_deleting(context, part)
            if not marked:
                continue
            ids = [work.document_id for work in marked]
            context.cloud.documents.bulk_delete(dataset_id, ids, context.limits.when)
            context.line.worked()
            self._see(dataset_id, marked)

    def _see(self, dataset_id: str, works: list[Work]) -> None:
        context, left = self._context, works
        pauses = context.pauses(context.timing.patience)
        while left:
            shown = lookup.fetch(context.cloud, dataset_id, [work.document_id for work in left])
            gone = [work for work in left if work.document_id not in shown]
            for work in gone:
                context.tell(
                    partial(context.arrivals.document_deleted, dataset_id, work.document_id)
                )
            context.finish((work.entries, work.document_id) for work in gone)
            left = [work for work in left if work.document_id in shown]
            if left and not pauses.more():
                context.not_seen(work.one for work in left)
                return


def mark_deleting(context: Context, works: list[Work]) -> list[Work]:
    """Note that they are being deleted, with the cloud id that was found out."""
    now = context.clock()
    there = context.journal.note_each(
        {work.one.generation: {"sent_at": now, "document_id": work.document_id} for work in works}
    )
    return [work for work in works if work.one.generation in there]
