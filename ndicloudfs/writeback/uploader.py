"""The uploader: decides what is sent when. What is sent how is in documents, files and datasets.

One thread decides, two pools send. A batch of a dataset closes after silence, after the longest
time, at its size, or when somebody waits for it. Documents of a dataset go one batch at a time, so
that what is done to one document stays in order; files go in any order, and a document waits for
its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from ndicloudfs.cloud.errors import CloudError, ServerFault
from ndicloudfs.writeback.context import Context
from ndicloudfs.writeback.datasets import DatasetSender
from ndicloudfs.writeback.documents import DocumentSender
from ndicloudfs.writeback.entries import Entry, Kind, Scope, State
from ndicloudfs.writeback.files import FileSender
from ndicloudfs.writeback.ledger import LOCAL_PREFIX

log = logging.getLogger(__name__)

_BATCHES = 4  # datasets whose documents are sent at the same time
_MOST_ENTRIES = 5_000  # of one batch: their bodies are in memory, about 10 KB each
_MOST_FILES = 4_000
_LONGEST_SLEEP = 60.0  # s
_TRIES = 3  # failures in a row of all that is left, after which who waits is told
_LOOK = 0.2  # s between two reports to who waits


@dataclass(slots=True)
class _Batch:
    """What was committed for one dataset and may still be joined by more."""

    opened: float
    touched: float
    entries: int = 0


@dataclass(frozen=True, slots=True)
class Remaining:
    """How much is still to be done: entries and bytes; ``outage`` is why nothing is sent now."""

    entries: int
    size: int
    outage: CloudError | None


class Uploader:
    """Brings the queue to the server until it is stopped."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._documents = DocumentSender(context)
        self._files = FileSender(context, self._landed)
        self._datasets = DatasetSender(context)
        limits = context.limits
        # Apart, so that hours of a large file hold up no small ones.
        self._transfers = ThreadPoolExecutor(limits.transfers, "write-back-files")
        self._large_transfers = ThreadPoolExecutor(limits.large_transfers, "write-back-large")
        self._senders = ThreadPoolExecutor(_BATCHES, "write-back-documents")
        self._woken = threading.Event()
        self._lock = threading.Lock()  # guards all below; never held across a call
        self._changed = threading.Condition(self._lock)
        self._open: dict[str, _Batch] = {}
        self._due: set[str] = set()
        self._running: set[str] = set()
        self._busy: set[int] = set()
        self._recheck_at: float | None = None
        self._hurrying = 0
        self._thread = threading.Thread(target=self._run, name="write-back", daemon=True)

    def start(self) -> None:
        """Begin, with what earlier processes have left."""
        self._thread.start()

    def stop(self) -> None:
        """Break off what is being sent; the journal knows how far it is."""
        self._context.stopping.set()
        self._woken.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._transfers.shutdown(wait=True, cancel_futures=True)
        self._large_transfers.shutdown(wait=True, cancel_futures=True)
        self._senders.shutdown(wait=True, cancel_futures=True)

    def notice(self, dataset_id: str) -> None:
        """Something was committed for a dataset."""
        now = self._context.monotonic()
        with self._lock:
            batch = self._open.get(dataset_id)
            if batch is None:
                batch = self._open[dataset_id] = _Batch(now, now)
                self._woken.set()
            batch.touched = now
            batch.entries += 1
            if batch.entries == self._context.limits.documents_per_zip or self._hurrying:
                self._woken.set()

    def wake(self) -> None:
        """Look at everything now: somebody has signed in, or the network is back."""
        self._context.line.retry_now()
        with self._lock:
            self._due |= self._context.journal.waiting_datasets()
        self._woken.set()

    def wait(
        self,
        scope: Scope,
        progress: Callable[[Remaining], None],
        cancelled: Callable[[], bool],
    ) -> Remaining:
        """Send at once what is in ``scope`` and wait for it.

        Ends early where the server cannot be reached, or where all that is left has failed
        several times, or when ``cancelled``.
        """
        context = self._context
        context.journal.hurry(scope)
        attempts = context.line.attempts
        with self._in_a_hurry():
            self.wake()
            while True:
                entries, size = context.journal.left(scope)
                tried = context.line.attempts > attempts
                outage = context.line.outage if tried else None
                remaining = Remaining(entries, size, outage)
                progress(remaining)
                if not entries or outage is not None or cancelled() or context.stopping.is_set():
                    return remaining
                if tried and context.journal.hopeless(scope, _TRIES):
                    return remaining
                with self._changed:
                    self._changed.wait(_LOOK)

    @contextmanager
    def _in_a_hurry(self) -> Iterator[None]:
        with self._lock:
            self._hurrying += 1
        try:
            yield
        finally:
            with self._lock:
                self._hurrying -= 1

    # -- the thread that decides -------------------------------------------------------------------

    def _run(self) -> None:
        context = self._context
        with self._lock:
            self._due |= context.journal.waiting_datasets()
        try:
            removed = context.staging.sweep(context.journal.wants)
            if removed:
                log.info("removed %d staged files that nothing needs", removed)
        except OSError as error:
            log.warning("staging cannot be cleaned: %s", error)
        while not context.stopping.is_set():
            self._woken.clear()
            try:
                pause = self._step()
            except Exception:
                log.exception("the uploader stumbled and goes on")
                pause = context.timing.backoff
            self._woken.wait(pause)

    def _step(self) -> float:
        """Start what can be started; gives the seconds until there may be more to start."""
        context = self._context
        closing = self._close_batches()
        if context.line.pause_left() > 0:
            return min(closing, context.line.pause_left())
        now = context.clock()
        if self._recheck_at is not None and self._recheck_at <= now:
            with self._lock:
                self._due |= context.journal.waiting_datasets()
        self._recheck_at = context.journal.next_due(now)
        self._start_datasets(now)
        self._start_files(now)
        self._start_documents()
        if self._recheck_at is None:
            return closing
        return min(closing, self._recheck_at - now + 0.001)

    def _close_batches(self) -> float:
        """Move batches that are complete to what is due; seconds until the next will be."""
        timing, now, pause = self._context.timing, self._context.monotonic(), _LONGEST_SLEEP
        with self._lock:
            for dataset_id, batch in list(self._open.items()):
                left = min(
                    batch.touched + timing.silence - now, batch.opened + timing.longest_open - now
                )
                full = batch.entries >= self._context.limits.documents_per_zip
                if left <= 0 or full or self._hurrying:
                    del self._open[dataset_id]
                    self._due.add(dataset_id)
                else:
                    pause = min(pause, left)
        return pause

    def _start_datasets(self, now: float) -> None:
        first: dict[str, Entry] = {}
        for entry in self._context.journal.about_datasets():
            if entry.state in (State.PENDING, State.UPLOADING):
                first.setdefault(entry.dataset_id, entry)
        for entry in first.values():
            if entry.due_at <= now and self._claim([entry]):
                self._submit(self._senders, [entry], partial(self._datasets.send, entry))

    def _start_files(self, now: float) -> None:
        context = self._context
        ready = context.journal.ready_files(now, _MOST_FILES)
        with self._lock:
            ready = [
                entry
                for entry in ready
                if entry.generation not in self._busy and entry.dataset_id not in self._open
            ]
        for unit in self._units(ready):
            if self._claim(unit):
                large = unit[0].size >= context.limits.small_file
                pool = self._large_transfers if large else self._transfers
                self._submit(pool, unit, partial(self._files.send, unit))

    def _landed(self, dataset_id: str) -> None:
        """Bytes have arrived that a document of the dataset has waited for."""
        with self._lock:
            if dataset_id not in self._open:
                self._due.add(dataset_id)
        self._woken.set()

    def _units(self, entries: Sequence[Entry]) -> Iterator[list[Entry]]:
        """What travels together: ZIPs of small files of a dataset, every other file alone."""
        limits = self._context.limits
        zips: dict[str, list[Entry]] = {}
        sizes: dict[str, int] = {}
        for entry in entries:
            if entry.size >= limits.small_file or entry.sends > 1:
                yield [entry]
                continue
            unit = zips.setdefault(entry.dataset_id, [])
            size = sizes.get(entry.dataset_id, 0) + entry.size
            if unit and (size > limits.zip_files_size or len(unit) == limits.zip_members):
                yield unit
                unit = zips[entry.dataset_id] = []
                size = entry.size
            unit.append(entry)
            sizes[entry.dataset_id] = size
        yield from (unit for unit in zips.values() if unit)

    def _start_documents(self) -> None:
        with self._lock:
            startable = [
                dataset_id
                for dataset_id in self._due
                if dataset_id not in self._running and not dataset_id.startswith(LOCAL_PREFIX)
            ]
            self._running.update(startable)
        for dataset_id in startable:
            try:
                self._senders.submit(self._send_documents, dataset_id)
            except RuntimeError:  # stopped
                return

    def _send_documents(self, dataset_id: str) -> None:
        context = self._context
        more = waits = False
        entries: list[Entry] = []
        try:
            with self._lock:
                self._due.discard(dataset_id)
            if not context.stopping.is_set() and context.line.pause_left() == 0:
                ready = context.journal.ready_documents(dataset_id, context.clock(), _MOST_ENTRIES)
                entries = self._bounded(ready)
                waits = len(entries) < len(ready)
                if entries:
                    more = True
                    self._documents.send(dataset_id, entries)
            else:
                more = True
        except Exception as error:  # noqa: BLE001 - one batch must not end the others
            self._stumbled(entries, error)
        finally:
            with self._changed:
                self._running.discard(dataset_id)
                # What came meanwhile is of a batch that is still open, and goes when that closes.
                if waits or (more and dataset_id not in self._open):
                    self._due.add(dataset_id)
                self._changed.notify_all()
            self._woken.set()

    def _bounded(self, entries: list[Entry]) -> list[Entry]:
        """The first entries whose bodies may be in memory together; one at least."""
        size = 0
        for number, entry in enumerate(entries):
            size += entry.size if entry.kind is Kind.DOCUMENT else 0
            if number and size > self._context.limits.zip_documents_size:
                return entries[:number]
        return entries

    # -- what is under way -------------------------------------------------------------------------

    def _claim(self, entries: Sequence[Entry]) -> bool:
        with self._lock:
            if any(entry.generation in self._busy for entry in entries):
                return False
            self._busy.update(entry.generation for entry in entries)
        return True

    def _submit(
        self, pool: ThreadPoolExecutor, entries: Sequence[Entry], work: Callable[[], None]
    ) -> None:
        def run() -> None:
            try:
                if not self._context.stopping.is_set() and self._context.line.pause_left() == 0:
                    work()
            except Exception as error:  # noqa: BLE001 - one piece must not end the others
                self._stumbled(entries, error)
            finally:
                with self._changed:
                    self._busy.difference_update(entry.generation for entry in entries)
                    dataset_id = self._context.journal.dataset(entries[0].dataset_id)
                    if dataset_id not in self._open:
                        self._due.add(dataset_id)
                    self._changed.notify_all()
                self._woken.set()

        try:
            pool.submit(run)
        except RuntimeError:  # stopped
            return

    def _stumbled(self, entries: Sequence[Entry], error: Exception) -> None:
        """Something unforeseen: say so, and try again later."""
        if not self._context.stopping.is_set():
            log.exception("%d entries could not be sent", len(entries))
            self._context.later(
                entries,
                ServerFault(f"The changes could not be sent: {error}; they are sent again later"),
            )
