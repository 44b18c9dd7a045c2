"""Sending documents: one batch of one dataset, from a look at the server to a look at the server.

Adding is not idempotent (section 5.3) and a ZIP has no status (5.10). So whatever may have been
sent before is looked for first, what is sent is marked in the journal first, and an entry leaves
the journal when its effect was seen.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ndicloudfs.cloud.errors import CloudError, Refused
from ndicloudfs.cloud.values import UNKNOWN_CLASS, Document, Summary
from ndicloudfs.writeback import lookup
from ndicloudfs.writeback.context import Context
from ndicloudfs.writeback.edits import EditSender
from ndicloudfs.writeback.entries import Entry, Kind
from ndicloudfs.writeback.fingerprints import fingerprint, parse
from ndicloudfs.writeback.removals import RemovalSender
from ndicloudfs.writeback.sending import NOT_SENT, all_entries, in_parallel, mark_sent
from ndicloudfs.writeback.work import Work, grouped

log = logging.getLogger(__name__)


class DocumentSender:
    """Brings a batch of entries about documents to the server. One batch per dataset at a time."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._edits = EditSender(context)
        self._removals = RemovalSender(context)

    def send(self, dataset_id: str, entries: Sequence[Entry]) -> None:
        """Bring them there. What fails stays in the journal, with the reason and a time."""
        works = grouped(entries)
        for part in (self._located, self._removals.send, self._edits.send, self._create):
            if not works or self._context.stopping.is_set():
                return
            try:
                works = part(dataset_id, works)
            except CloudError as error:
                self._context.later(all_entries(works), error)
                return

    def _located(self, dataset_id: str, works: list[Work]) -> list[Work]:
        """Find the documents whose cloud id is not known; what is left has one or is to be made."""
        context = self._context
        self._read(works)
        unknown = [work for work in works if not work.document_id]
        if not unknown:
            return works
        found = self._find(dataset_id, unknown)
        self._drop_doubles(dataset_id, unknown, found)
        left = [work for work in works if work.document_id]
        arrived: list[tuple[Work, Summary]] = []
        waiting: list[Work] = []
        for work in unknown:
            main, rows = work.main, found.get(work.one.ndi_id, [])
            sent = main is not None and main.sent_at is not None
            row = self._alone(work, rows)
            if row is None and main is not None and sent and self._patience(main) > 0:
                # A copy may still come. Only what it was sent for has arrived with it: a change or
                # a deletion since then is still to be made.
                if work.deletes or not self._as_sent(work):
                    soon = context.clock() + 4 * context.timing.first_look
                    context.journal.note([one.generation for one in work.entries], due_at=soon)
                else:
                    waiting.append(work)
            elif row and sent and not work.deletes and self._as_sent(work):
                arrived.append((work, row))
            elif rows:
                work.document_id = rows[0].id
                left.append(work)
            elif work.deletes:
                context.finish([(work.entries, "")])
            elif main is not None and (main.is_new or not main.expected):
                left.append(work)
            else:
                self._gone(work)
        self._arrived(dataset_id, arrived)
        self._await(dataset_id, waiting)
        return left

    def _read(self, works: list[Work]) -> None:
        """The bodies that were written; one that is gone has been replaced meanwhile."""
        written = [work for work in works if work.main and work.main.kind is Kind.DOCUMENT]
        bodies = self._context.journal.bodies([work.one.generation for work in written])
        for work in written:
            data = bodies.get(work.one.generation)
            if data is None:
                works.remove(work)
                continue
            try:
                work.body = parse(data)
            except ValueError as error:
                self._context.reject(work.one, str(error))
                works.remove(work)
                continue
            work.aim(work.body)

    def _find(self, dataset_id: str, works: Iterable[Work]) -> dict[str, list[Summary]]:
        wanted = {work.one.ndi_id: work.one.class_name or UNKNOWN_CLASS for work in works}
        found = lookup.find(self._context.cloud, dataset_id, wanted)
        self._context.line.worked()
        return found

    def _as_sent(self, work: Work) -> bool:
        """Whether what was sent last is what is to be there."""
        return work.main is not None and work.main.expected[-1:] == (work.mark,)

    def _patience(self, entry: Entry) -> float:
        """Seconds for which the server may still be at what was sent.

        Never more than the whole patience, wherever the clock of this machine has gone.
        """
        whole = self._context.timing.patience
        age = self._context.clock() - (entry.sent_at or 0.0)
        return min(whole, whole - age)

    def _gone(self, work: Work) -> None:
        """The document that was changed is not there any more."""
        if work.main is not None:
            self._context.conflict(work.main, "The document was deleted on the server meanwhile")
            return
        if self._context.journal.document(work.one) is None:
            for entry in work.edits:
                self._context.reject(entry, "The document of this file is not on the server")
            return
        # Its document is parked, and the files wait with it.
        due = self._context.clock() + self._context.timing.longest_backoff
        self._context.journal.note([entry.generation for entry in work.edits], due_at=due)

    def _drop_doubles(
        self, dataset_id: str, works: Iterable[Work], found: dict[str, list[Summary]]
    ) -> None:
        """Delete what came twice because it was sent twice; keep the smallest cloud id."""
        twice = {
            work.one.ndi_id: {*work.one.expected, work.mark}
            for work in works
            if work.main is not None and work.main.sends > 1
        }
        rows = {id_: found[id_] for id_ in twice if len(found.get(id_, [])) > 1}
        if not rows:
            return
        all_ids = [row.id for several in rows.values() for row in several]
        bodies = lookup.fetch(self._context.cloud, dataset_id, all_ids)
        doubles: set[str] = set()
        for id_, several in rows.items():
            ours = [
                row.id
                for row in several
                if row.id in bodies and fingerprint(bodies[row.id].body) in twice[id_]
            ]
            doubles.update(ours[1:])
        log.warning("%d documents came twice, deleting the doubles", len(doubles))
        self._context.cloud.documents.bulk_delete(dataset_id, sorted(doubles))
        for id_, several in rows.items():
            found[id_] = [row for row in several if row.id not in doubles]

    # -- new documents -----------------------------------------------------------------------------

    def _create(self, dataset_id: str, works: list[Work]) -> list[Work]:
        limits = self._context.limits
        alone = [work for work in works if work.one.sends > 1]
        together = [work for work in works if work.one.sends <= 1]
        if len(together) <= limits.most_posts:
            alone, together = works, []
        for batch in self._zips(together):
            self._send_zip(dataset_id, batch)
        if alone:
            self._post(dataset_id, alone)
        return []

    def _zips(self, works: list[Work]) -> Iterator[list[Work]]:
        limits = self._context.limits
        batch: list[Work] = []
        size = 0
        for work in works:
            full = len(batch) == limits.documents_per_zip
            if batch and (full or size + work.one.size > limits.zip_documents_size):
                yield batch
                batch, size = [], 0
            batch.append(work)
            size += work.one.size
        if batch:
            yield batch

    def _send_zip(self, dataset_id: str, works: list[Work]) -> None:
        context = self._context
        works = mark_sent(context, works)
        if not works:
            return
        left = False

        def sending() -> None:
            nonlocal left
            left = True

        try:
            context.cloud.documents.bulk_upload(
                dataset_id, [work.target for work in works], sending
            )
        except CloudError as error:
            if not left or isinstance(error, NOT_SENT):
                self._unmark(works)
                context.later(all_entries(works), error)
                return
            log.info("unclear whether %d documents were sent: %s", len(works), error)
            context.line.failed(error)
        self._await(dataset_id, works, context.timing.first_look_for_zip)

    def _post(self, dataset_id: str, works: list[Work]) -> None:
        """A call each; what is unclear is looked for."""
        context = self._context
        works = mark_sent(context, works)
        unclear: list[Work] = []
        answered: dict[str, Work] = {}
        for work, outcome in in_parallel(
            context, works, lambda work: context.cloud.documents.add(dataset_id, work.target)
        ):
            if isinstance(outcome, str):
                if work.one.sends > 1:
                    unclear.append(work)  # an earlier copy may still come
                else:
                    answered[outcome] = work
            elif isinstance(outcome, Refused):
                context.reject(work.one, str(outcome))
            elif outcome.retryable and outcome.status != 429:
                context.line.failed(outcome)
                unclear.append(work)
            else:
                self._unmark([work])
                context.later(work.entries, outcome)
        self._confirm(dataset_id, answered)
        self._await(dataset_id, unclear)

    def _confirm(self, dataset_id: str, answered: dict[str, Work]) -> None:
        """See the documents whose cloud ids the server has told."""
        context, left = self._context, dict(answered)
        pauses = context.pauses(context.timing.patience)
        while left:
            for id_, document in lookup.fetch(context.cloud, dataset_id, left).items():
                self._arrived(dataset_id, [(left.pop(id_), document.summary)])
            if left and not pauses.more():
                context.not_seen(all_entries(left.values()))
                return

    def _unmark(self, works: Iterable[Work]) -> None:
        self._context.journal.note([work.one.generation for work in works], sent_at=None)

    def _await(self, dataset_id: str, works: list[Work], first: float | None = None) -> None:
        """Wait until they are seen; what is not within the server's patience is to be sent again.

        One look is one call: for the first 900, then, where these are there, for the next.
        """
        if not works:
            return
        context = self._context
        left = {work.one.ndi_id: work for work in works}
        pauses = context.pauses(max(self._patience(work.one) for work in works), first)
        while left and pauses.more():
            looked = True
            while looked and left:
                asked = list(left)[: lookup.IDS_PER_QUERY]
                there = self._look(dataset_id, [left[id_] for id_ in asked])
                looked = len(there) == len(asked)
                for id_ in asked:  # what is not there yet goes to the end of the line
                    work = left.pop(id_)
                    if id_ not in there:
                        left[id_] = work
        if left and not context.stopping.is_set():
            # What was sent twice was not to be believed in while the other copy could still come.
            for id_ in self._look(dataset_id, list(left.values())):
                del left[id_]
        if left and not context.stopping.is_set():
            log.info("%d of %d documents have not arrived", len(left), len(works))
            self._unmark(left.values())
            context.not_seen(all_entries(left.values()))

    def _look(self, dataset_id: str, works: list[Work]) -> set[str]:
        """Look for what was sent, and settle what is there; gives its ndi ids."""
        found = self._find(dataset_id, works)
        several = {id_ for id_, rows in found.items() if len(rows) > 1}
        self._drop_doubles(dataset_id, works, found)
        seen = []
        for work in works:
            rows = found.get(work.one.ndi_id, [])
            row = rows[0] if work.one.ndi_id in several else self._alone(work, rows)
            if row is not None:
                seen.append((work, row))
        self._arrived(dataset_id, seen)
        return {work.one.ndi_id for work, _ in seen}

    def _alone(self, work: Work, rows: list[Summary]) -> Summary | None:
        """The document that a work has made, if it is there and no other copy is still to come."""
        if not rows or len(rows) > 1 or work.one.sends <= 1 or work.main is None:
            return rows[0] if rows else None
        sent = work.main.sent_at is not None
        return None if sent and self._patience(work.main) > 0 else rows[0]

    def _arrived(self, dataset_id: str, seen: list[tuple[Work, Summary]]) -> None:
        context, done = self._context, []
        for work, row in seen:
            document = Document(replace(row, ndi_id=work.one.ndi_id), work.target)
            context.tell(partial(context.arrivals.document_stored, dataset_id, document))
            done.append((work.entries, row.id))
        if done:
            context.finish(done)
