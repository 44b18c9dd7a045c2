"""Asking the server again now for what is known, and counting what has changed.

What was never looked at stays unknown: a refresh fetches no more than has been fetched before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ndicloudfs.cache.bodies import Bodies
from ndicloudfs.cache.catalog import Catalog
from ndicloudfs.cache.index import DocumentRow
from ndicloudfs.cache.scope import DatasetList, DatasetScope, Everything, Part, Scope

log = logging.getLogger(__name__)

BATCHES_IN_PARALLEL = 4  # section 8.4: 3 to 6 calls at a time are in use


@dataclass(slots=True)
class Refreshed:
    """What a refresh has done so far."""

    listings: int = 0  # asked for again
    bodies: int = 0  # fetched again
    added: int = 0  # documents and datasets that are new
    removed: int = 0  # that are gone
    changed: int = 0  # that are not what they were


class Refresh:
    """One refresh."""

    def __init__(self, catalog: Catalog, bodies: Bodies, step: Callable[[Refreshed], None]) -> None:
        """``step`` hears how far it is, after every few calls; what it raises ends the refresh."""
        self._catalog = catalog
        self._bodies = bodies
        self._step = step
        self.done = Refreshed()

    def run(self, scope: Scope) -> Refreshed:
        """Refresh all that is known of ``scope``. Raises CloudError."""
        if isinstance(scope, DatasetScope):
            self._dataset(scope)
        elif isinstance(scope, DatasetList):
            self._datasets(scope.organization_id)
        else:
            self._everything(scope)
        return self.done

    def _everything(self, scope: Everything) -> None:
        del scope
        self._listed(self._catalog.renew_organizations())
        for organization in self._catalog.organizations().items:
            self._datasets(organization.id)
        self._datasets("")

    def _datasets(self, organization_id: str) -> None:
        catalog = self._catalog

        def known() -> dict[str, object]:
            rows = catalog.known_datasets(organization_id)
            return {row.id: row for row in rows}

        before = known()
        renewed = (
            catalog.renew_datasets(organization_id)
            if organization_id
            else catalog.renew_published()
        )
        if not renewed:
            return
        self._compare(before, known())
        self._listed(renewed)
        for dataset_id in known():
            self._dataset(DatasetScope(dataset_id))

    def _dataset(self, scope: DatasetScope) -> None:
        catalog, dataset_id = self._catalog, scope.dataset_id
        if scope.part in (Part.ALL, Part.METADATA):
            before = catalog.known_fields(dataset_id)
            if catalog.renew_fields(dataset_id):
                self.done.changed += catalog.known_fields(dataset_id) != before
                self._listed(True)
        if scope.part is Part.METADATA:
            return
        if scope.uid and not scope.document_id:
            return  # an object never changes
        if scope.document_id:
            row = catalog.known_document(dataset_id, scope.document_id)
            self._renew_bodies(dataset_id, [] if row is None else [row])
            return
        classes = [scope.class_name] if scope.class_name else catalog.known_classes(dataset_id)
        before_rows = {name: self._rows(dataset_id, name) for name in classes}
        self._listed(catalog.renew_classes(dataset_id))
        for _ in catalog.renew_documents(dataset_id, classes):
            self._listed(True)
        for name in classes:
            self._compare(before_rows[name], self._rows(dataset_id, name))
            self._renew_bodies(dataset_id, catalog.known_documents(dataset_id, name))

    def _rows(self, dataset_id: str, class_name: str) -> dict[str, object]:
        rows = self._catalog.known_documents(dataset_id, class_name)
        return {row.id: (row.ndi_id, row.name) for row in rows}

    def _renew_bodies(self, dataset_id: str, rows: Iterable[DocumentRow]) -> None:
        known = {row.id: row for row in rows if row.body_at is not None}
        batches = self._bodies.batches(dataset_id, list(known.values()))
        with ThreadPoolExecutor(BATCHES_IN_PARALLEL, thread_name_prefix="ndi-refresh") as pool:
            jobs = [
                pool.submit(self._renew_batch, dataset_id, [known[id_] for id_ in ids])
                for ids in batches
            ]
            try:
                for job in jobs:
                    bodies, removed, changed = job.result()
                    self.done.bodies += bodies
                    self.done.removed += removed
                    self.done.changed += changed
                    self._step(self.done)
            finally:
                for job in jobs:
                    job.cancel()

    def _renew_batch(self, dataset_id: str, rows: list[DocumentRow]) -> tuple[int, int, int]:
        """How many bodies of ``rows`` have come, how many are gone, how many differ."""
        before = self._bodies.cached(dataset_id, rows)
        bodies = self._bodies.renew(dataset_id, [row.id for row in rows])
        removed = changed = 0
        for row, old in zip(rows, before, strict=True):
            body = bodies.get(row.id)
            if body is None:  # gone, or hollow
                removed += self._catalog.known_document(dataset_id, row.id) is None
            else:
                changed += len(body) != row.size if old is None else body != old
        return len(bodies), removed, changed

    def _listed(self, renewed: bool) -> None:
        self.done.listings += renewed
        self._step(self.done)

    def _compare(self, before: dict[str, object], after: dict[str, object]) -> None:
        self.done.added += len(after.keys() - before.keys())
        self.done.removed += len(before.keys() - after.keys())
        both = before.keys() & after.keys()
        self.done.changed += sum(before[id_] != after[id_] for id_ in both)
