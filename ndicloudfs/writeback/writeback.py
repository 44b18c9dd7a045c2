"""The write-back of one account on one host: the one place that puts its parts together."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.writeback.context import Arrivals, Context, parked_name
from ndicloudfs.writeback.edits import over_theirs
from ndicloudfs.writeback.entries import Entry, Kind, Place, Scope, State
from ndicloudfs.writeback.export import export
from ndicloudfs.writeback.ids import new_ndi_id
from ndicloudfs.writeback.journal import Journal
from ndicloudfs.writeback.ledger import LOCAL_PREFIX
from ndicloudfs.writeback.line import Line
from ndicloudfs.writeback.ownership import Ownership
from ndicloudfs.writeback.parking import Parked, Parking
from ndicloudfs.writeback.settings import Limits, Timing
from ndicloudfs.writeback.staging import Draft, Staging
from ndicloudfs.writeback.uploader import Remaining, Uploader

log = logging.getLogger(__name__)

EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class WriteBackOptions:
    """Where journal and bytes are, a folder that nothing else may delete from; and the pace."""

    folder: Path
    timing: Timing = field(default_factory=Timing)
    limits: Limits = field(default_factory=Limits)


class WriteBack:
    """Keeps what is written until the server has it. Used by any thread.

    Every commit returns after its bytes and its journal entry are on the disk. Raises
    JournalInUse where another process writes for this account on this host.
    """

    def __init__(
        self,
        cloud: NdiCloud,
        account: str,
        options: WriteBackOptions,
        arrivals: Arrivals,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        host = cloud.config.host
        self.folder = options.folder / quote(host, safe="") / quote(account, safe="@")
        for folder in (options.folder, self.folder.parent, self.folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._clock = clock
        self._monotonic = monotonic
        self._ownership = Ownership(self.folder / "owner")
        try:
            self._staging = Staging(self.folder / "staging", monotonic)
            self._journal = Journal(self.folder / "journal.sqlite", self._staging.remove, clock)
        except BaseException:
            self._ownership.release()
            raise
        self._rejected = Parking(self.folder / "rejected")
        self._conflicts = Parking(self.folder / "conflicts")
        self._cloud = cloud
        self._calls = ThreadPoolExecutor(options.limits.posts_in_parallel, "write-back-calls")
        self._line = Line(options.timing, options.limits, monotonic)
        context = Context(
            cloud=cloud,
            journal=self._journal,
            staging=self._staging,
            arrivals=arrivals,
            rejected=self._rejected,
            conflicts=self._conflicts,
            line=self._line,
            timing=options.timing,
            limits=options.limits,
            stopping=threading.Event(),
            calls=self._calls,
            clock=clock,
            monotonic=monotonic,
        )
        self._uploader = Uploader(context)
        self._left = False

    def start(self) -> None:
        """Begin to send, also what earlier processes have left."""
        self._uploader.start()

    # -- commits -----------------------------------------------------------------------------------

    def stage(self) -> Draft:
        """A new, empty file to write into; ``discard`` it in the end. Raises ENOSPC."""
        return self._staging.draft()

    def commit_document(
        self,
        place: Place,
        data: bytes,
        base: str,
        mtime_ns: int | None = None,
        *,
        unheard_of: bool = False,
    ) -> Entry:
        """Keep a new body of a document.

        ``base``: the fingerprint of the body that was edited, ``""`` for a document that is new;
        ``mtime_ns``: the time that the document states (epoch ns), None for now; ``unheard_of``:
        its ndi id has just been made up.
        """
        self._staging.check_space()
        stated = self._now_ns() if mtime_ns is None else mtime_ns
        return self._wake(
            self._journal.put_document(place, data, base, stated, unheard_of=unheard_of)
        )

    def commit_deletion(self, place: Place, base: str, *, aside: bool = False) -> Entry:
        """Keep that a document is to go; ``base`` is the fingerprint of what was seen of it.

        ``aside``: it was moved aside, and its pending files wait for its being written anew.
        """
        return self._wake(self._journal.put_deletion(place, base, aside=aside))

    def commit_file(self, place: Place, name: str, draft: Draft, replaces_uid: str = "") -> Entry:
        """Keep what is in ``draft`` now as file ``name`` of a document, under a uid of its own.

        It takes the place of the file ``replaces_uid``, where one is given. Writing into the draft
        may go on; what follows needs another commit.
        """
        uid = new_ndi_id()
        size = self._staging.freeze(draft, uid)
        try:
            entry = self._journal.put_file(place, name, uid, size, replaces_uid, self._now_ns())
        except BaseException:
            self._staging.remove(uid)
            raise
        finally:
            self._staging.settled(uid)
        return self._wake(entry)

    def commit_file_name(self, place: Place, uid: str, name: str, size: int) -> Entry:
        """Keep that a file of a document, pending or not, has another name."""
        return self._wake(self._journal.put_file_name(place, uid, name, size))

    def commit_detachment(self, place: Place, name: str, uid: str) -> Entry:
        """Keep that a document is to name a file no longer."""
        return self._wake(self._journal.put_detachment(place, name, uid))

    def commit_document_name(self, generation: int, name: str) -> Entry | None:
        """Keep that a pending document is written under another name (without ``.json``)."""
        return self._journal.put_name(generation, name)

    def create_dataset(self, organization_id: str, name: str) -> Entry:
        """Keep that there is to be a dataset; until the server has made it, it has an id of ours.

        ``dataset_id`` turns that id into the real one, once there is one.
        """
        local_id = LOCAL_PREFIX + new_ndi_id()
        entry = Entry(local_id, organization_id, "", "", kind=Kind.DATASET, name=name)
        return self._wake(self._journal.put_dataset(entry, json.dumps({"name": name}).encode()))

    def change_dataset(
        self, dataset_id: str, fields: Mapping[str, Any], base: Mapping[str, Any]
    ) -> Entry:
        """Keep new values of some fields of a dataset; ``base``: those they had before."""
        body = json.dumps({"fields": dict(fields), "base": dict(base)}).encode()
        entry = Entry(dataset_id, "", "", "", kind=Kind.DATASET_CHANGE)
        return self._wake(self._journal.put_dataset(entry, body))

    def delete_dataset(self, dataset_id: str, organization_id: str = "") -> Entry:
        """Keep that a dataset is to go."""
        entry = Entry(dataset_id, organization_id, "", "", kind=Kind.DATASET_DELETION)
        return self._wake(self._journal.put_dataset(entry, b"{}"))

    def make_class(self, dataset_id: str, class_name: str) -> None:
        """Keep a class folder until a document is in it."""
        self._journal.put_class(dataset_id, class_name)

    def remove_class(self, dataset_id: str, class_name: str) -> None:
        """Keep a class folder no longer."""
        self._journal.remove_class(dataset_id, class_name)

    def reject(self, name: str, data: bytes, reason: str) -> Path:
        """Keep bytes that cannot be taken in ``rejected/``, with the reason beside them."""
        return self._rejected.put(name, data, reason)

    def take_back(self, path: Path) -> None:
        """Remove from ``rejected/`` what turned out to have been half of something."""
        self._rejected.take_back(path)

    # -- the overlay: what the tree shows over what the server lists -------------------------------

    def pending_in(self, dataset_id: str) -> bool:
        """Whether there is anything about a dataset at all; asks nobody."""
        return self._journal.pending_in(dataset_id)

    def documents(self, dataset_id: str, class_name: str) -> list[Entry]:
        """The newest entry, a body or a deletion, of each document of a class that has one."""
        return self._journal.documents(dataset_id, class_name)

    def document(self, place: Place) -> Entry | None:
        """The newest entry, a body or a deletion, of one document."""
        return self._journal.document(place)

    def named(self, dataset_id: str, class_name: str, name: str) -> Entry | None:
        """The newest entry of a document that was written as ``name``, or has it as its ndi id."""
        return self._journal.named(dataset_id, class_name, name)

    def classes(self, dataset_id: str) -> set[str]:
        """The classes that somebody made a folder of, or wrote a document of."""
        return self._journal.classes(dataset_id)

    def body(self, entry: Entry) -> bytes | None:
        """The bytes that were written; None where the entry has left the journal meanwhile."""
        return self._journal.body(entry.generation)

    def files(self, place: Place) -> list[Entry]:
        """The attachments and detachments of a document, in order."""
        return self._journal.files(place)

    def attached(self, dataset_id: str, uid: str) -> Entry | None:
        """What attaches an object of a dataset whose bytes are in staging."""
        here = self._journal.dataset(dataset_id)
        found = self._journal.of_uid(uid) if self._journal.pending_in(dataset_id) else []
        return next((one for one in found if one.staged and one.dataset_id == here), None)

    def staged(self, uid: str) -> Path | None:
        """Where the bytes of an object are that is not known to be on the server."""
        path = self._staging.path(uid)
        return path if path.exists() else None

    @property
    def writes(self) -> int:
        """Another number after anything was written to the journal."""
        return self._journal.writes

    @property
    def revision(self) -> int:
        """While it stays, all that comes is new documents and what ``files_after`` gives."""
        return self._journal.revision

    def files_after(self, place: Place, generation: int) -> list[Entry]:
        """The attachments and detachments of a document that came after ``generation``."""
        return self._journal.files_after(place, generation)

    def alias(self, dataset_id: str, class_name: str, name: str) -> tuple[str, str] | None:
        """Ndi id and cloud id of a document that was written here under ``name``."""
        return self._journal.alias(dataset_id, class_name, name)

    def dataset_id(self, dataset_id: str) -> str:
        """The id that the server knows a dataset by, for one that was made here."""
        return self._journal.dataset(dataset_id)

    def first_id(self, dataset_id: str) -> str:
        """The id that a dataset had before the server gave it one, where it was made here."""
        return self._journal.first_id(dataset_id)

    def datasets(self, organization_id: str) -> list[Entry]:
        """The datasets of an organization that were made here and are not on the server yet."""
        return [
            entry
            for entry in self._journal.about_datasets()
            if entry.kind is Kind.DATASET and entry.organization_id == organization_id
        ]

    def of_dataset(self, dataset_id: str) -> list[Entry]:
        """What is pending about a dataset itself, in order."""
        here = self._journal.dataset(dataset_id)
        return [one for one in self._journal.about_datasets() if one.dataset_id == here]

    def dataset_deletions(self, organization_id: str) -> list[Entry]:
        """The datasets of an organization that are to go."""
        return [
            entry
            for entry in self._journal.about_datasets()
            if entry.kind is Kind.DATASET_DELETION and entry.organization_id == organization_id
        ]

    # -- the queue ---------------------------------------------------------------------------------

    def queue(self, scope: Scope = EVERYTHING) -> list[Entry]:
        """What the server does not have yet, in order."""
        return self._journal.all(scope)

    def totals(self) -> dict[State, int]:
        """How many entries there are of each state."""
        return self._journal.totals()

    def oldest(self) -> float | None:
        """When the entry that has waited longest was queued (epoch s); None without entries."""
        return self._journal.oldest()

    def rejected(self) -> list[Parked]:
        """What is in ``rejected/``."""
        return list(self._rejected.all())

    def conflicts(self) -> list[Parked]:
        """What is in ``conflicts/``."""
        return list(self._conflicts.all())

    def rejected_files(self) -> list[Path]:
        """Every file in ``rejected/``, also the reasons."""
        return self._rejected.files()

    def conflict_files(self) -> list[Path]:
        """Every file in ``conflicts/``, also the reasons."""
        return self._conflicts.files()

    def watch_parked(self, changed: Callable[[str], None]) -> None:
        """Call ``changed`` with the name of each file there that comes or goes."""
        self._rejected.watch(changed)
        self._conflicts.watch(changed)

    @property
    def outage(self) -> CloudError | None:
        """Why nothing is sent at the moment, or None."""
        return self._line.outage

    def resume(self) -> None:
        """Wait no longer: somebody has signed in, or the network is back."""
        self._journal.hurry(EVERYTHING)  # each entry that failed waits on its own account, too
        self._uploader.wake()

    def sync(
        self,
        scope: Scope = EVERYTHING,
        progress: Callable[[Remaining], None] = lambda _: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Remaining:
        """Send at once what is in ``scope``, and wait until the server shows it.

        Returns early, with what is left, where the server cannot be reached or refuses what is
        left; entries that wait for a decision are not waited for.
        """
        return self._uploader.wait(scope, progress, cancelled)

    def drain(self, timeout: float) -> bool:
        """Send everything, for ``timeout`` seconds at most; whether nothing is left to be sent."""
        end = self._monotonic() + timeout
        return self.sync(cancelled=lambda: self._monotonic() > end).entries == 0

    def drain_unless_left(self, timeout: float) -> None:
        """Send everything, for ``timeout`` seconds at most, unless the queue is to be left."""
        if not self._left:
            self.drain(timeout)

    def leave_queue(self) -> None:
        """Send nothing more than is on its way when all this ends."""
        self._left = True

    def export(self, entries: Iterable[Entry], folder: Path) -> list[Path]:
        """Copy the bytes of entries into ``folder``; gives the paths."""
        return list(export(entries, folder, self._journal.body, self._staging.path))

    def retry(self, generations: Iterable[int]) -> int:
        """Send parked or failed entries once more; gives how many there were."""
        chosen = list(generations)
        for entry in filter(None, map(self._journal.get, chosen)):
            self._forget_parked(entry)  # the bytes are in the journal and in staging
        return self._decided(
            self._journal.note(
                chosen,
                state=State.PENDING,
                due_at=0.0,
                tries=0,
                reason="",
            )
        )

    def discard(self, generations: Iterable[int]) -> list[Entry]:
        """Give entries up, with the bytes that were written; gives those that there were."""
        dropped = self._journal.drop(generations)
        for entry in dropped:
            self._forget_parked(entry)
        return dropped

    def resolve(self, generation: int, *, mine: bool) -> Entry:
        """Decide a conflict: send the version of here over the server's, or give it up.

        Raises KeyError where there is no such conflict, and what a call to the server raises.
        """
        entry = self._journal.get(generation)
        if entry is None or entry.state is not State.CONFLICT:
            raise KeyError(generation)
        if mine:
            self._decided(self._journal.note([generation], **over_theirs(self._cloud, entry)))
        else:
            self._journal.drop([generation])
        self._forget_parked(entry)
        return entry

    def close(self) -> None:
        """Stop and let the next process have the journal; the queue stays for it."""
        self._uploader.stop()
        self._calls.shutdown(wait=True)
        self._journal.close()
        self._ownership.release()

    def _decided(self, changed: int) -> int:
        self._uploader.wake()
        return changed

    def _forget_parked(self, entry: Entry) -> None:
        for parking in (self._rejected, self._conflicts):
            parking.remove(f"{parked_name(entry)}.")

    def _wake(self, entry: Entry) -> Entry:
        self._uploader.notice(entry.dataset_id)
        return entry

    def _now_ns(self) -> int:
        return int(self._clock() * 1e9)
