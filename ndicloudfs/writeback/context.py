"""What the parts of the uploader share, and what becomes of an entry in the end."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.errors import CloudError, NotSignedIn, WrongCredentials
from ndicloudfs.cloud.values import Document
from ndicloudfs.writeback.entries import Entry, Kind, State
from ndicloudfs.writeback.journal import Journal
from ndicloudfs.writeback.line import Line
from ndicloudfs.writeback.parking import Parking
from ndicloudfs.writeback.settings import Limits, Timing
from ndicloudfs.writeback.staging import Staging

log = logging.getLogger(__name__)


# How often something may be denied before it counts as refused for good.
MOST_REFUSALS = 4


class Arrivals(Protocol):
    """Who wants to know what the server has now; called before the entry leaves the journal."""

    def document_stored(self, dataset_id: str, document: Document) -> None:
        """The server has this document."""

    def document_deleted(self, dataset_id: str, document_id: str) -> None:
        """The server does not have this document any more."""

    def file_stored(self, dataset_id: str, uid: str, size: int, path: Path) -> None:
        """The server has this object of ``size`` bytes; they are still at ``path``."""

    def dataset_changed(self, organization_id: str, dataset_id: str) -> None:
        """A dataset was made, changed or deleted."""


@dataclass(frozen=True, slots=True)
class Context:
    """The parts of a write-back; ``clock`` tells seconds of the epoch, ``monotonic`` seconds."""

    cloud: NdiCloud
    journal: Journal
    staging: Staging
    arrivals: Arrivals
    rejected: Parking
    conflicts: Parking
    line: Line
    timing: Timing
    limits: Limits
    stopping: threading.Event
    calls: Executor
    clock: Callable[[], float]
    monotonic: Callable[[], float]

    def pauses(self, seconds: float, first: float | None = None) -> Pauses:
        """Looks at the server, further and further apart, for ``seconds`` at most.

        ``first``: seconds until the first look, where there is nothing to be seen before.
        """
        return Pauses(self, seconds, self.timing.first_look if first is None else first)

    def later(self, entries: Iterable[Entry], error: CloudError) -> None:
        """It failed, and trying again may help: not before a while has passed."""
        if self.stopping.is_set():
            return  # it was broken off
        wanted = list(entries)
        if error.retryable or isinstance(error, (NotSignedIn, WrongCredentials)):
            self.line.failed(error)
        else:
            for entry in wanted:
                if entry.tries >= MOST_REFUSALS:
                    self.reject(entry, str(error))
            wanted = [entry for entry in wanted if entry.tries < MOST_REFUSALS]
        log.info("not sent yet, to be tried again: %s", error)
        self._put_off(wanted, str(error))

    def not_seen(self, entries: Iterable[Entry]) -> None:
        """It was sent and the server does not show it within its patience: once more, later."""
        if self.stopping.is_set():
            return
        wanted = list(entries)
        log.info("%d entries were sent and are not seen, to be sent again", len(wanted))
        self._put_off(wanted, "It was sent, and the server does not show it")

    def finish(self, done: Iterable[tuple[Sequence[Entry], str]]) -> None:
        """The effect of the entries of documents was seen, and who wants to know was told."""
        works = list(done)
        self.journal.finish(works)
        for entry in (entry for entries, _ in works for entry in entries):
            if entry.kind is Kind.ATTACHMENT and entry.staged and not self.journal.wants(entry.uid):
                self.staging.remove(entry.uid)

    def _put_off(self, entries: Sequence[Entry], reason: str) -> None:
        # One time for all, so that they stay together.
        due_at = self.clock() + self.line.backoff(min((one.tries for one in entries), default=0))
        self.journal.note_each(
            {
                entry.generation: {"tries": entry.tries + 1, "due_at": due_at, "reason": reason}
                for entry in entries
            }
        )

    def reject(self, entry: Entry, reason: str) -> None:
        """The server will never take it: keep its bytes where the user finds them."""
        log.error("%s was refused and is kept in rejected/: %s", _shown(entry), reason)
        data = self.journal.body(entry.generation)
        path = self.staging.path(entry.uid)
        if data is not None:
            self.rejected.put(f"{parked_name(entry)}.json", data, reason)
        elif entry.staged and path.exists():
            self.rejected.put(f"{parked_name(entry)}.{entry.name}", path, reason)
        self.journal.note([entry.generation], state=State.REJECTED, reason=reason, sent_at=None)

    def conflict(self, entry: Entry, reason: str, theirs: Document | None = None) -> None:
        """Somebody else was there: overwrite nothing, keep the local version beside ``theirs``."""
        log.error("%s is in conflict, its version here is kept: %s", _shown(entry), reason)
        data = self.journal.body(entry.generation)
        if data is not None:
            self.conflicts.put(f"{parked_name(entry)}.json", data, reason)
        if theirs is not None:
            self.tell(lambda: self.arrivals.document_stored(entry.dataset_id, theirs))
        self.journal.note([entry.generation], state=State.CONFLICT, reason=reason, sent_at=None)

    def tell(self, call: Callable[[], None]) -> None:
        """Tell ``arrivals``; what goes wrong there must not undo what was done."""
        try:
            call()
        except Exception:
            log.exception("what reached the server could not be passed on")


class Pauses:
    """The time between looks at the server: doubling, and over when the deadline has passed."""

    def __init__(self, context: Context, seconds: float, first: float) -> None:
        self._context = context
        self._deadline = context.monotonic() + seconds
        self._pause = first

    def more(self) -> bool:
        """Wait, and tell whether to look once more; not where everything stops."""
        left = self._deadline - self._context.monotonic()
        if left <= 0:
            return False
        if self._context.stopping.wait(min(self._pause, left)):
            return False
        self._pause = min(2 * self._pause, self._context.timing.longest_look)
        return True


def parked_name(entry: Entry) -> str:
    """What the parked version of an entry is called, without its suffix."""
    return f"{entry.ndi_id or entry.document_id}.{entry.generation}"


def _shown(entry: Entry) -> str:
    if entry.kind in (Kind.ATTACHMENT, Kind.DETACHMENT):
        return f"file {entry.name} of document {entry.ndi_id or entry.document_id}"
    return f"{entry.kind.value} {entry.ndi_id or entry.document_id or entry.name}"
