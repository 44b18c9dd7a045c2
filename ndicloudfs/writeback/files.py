"""Sending the bytes of files: small ones together in a ZIP, large ones in a PUT each (section 6).

The bytes of a uid never change, so that sending them twice does no harm; it only costs. A file has
arrived when the server says ``uploaded`` with its size and, where no finished job vouches for it,
gives a byte of it (section 12, #755 and #805).
"""

from __future__ import annotations

import errno
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from ndicloudfs.cloud.errors import CloudError, NotFound, ObjectMissing, Refused, UrlExpired
from ndicloudfs.cloud.values import FileEntry
from ndicloudfs.writeback.context import Context
from ndicloudfs.writeback.entries import Entry
from ndicloudfs.writeback.sending import NOT_SENT

log = logging.getLogger(__name__)

# From so many files on, one dataset detail says more than a file detail each.
_ASK_FOR_ALL = 4
_COPY = 1 << 20


class FileSender:
    """Sends the bytes of attachments."""

    def __init__(self, context: Context, landed: Callable[[str], None]) -> None:
        """``landed`` is told the dataset of bytes that have arrived, for its documents to go."""
        self._context = context
        self._landed = landed

    def send(self, entries: Sequence[Entry]) -> None:
        """Bring the bytes of files of one dataset there, one file or a ZIP of several."""
        entries = self._with_bytes(entries)
        if not entries:
            return
        try:
            if any(entry.sends for entry in entries):
                entries = self._missing(entries)
            if len(entries) == 1:
                self._send_one(entries[0])
            elif entries:
                self._send_zip(entries)
        except FileNotFoundError:  # replaced or removed meanwhile
            self._with_bytes(entries)
        except CloudError as error:
            self._context.journal.note([entry.generation for entry in entries], job="")
            if isinstance(error, Refused) and len(entries) == 1:
                self._context.reject(entries[0], str(error))
            else:
                self._context.later(entries, error)

    def _with_bytes(self, entries: Sequence[Entry]) -> list[Entry]:
        """Those whose bytes are here; the others can never be sent."""
        context, found = self._context, []
        for entry in entries:
            path = context.staging.path(entry.uid)
            if path.exists():
                found.append(entry)
            elif context.journal.get(entry.generation) is not None:
                context.reject(entry, f"The bytes of {path} are gone from this machine")
        return found

    # -- a ZIP -------------------------------------------------------------------------------------

    def _send_zip(self, entries: Sequence[Entry]) -> None:
        context, one = self._context, entries[0]
        with tempfile.TemporaryFile(dir=context.staging.folder) as file:
            try:
                size = write_zip(file, [(one.uid, self._path(one)) for one in entries])
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
                    raise
                log.info("no ZIP of %d files can be made, sending them singly", len(entries))
                for entry in self._with_bytes(entries):
                    self._send_one(entry)
                return
            file.seek(0)
            url, job = context.cloud.files.bulk_upload_url(one.organization_id, one.dataset_id)
            context.journal.note(
                [entry.generation for entry in entries], sends=one.sends + 1, job=job or ""
            )
            try:
                context.cloud.objects.put(url, file, size, progress=self._go_on)
            except CloudError as error:
                if isinstance(error, NOT_SENT) or context.stopping.is_set():
                    raise
                # It may have arrived all the same; whether or not, what is there is seen below.
                log.info("unclear whether %d files were sent: %s", len(entries), error)
                context.line.failed(error)
                patience = context.timing.patience
            else:
                context.line.worked()
                patience = context.timing.job_patience
        complete = job is not None and self._unpacked(job, patience)
        missing = self._seen(entries, vouched=complete)
        if missing and not context.stopping.is_set():
            log.info("%d of %d files of a ZIP have not arrived", len(missing), len(entries))
            context.journal.note([entry.generation for entry in missing], sends=2, job="")
            context.not_seen(missing)

    def _unpacked(self, job_id: str, patience: float) -> bool:
        """Wait for a job; whether it says that everything is unpacked."""
        context = self._context
        pauses = context.pauses(patience)
        while pauses.more():
            try:
                job = context.cloud.files.job(job_id)
            except CloudError as error:
                if not error.retryable:
                    return False
                context.line.failed(error)
                continue
            context.line.worked()
            if job.state == "failed":
                log.warning("the server could not unpack a ZIP of files: %s", job.error)
                return False
            if job.state == "complete":
                return True
        return False

    def _seen(self, entries: Sequence[Entry], *, vouched: bool) -> list[Entry]:
        """Note those that have arrived; gives the others, after a while of looking."""
        context = self._context
        # A finished job has nothing more to come; one that is stuck, or none, may still.
        patience = context.timing.doubt if vouched else context.timing.patience
        pauses, left = context.pauses(patience), list(entries)
        while True:
            left = self._missing(left, vouched=vouched)
            if not left or not pauses.more():
                return left

    def _missing(self, entries: Sequence[Entry], *, vouched: bool = False) -> list[Entry]:
        """Note those that have arrived; gives the others."""
        context, one = self._context, entries[0]
        arrived: list[Entry] = []
        if len(entries) >= _ASK_FOR_ALL:
            listed = {
                file.uid: file for file in context.cloud.datasets.detail(one.dataset_id).files
            }
            context.line.worked()
            for entry in entries:
                shown = listed.get(entry.uid)
                there = shown is not None and _is_it(shown, entry)
                if there and (vouched or self._readable(entry)):
                    arrived.append(entry)
        else:
            arrived = [entry for entry in entries if self._readable(entry)]
        self._arrived(arrived)
        return [entry for entry in entries if entry not in arrived]

    # -- one file ----------------------------------------------------------------------------------

    def _send_one(self, entry: Entry) -> None:
        context = self._context
        context.journal.note([entry.generation], sends=entry.sends + 1)
        try:
            self._put(entry)
        except UrlExpired:
            self._put(entry)
        context.line.worked()
        pauses = context.pauses(context.timing.patience)
        while pauses.more():
            if self._readable(entry):
                self._arrived([entry])
                return
        context.not_seen([entry])

    def _put(self, entry: Entry) -> None:
        context = self._context
        url = context.cloud.files.upload_url(entry.organization_id, entry.dataset_id, entry.uid)
        with self._path(entry).open("rb") as file:
            context.cloud.objects.put(url, file, entry.size, progress=self._go_on)

    def _go_on(self, sent: int) -> None:
        """Break off where everything stops: the next process begins this file again."""
        del sent
        if self._context.stopping.is_set():
            raise ConnectionAbortedError(errno.ECONNABORTED, "stopped")

    def _readable(self, entry: Entry) -> bool:
        """Whether the server gives a byte of the file, and says that it is as long as it is."""
        cloud = self._context.cloud
        try:
            detail = cloud.files.detail(entry.dataset_id, entry.uid)
            if detail.url is None:
                return False
            found = cloud.objects.read(detail.url, 0, 1)
        except (NotFound, ObjectMissing):
            return False
        self._context.line.worked()
        return found.total == entry.size

    def _arrived(self, entries: Sequence[Entry]) -> None:
        context = self._context
        # The cache copies them: 9 s for 2 GiB, during which the document need not wait.
        held: list[tuple[Entry, Path]] = []
        try:
            for entry in entries:
                large = entry.size >= context.limits.small_file
                path = context.staging.hold(entry.uid) if large else None
                if path is None:
                    self._tell(entry, self._path(entry))
                else:
                    held.append((entry, path))
            context.journal.note(
                [entry.generation for entry in entries], arrived=True, tries=0, job="", reason=""
            )
            for entry, path in held:
                self._landed(context.journal.dataset(entry.dataset_id))
                self._tell(entry, path)
        finally:
            for _, path in held:
                path.unlink(missing_ok=True)

    def _tell(self, entry: Entry, path: Path) -> None:
        if not path.exists():
            return  # replaced or removed while it was sent
        stored = self._context.arrivals.file_stored
        self._context.tell(partial(stored, entry.dataset_id, entry.uid, entry.size, path))

    def _path(self, entry: Entry) -> Path:
        return self._context.staging.path(entry.uid)


def write_zip(file: BinaryIO, members: Sequence[tuple[str, Path]]) -> int:
    """Write flat entries named by uid, stored as they are (6.4, 6.6); gives the size. OSError."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for uid, path in members:
            with path.open("rb") as source, archive.open(zipfile.ZipInfo(uid), "w") as target:
                shutil.copyfileobj(source, target, _COPY)
    return file.tell()


def _is_it(shown: FileEntry, entry: Entry) -> bool:
    return shown.uploaded is True and shown.size in (None, entry.size)
