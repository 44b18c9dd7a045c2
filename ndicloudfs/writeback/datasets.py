"""Making, changing and deleting datasets (sections 4.4 to 4.6)."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from functools import partial

from ndicloudfs.cloud.errors import CloudError, NotFound, Refused
from ndicloudfs.cloud.values import Json
from ndicloudfs.writeback.context import Context
from ndicloudfs.writeback.entries import ANYTHING, Entry, Kind

log = logging.getLogger(__name__)


class DatasetSender:
    """Brings entries about datasets to the server, one after the other."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def send(self, entry: Entry) -> None:
        """Bring it there."""
        body: Json = json.loads(self._context.journal.body(entry.generation) or b"{}")
        try:
            if entry.kind is Kind.DATASET:
                self._create(entry, body)
            elif entry.kind is Kind.DATASET_CHANGE:
                self._change(entry, body)
            else:
                self._delete(entry)
        except CloudError as error:
            if isinstance(error, Refused):
                self._context.reject(entry, str(error))
            else:
                self._context.later([entry], error)

    def _create(self, entry: Entry, fields: Json) -> None:
        """Make it once: names may repeat, so that the ids of before tell which one is new."""
        context = self._context
        now = context.clock()
        if entry.sends:
            made = self._made(entry)
            left = context.timing.patience - (now - (entry.sent_at or 0.0))
            pauses = context.pauses(min(left, context.timing.patience))
            while not made and pauses.more():
                made = self._made(entry)
            if made or context.stopping.is_set():
                self._created(entry, made)
                return
        rows = context.cloud.datasets.of_organization(entry.organization_id)
        before = tuple(row.id for row in rows if row.name == entry.name)
        entry = replace(entry, sent_at=now, sends=entry.sends + 1, expected=before)
        there = context.journal.note(
            [entry.generation], sent_at=now, sends=entry.sends, expected=before
        )
        if there:
            made = context.cloud.datasets.create(entry.organization_id, fields)
            self._created(entry, made)

    def _made(self, entry: Entry) -> str:
        """The id of the dataset of this name that was not there before, if there is one."""
        rows = self._context.cloud.datasets.of_organization(entry.organization_id)
        self._context.line.worked()
        new = [row.id for row in rows if row.name == entry.name and row.id not in entry.expected]
        return min(new, default="")

    def _created(self, entry: Entry, dataset_id: str) -> None:
        if dataset_id:
            context = self._context
            context.line.worked()
            context.journal.made_dataset(entry, dataset_id)
            changed = context.arrivals.dataset_changed
            context.tell(partial(changed, entry.organization_id, dataset_id))

    def _change(self, entry: Entry, body: Json) -> None:
        context = self._context
        fields, base = body["fields"], body["base"]
        pauses = context.pauses(context.timing.doubt)
        while True:
            shown = context.cloud.datasets.detail(entry.dataset_id).fields
            context.line.worked()
            if all(shown.get(name) == value for name, value in fields.items()):
                changed = context.arrivals.dataset_changed
                context.tell(partial(changed, entry.organization_id, entry.dataset_id))
                context.finish([([entry], "")])
                return
            known = ANYTHING in entry.expected or all(
                shown.get(name) in (base.get(name), value) for name, value in fields.items()
            )
            if known and entry.sends == 0:
                entry = replace(entry, sends=1)
                context.journal.note([entry.generation], sends=1, sent_at=context.clock())
                context.cloud.datasets.update(entry.dataset_id, fields)
                pauses = context.pauses(context.timing.patience)
            elif not pauses.more():
                break
        if context.stopping.is_set():
            return
        if known:  # what was sent has had no effect within the server's patience
            context.journal.note([entry.generation], sends=0)
        else:
            context.conflict(entry, "Somebody else changed the dataset meanwhile")

    def _delete(self, entry: Entry) -> None:
        context = self._context
        context.journal.note([entry.generation], sent_at=context.clock())
        if self._is_there(entry):
            context.cloud.datasets.delete(entry.dataset_id, context.limits.when)
        pauses = context.pauses(context.timing.patience)
        while self._is_there(entry):
            if not pauses.more():
                return
        changed = context.arrivals.dataset_changed
        context.tell(partial(changed, entry.organization_id, entry.dataset_id))
        context.finish([([entry], "")])

    def _is_there(self, entry: Entry) -> bool:
        """Whether the dataset is there and not marked as deleted."""
        try:
            fields = self._context.cloud.datasets.detail(entry.dataset_id).fields
        except NotFound:
            return False
        self._context.line.worked()
        return fields.get("isDeleted") is not True
