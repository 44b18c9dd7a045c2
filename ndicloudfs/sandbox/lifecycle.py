"""What becomes of a dataset: submit, publish, unpublish, delete, undelete, prune (4.6, 4.7)."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Sequence

from aiohttp import web

from ndicloudfs.sandbox import dataset_rows, document_rows
from ndicloudfs.sandbox.access import Caller, Dataset, load_dataset, own_dataset
from ndicloudfs.sandbox.answers import Refusal, answer, refused
from ndicloudfs.sandbox.documents import prune_delay
from ndicloudfs.sandbox.tasks import PRUNE_DATASET, Task, plan
from ndicloudfs.sandbox.times import iso
from ndicloudfs.sandbox.world import Auth, Route, World

_PUBLISH, _UNPUBLISH, _UNDELETE = "publish", "unpublish", "undelete"


class Lifecycle:
    """The routes that change the state of a dataset."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.tasks.handlers.update(
            {
                _PUBLISH: self._publish,
                _UNPUBLISH: self._unpublish,
                _UNDELETE: self._undelete,
                PRUNE_DATASET: self._prune,
            }
        )

    def routes(self) -> Sequence[Route]:
        """The rows of section 10."""
        return [
            Route("DELETE", "/datasets/{id}", self.delete, Auth.BEARER),
            Route("POST", "/datasets/{id}/undelete", self.undelete, Auth.BEARER),
            Route("POST", "/datasets/{id}/submit", self.submit, Auth.BEARER),
            Route("POST", "/datasets/{id}/publish", self.publish, Auth.BEARER),
            Route("POST", "/datasets/{id}/unpublish", self.unpublish, Auth.BEARER),
        ]

    async def submit(self, request: web.Request) -> web.Response:
        """4.7: put a draft into the review queue."""

        def work(connection: sqlite3.Connection, caller: Caller) -> None:
            dataset = own_dataset(
                connection, caller, request.match_info["id"], self._world.settings
            )
            self._change(connection, dataset, isSubmitted=True)

        await self._world.write(request, work)
        return answer({"message": "Dataset submitted"})

    async def publish(self, request: web.Request) -> web.Response:
        """4.7: an administrator starts to publish."""
        await self._start(request, _PUBLISH, "isPublishing", "publishProgress")
        return answer({"message": "Publishing started"})

    async def unpublish(self, request: web.Request) -> web.Response:
        """4.7: an administrator starts to unpublish."""
        await self._start(request, _UNPUBLISH, "isUnpublishing", "unpublishProgress")
        return answer({"message": "Unpublishing started"})

    async def _start(self, request: web.Request, kind: str, flag: str, progress: str) -> None:
        def work(connection: sqlite3.Connection, caller: Caller) -> None:
            if not caller.admin:
                raise refused(403, "Only an administrator may do this")
            dataset = load_dataset(connection, request.match_info["id"])
            if dataset.deleted:
                raise refused(404, "Dataset not found")
            files = connection.execute(
                "SELECT count(*) FROM files WHERE dataset_id = ?", (dataset.id,)
            ).fetchone()[0]
            counters = {"total": files, "completed": 0, "failed": 0}
            self._change(connection, dataset, **{flag: True, progress: counters})
            plan(connection, kind, self._world.settings.publish, {"dataset_id": dataset.id})

        await self._world.write(request, work)

    async def _publish(self, task: Task) -> None:
        await self._finish(task, "isPublishing", "publishProgress", published=True)

    async def _unpublish(self, task: Task) -> None:
        await self._finish(task, "isUnpublishing", "unpublishProgress", published=False)

    async def _finish(self, task: Task, flag: str, progress: str, *, published: bool) -> None:
        def work(connection: sqlite3.Connection) -> None:
            dataset = _still_there(connection, task)
            if dataset is None:
                return
            total = dataset.fields.get(progress, {}).get("total", 0)
            counters = {"total": total, "completed": total, "failed": 0}
            changes: dict[str, object] = {flag: False, progress: counters, "isPublished": published}
            self._change(connection, dataset, **changes, isSubmitted=False)

        await self._world.store.write(work)

    async def delete(self, request: web.Request) -> web.Response:
        """4.6: the dataset moves to the deleted ones, and is removed after ``when``."""
        settings, delay = self._world.settings, prune_delay(request.query.get("when"))

        def work(connection: sqlite3.Connection, caller: Caller) -> None:
            dataset = own_dataset(connection, caller, request.match_info["id"], settings)
            now = time.time()
            self._change(
                connection,
                dataset,
                isDeleted=True,
                deleteCommandTime=iso(now),
                deleteOccurrenceTime=iso(now + delay),
            )
            plan(connection, PRUNE_DATASET, delay, {"dataset_id": dataset.id})

        await self._world.write(request, work)
        return answer({"message": "Dataset deleted"}, settings.delete_status)

    async def undelete(self, request: web.Request) -> web.Response:
        """4.6: start to bring a dataset back that is not pruned yet."""

        def work(connection: sqlite3.Connection, caller: Caller) -> None:
            dataset = load_dataset(connection, request.match_info["id"])
            if not caller.belongs_to(dataset.organization_id):
                raise refused(self._world.settings.private_status, "You do not have access")
            if not dataset.deleted:
                raise refused(400, "The dataset is not deleted")
            plan(connection, _UNDELETE, self._world.settings.undelete, {"dataset_id": dataset.id})

        await self._world.write(request, work)
        return answer({"message": "Undelete process started"})

    async def _undelete(self, task: Task) -> None:
        def work(connection: sqlite3.Connection) -> None:
            dataset = _still_there(connection, task)
            if dataset is None:
                return
            for name in ("deleteCommandTime", "deleteOccurrenceTime"):
                dataset.fields.pop(name, None)
            self._change(connection, dataset, isDeleted=False)

        await self._world.store.write(work)

    async def _prune(self, task: Task) -> None:
        """Remove the dataset, unless it was brought back or deleted anew in the meantime."""

        def work(connection: sqlite3.Connection) -> list[str]:
            dataset = _still_there(connection, task)
            occurrence = dataset.fields.get("deleteOccurrenceTime", "") if dataset else ""
            if dataset is None or not dataset.deleted or occurrence > iso(time.time()):
                return []
            document_rows.prune(connection, "dataset_id = ?", (dataset.id,))
            orphans = connection.execute(
                "SELECT object_key FROM files WHERE dataset_id = :id AND object_key NOT IN"
                " (SELECT object_key FROM files WHERE dataset_id != :id AND object_key NOT NULL)",
                {"id": dataset.id},
            ).fetchall()
            for table in ("files", "uploads", "bulk_uploads", "bookmarks"):
                connection.execute(f"DELETE FROM {table} WHERE dataset_id = ?", (dataset.id,))
            connection.execute("DELETE FROM datasets WHERE id = ?", (dataset.id,))
            return [row["object_key"] for row in orphans]

        for object_key in await self._world.store.write(work):
            await asyncio.to_thread(self._world.object_file(object_key).unlink, missing_ok=True)

    def _change(self, connection: sqlite3.Connection, dataset: Dataset, **changes: object) -> None:
        dataset.fields.update(changes, updatedAt=iso(time.time()))
        dataset_rows.save(connection, dataset)


def _still_there(connection: sqlite3.Connection, task: Task) -> Dataset | None:
    try:
        return load_dataset(connection, task.payload["dataset_id"])
    except Refusal:
        return None
