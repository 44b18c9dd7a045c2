"""Filling a new dataset with documents and objects, over HTTP like any client.

Few calls: documents travel in ZIPs of thousands, small objects in ZIPs of 50 MB, large ones in a
PUT each (sections 5.10, 6.3, 6.4). Objects go first, so that no reader meets a document whose
bytes are still to come. Loaded means seen on the server, not "the call returned 200" (12, #805).
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO, Protocol, TypeVar

from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.errors import CloudError, TimedOut
from ndicloudfs.cloud.values import Json

DOCUMENTS_PER_ZIP = 4_000
ZIP_SIZE = 50_000_000  # bytes of content; the size that the MATLAB client uses (6.4)
ZIP_MEMBERS = 2_000
SMALL = 8_000_000  # bytes; from here on a PUT of its own costs little next to its bytes
WORKERS = 4
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0  # s between two looks at the server, doubling

T = TypeVar("T")


class NotLoaded(Exception):
    """A document or an object did not arrive: ``str(error)`` says which and why."""


class ObjectToLoad(Protocol):
    """What an object is read from."""

    @property
    def uid(self) -> str:
        """The uid it gets."""

    @property
    def size(self) -> int:
        """Its size in bytes."""

    @property
    def open(self) -> Callable[[], BinaryIO]:
        """Gives a new file at its start."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a load is: what was sent so far, ``size`` in bytes, and what is waited for."""

    documents: int = 0
    objects: int = 0
    size: int = 0
    waiting: bool = False


@dataclass(frozen=True, slots=True)
class _Sent:
    """Objects that have travelled together, and the job that unpacks them, if one does."""

    sizes: dict[str, int]
    job_id: str | None = None


