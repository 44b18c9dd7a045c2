"""Bringing documents and files into the cache before anybody reads them.

What is cached is skipped, so that a prefetch that was interrupted goes on where it ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TypeVar

from ndicloudfs.cache.blockfile import BLOCK, BLOCKS
from ndicloudfs.cache.bodies import Bodies
from ndicloudfs.cache.catalog import Catalog
from ndicloudfs.cache.index import DocumentRow
from ndicloudfs.cache.memory import ObjectFile
from ndicloudfs.cache.objects import Objects
from ndicloudfs.cache.scope import DatasetScope, Part
from ndicloudfs.cloud.errors import (
    CloudError,
    NotFound,
    NotSignedIn,
    ObjectMissing,
    TimedOut,
    Unreachable,
)

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCHES_IN_PARALLEL = 4  # section 8.4: 3 to 6 calls at a time are in use
PARTS_IN_PARALLEL = 8  # of 8 MiB: what a network of 30 ms and 80 MB/s per connection needs
FILES_IN_PARALLEL = 8  # of which the size is made certain ahead
_LOOK_EVERY = 0.5  # s
_ROWS = 500  # looked up in the cache at a time
_ERRORS_KEPT = 20
# What fails for one fails for all.
_FOR_ALL = (Unreachable, TimedOut, NotSignedIn)


class TooMuch(Exception):
    """More than the cache can hold: what came first would go before the last has come."""


@dataclass(slots=True)
class Prefetched:
    """How far a prefetch is. ``bytes`` are of files, and ``cached`` those that were there."""

    documents: int = 0
    documents_total: int = 0
    files: int = 0
    files_total: int = 0
    bytes: int = 0
    bytes_total: int = 0
    cached: int = 0
    missing: int = 0  # files without bytes on the server
    failed: int = 0
    errors: list[str] = field(default_factory=list)  # the first few


class Prefetch:
    """One prefetch."""

    def __init__(
        self,
        catalog: Catalog,
        bodies: Bodies,
        objects: Objects,
        limit: int,
        step: Callable[[Prefetched], None],
    ) -> None:
        """``limit``: bytes that the cache may take.

        ``step`` hears how far it is, often and from one thread; what it raises ends the prefetch.
        """
        self._catalog = catalog
        self._bodies = bodies
        self._objects = objects
        self._limit = limit
        self._step = step
        self._lock = threading.Lock()
        self.done = Prefetched()

    def run(self, scopes: Sequence[DatasetScope]) -> Prefetched:
        """Bring all of ``scopes``. Raises ``TooMuch``, and CloudError where nothing can be had."""
        files: dict[tuple[str, str], None] = {}
        for scope in _merged(scopes):
            if scope.part in (Part.ALL, Part.METADATA):
                self._catalog.fields(scope.dataset_id)
                self._step(self.done)
            if scope.uid:
                files[scope.dataset_id, scope.uid] = None
                continue
            for rows in self._documents(scope):
                self._bring_bodies(scope.dataset_id, rows)
                if scope.part in (Part.ALL, Part.FILES):
                    for uid in self._uids(scope.dataset_id, rows):
                        files[scope.dataset_id, uid] = None
        self._bring_files(list(files))
        return self.done

    def _documents(self, scope: DatasetScope) -> Iterator[list[DocumentRow]]:
        """The documents of a scope, some at a time."""
        if scope.part is Part.METADATA:
            return
        if scope.document_id:
            self.done.documents_total += 1
            yield [self._bodies.described(scope.dataset_id, scope.document_id)]
            return
        if scope.class_name:
            names = [scope.class_name]
        else:
            self._catalog.know_all(scope.dataset_id)
            names = [name for name, _ in self._catalog.classes(scope.dataset_id).items]
        for name in names:
            listed = iter(self._catalog.documents(scope.dataset_id, name))
            self.done.documents_total += sum(
                1 for _ in self._catalog.known_documents(scope.dataset_id, name)
            )
            self._step(self.done)
            while rows := list(islice(listed, BATCHES_IN_PARALLEL * _ROWS)):
                yield rows

    def _bring_bodies(self, dataset_id: str, rows: list[DocumentRow]) -> None:
        cached = self._bodies.cached(dataset_id, rows)
        absent = [row for row, body in zip(rows, cached, strict=True) if body is None]
        self.done.documents += len(rows) - len(absent)

        def bring(ids: list[str]) -> int:
            with self._noted(f"{len(ids)} documents", len(ids)):
                return len(self._bodies.renew(dataset_id, ids))
            return 0

        for count in self._parallel(
            bring, self._bodies.batches(dataset_id, absent), BATCHES_IN_PARALLEL
        ):
            self.done.documents += count
            self._step(self.done)

    def _uids(self, dataset_id: str, rows: list[DocumentRow]) -> Iterator[str]:
        for row in rows:
            try:
                links = self._bodies.files(dataset_id, row.id) if row.has_files != 0 else []
            except NotFound:  # deleted since it was listed
                continue
            yield from (link.uid for link in links if link.uid)

    def _bring_files(self, places: list[tuple[str, str]]) -> None:
        stated = self._sizes(places)
        if self.done.bytes_total > self._limit:
            raise TooMuch(
                f"The files have {self.done.bytes_total / 1e9:.1f} GB and the cache may take"
                f" {self._limit / 1e9:.1f} GB; mount with a larger --cache-size"
            )
        left: dict[ObjectFile, int] = {}

        def certain(place: tuple[str, str]) -> tuple[int, ObjectFile | None]:
            file = None
            with self._noted(f"File {place[1]}"):
                file = self._objects.file(*place)
            return stated[place], file

        def parts() -> Iterator[tuple[ObjectFile, int]]:
            for size, file in self._parallel(certain, stated, FILES_IN_PARALLEL):
                if file is None:
                    continue
                self.done.bytes_total += file.size - size
                left[file] = -(-file.size // (BLOCKS * BLOCK))
                self.done.files += not left[file]
                yield from ((file, part) for part in range(left[file]))

        def bring(task: tuple[ObjectFile, int]) -> tuple[ObjectFile, int, bool]:
            file, part = task
            with self._noted(f"File {file.uid}"):
                return file, *self._objects.keep(file, part)
            return file, 0, False

        for file, size, cached in self._parallel(bring, parts(), PARTS_IN_PARALLEL):
            self.done.bytes += size
            self.done.cached += size if cached else 0
            left[file] -= bool(size)  # a file of which a part failed is never done
            self.done.files += not left[file]
            self._step(self.done)

    def _sizes(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """The sizes that the server states for the files that there are."""
        sizes = {}
        for place in places:
            with self._noted(f"File {place[1]}"):
                sizes[place] = self._objects.size(*place)
                self.done.files_total += 1
                self.done.bytes_total += sizes[place]
            self._step(self.done)
        return sizes

    @contextmanager
    def _noted(self, what: str, count: int = 1) -> Iterator[None]:
        """Note what fails, and go on with the rest."""
        try:
            yield
        except _FOR_ALL:
            raise
        except ObjectMissing:
            with self._lock:
                self.done.missing += 1
        except CloudError as error:
            with self._lock:
                self.done.failed += count
                if len(self.done.errors) < _ERRORS_KEPT:
                    self.done.errors.append(f"{what}: {error}")

    def _parallel(
        self, work: Callable[[Item], Result], items: Iterable[Item], width: int
    ) -> Iterator[Result]:
        """What ``work`` makes of each of ``items``, ``width`` at a time, as it comes."""
        waiting = iter(items)
        coming: set[Future[Result]] = set()
        with ThreadPoolExecutor(width, thread_name_prefix="ndi-prefetch") as pool:
            try:
                while True:
                    for item in islice(waiting, 2 * width - len(coming)):
                        coming.add(pool.submit(work, item))
                    if not coming:
                        return
                    ended, coming = wait(coming, _LOOK_EVERY, FIRST_COMPLETED)
                    for future in ended:
                        yield future.result()
                    self._step(self.done)  # also while nothing comes
            finally:
                for future in coming:
                    future.cancel()


def _merged(scopes: Iterable[DatasetScope]) -> Iterator[DatasetScope]:
    """Each place once, with all parts of it that are wanted."""
    parts: dict[DatasetScope, set[Part]] = {}
    for scope in scopes:
        parts.setdefault(replace(scope, part=Part.ALL), set()).add(scope.part)
    for place, wanted in parts.items():
        yield replace(place, part=wanted.pop()) if len(wanted) == 1 else place