class Loader:
    """Loads into one new, empty dataset.

    ``on_progress`` is called from the thread that loads. ``patience`` is how many seconds the
    server may show no progress while it is waited for. ``sleep`` and ``monotonic`` work in
    seconds.
    """

    def __init__(
        self,
        cloud: NdiCloud,
        organization_id: str,
        dataset_id: str,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        patience: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cloud = cloud
        self._organization_id = organization_id
        self._dataset_id = dataset_id
        self._on_progress = on_progress
        self._patience = patience
        self._sleep = sleep
        self._monotonic = monotonic
        self._progress = Progress()

    def load(self, documents: Iterable[Json], objects: Iterable[ObjectToLoad]) -> Progress:
        """Send everything and wait until the server shows it; gives what was sent.

        Stops at the first failure. Raises NotLoaded, which names what failed, or TimedOut when
        the server shows no progress any more.
        """
        sizes: dict[str, int] = {}
        jobs: dict[str, int] = {}
        tasks = (partial(self._send_objects, batch) for batch in batches(objects))
        for sent in in_parallel(tasks):
            sizes.update(sent.sizes)
            if sent.job_id is not None:
                jobs[sent.job_id] = len(sent.sizes)
            done = self._progress
            size = done.size + sum(sent.sizes.values())
            self._report(replace(done, objects=done.objects + len(sent.sizes), size=size))
        for count in in_parallel(
            partial(self._send_documents, batch) for batch in slices(documents, DOCUMENTS_PER_ZIP)
        ):
            done = self._progress
            self._report(replace(done, documents=done.documents + count))
        self._report(replace(self._progress, waiting=True))
        for job_id, count in jobs.items():
            self._wait_for("unpacked files", count, partial(self._unpacked, job_id, count))
        self._wait_for("documents", self._progress.documents, self._documents_seen)
        if sizes:
            self._wait_for("files", len(sizes), partial(self._objects_seen, sizes))
        return self._progress

    def publish(self) -> None:
        """Publish the dataset and wait until it is. Raises CloudError."""
        self._cloud.datasets.publish(self._dataset_id)
        self._wait_for("publication", 1, self._is_published)

    def _report(self, progress: Progress) -> None:
        self._progress = progress
        if self._on_progress is not None:
            self._on_progress(progress)

    def _send_documents(self, batch: list[Json]) -> int:
        try:
            return self._cloud.documents.bulk_upload(self._dataset_id, batch)
        except (CloudError, ValueError) as error:
            raise NotLoaded(f"{len(batch)} documents were not loaded: {error}") from error

    def _send_objects(self, batch: list[ObjectToLoad]) -> _Sent:
        try:
            if len(batch) == 1:
                return self._send_object(batch[0])
            return self._send_zip(batch)
        except (CloudError, OSError, ValueError) as error:
            what = f"file {batch[0].uid} was"
            if len(batch) > 1:
                what = f"{len(batch)} files, {batch[0].uid} the first, were"
            raise NotLoaded(f"{what} not loaded: {error}") from error

    def _send_object(self, item: ObjectToLoad) -> _Sent:
        url = self._cloud.files.upload_url(self._organization_id, self._dataset_id, item.uid)
        with item.open() as file:
            self._cloud.objects.put(url, file, item.size)
            if file.read(1):
                raise OSError(f"it grew beyond {item.size} bytes while it was sent")
        return _Sent({item.uid: item.size})

    def _send_zip(self, batch: list[ObjectToLoad]) -> _Sent:
        with tempfile.TemporaryFile() as file:
            write_zip(file, batch)
            size = file.tell()
            file.seek(0)
            url, job_id = self._cloud.files.bulk_upload_url(self._organization_id, self._dataset_id)
            self._cloud.objects.put(url, file, size)
        return _Sent({item.uid: item.size for item in batch}, job_id)

    def _wait_for(self, what: str, wanted: int, look: Callable[[], int]) -> None:
        """Look again and again until ``wanted`` are seen, or no more come for ``patience``."""
        seen, pause = -1, FIRST_PAUSE
        deadline = self._monotonic() + self._patience
        while True:
            now = look()
            if now >= wanted:
                return
            if now > seen:
                seen, pause = now, FIRST_PAUSE
                deadline = self._monotonic() + self._patience
            elif self._monotonic() >= deadline:
                raise TimedOut(
                    f"the server shows {now} of {wanted} {what} of dataset {self._dataset_id}, "
                    f"and no more for {self._patience:g} s; look again later"
                )
            self._sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _documents_seen(self) -> int:
        return self._cloud.datasets.document_count(self._dataset_id)

    def _unpacked(self, job_id: str, count: int) -> int:
        job = self._cloud.files.job(job_id)
        if job.state == "failed":
            raise NotLoaded(f"the server could not unpack {count} files: {job.error}")
        # All extracted is not yet readable; complete is (6.4).
        return count if job.state == "complete" else min(job.files_extracted or 0, count - 1)

    def _objects_seen(self, sizes: dict[str, int]) -> int:
        seen = 0
        for entry in self._cloud.datasets.detail(self._dataset_id).files:
            if entry.uid in sizes and entry.uploaded:
                if entry.size not in (None, sizes[entry.uid]):
                    raise NotLoaded(
                        f"file {entry.uid} has {entry.size} bytes on the server, "
                        f"not {sizes[entry.uid]}"
                    )
                seen += 1
        return seen

    def _is_published(self) -> int:
        return int(self._cloud.datasets.detail(self._dataset_id).row.is_published)


def slices(items: Iterable[T], length: int) -> Iterator[list[T]]:
    """Lists of ``length`` items each, the last may be shorter; none is empty."""
    rest = iter(items)
    while batch := list(itertools.islice(rest, length)):
        yield batch


def batches(objects: Iterable[ObjectToLoad]) -> Iterator[list[ObjectToLoad]]:
    """What travels together: a large object alone, small ones up to the size of a ZIP."""
    small: list[ObjectToLoad] = []
    size = 0
    for item in objects:
        if item.size >= SMALL:
            yield [item]
            continue
        if size + item.size > ZIP_SIZE or len(small) == ZIP_MEMBERS:
            yield small
            small, size = [], 0
        small.append(item)
        size += item.size
    if small:
        yield small


def write_zip(file: BinaryIO, objects: Iterable[ObjectToLoad]) -> None:
    """Write flat entries named by uid, stored (6.4, 6.6).

    Raises OSError, also for an object that does not have the size it should have.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for item in objects:
            entry = zipfile.ZipInfo(item.uid)
            with item.open() as source, archive.open(entry, "w") as target:
                shutil.copyfileobj(source, target)
            if entry.file_size != item.size:
                raise OSError(f"it changed from {item.size} to {entry.file_size} bytes")


def in_parallel(tasks: Iterable[Callable[[], T]], workers: int = WORKERS) -> Iterator[T]:
    """The results of ``tasks`` as they come, at most ``workers`` running or waiting to be taken.

    The first exception is raised when what is running has ended; no further task is started.
    """
    running: set[Future[T]] = set()
    with ThreadPoolExecutor(workers, "load") as pool:
        for task in tasks:
            if len(running) == workers:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
            running.add(pool.submit(task))
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)
