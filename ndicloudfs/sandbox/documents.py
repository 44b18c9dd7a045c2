"""Documents one by one, and their lists (5.1 - 5.5, 5.7)."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence

from aiohttp import web

from ndicloudfs.sandbox import dataset_rows, document_rows
from ndicloudfs.sandbox.access import Caller, own_dataset, visible_dataset
from ndicloudfs.sandbox.answers import answer, body_of, cast_error, page_of, refused
from ndicloudfs.sandbox.bodies import hoisted, parsed
from ndicloudfs.sandbox.datasets import stale_before
from ndicloudfs.sandbox.hydration import hydrated_texts
from ndicloudfs.sandbox.ids import is_cloud_id
from ndicloudfs.sandbox.tasks import PRUNE_DOCUMENTS, Task, plan
from ndicloudfs.sandbox.times import seconds_until
from ndicloudfs.sandbox.world import Auth, Route, World

_LARGEST_PAGE = 1000


class Documents:
    """The routes of single documents; the bulk routes are in bulk.py and stand before these."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.tasks.handlers[PRUNE_DOCUMENTS] = self._prune

    def routes(self) -> Sequence[Route]:
        """The rows of section 10, ``deleted`` before ids (the routing traps)."""
        return [
            Route("GET", "/datasets/{id}/documents", self.list, Auth.OPEN),
            Route("POST", "/datasets/{id}/documents", self.add, Auth.BEARER),
            Route("GET", "/datasets/{id}/documents/deleted", self.deleted, Auth.BEARER),
            Route("GET", "/datasets/{id}/documents/{docId}", self.one, Auth.OPEN),
            Route("POST", "/datasets/{id}/documents/{docId}", self.update, Auth.BEARER),
            Route("DELETE", "/datasets/{id}/documents/{docId}", self.delete, Auth.BEARER),
        ]

    async def list(self, request: web.Request) -> web.Response:
        """5.1: a page of summaries, 1000 at most."""
        return await self._page(request, deleted=False)

    async def deleted(self, request: web.Request) -> web.Response:
        """5.7: what is deleted and not pruned yet."""
        return await self._page(request, deleted=True)

    async def _page(self, request: web.Request, *, deleted: bool) -> web.Response:
        settings = self._world.settings
        page, before = page_of(request, _LARGEST_PAGE), stale_before(request)
        direction = "DESC" if settings.document_order == "reversed" else "ASC"

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            find = own_dataset if deleted else visible_dataset
            dataset = find(connection, caller, request.match_info["id"], settings)
            chosen = "FROM documents WHERE dataset_id = ? AND deleted = ?"
            values: tuple[object, ...] = (dataset.id, deleted)
            if before < math.inf:
                chosen, values = f"{chosen} AND created < ?", (*values, before)
            rows = connection.execute(
                "SELECT summary FROM documents WHERE seq IN"
                f" (SELECT seq {chosen} ORDER BY seq {direction} LIMIT ? OFFSET ?)"
                f" ORDER BY seq {direction}",
                (*values, page.size, page.offset),
            )
            text = f'{{"documents":[{",".join(row[0] for row in rows)}]'
            if not settings.document_list_total:
                return text + "}"
            total = connection.execute(f"SELECT count(*) {chosen}", values).fetchone()[0]
            return f'{text},"totalNumber":{total},"page":{page.number},"pageSize":{page.size}}}'

        return answer(await self._world.read(request, work))

    async def one(self, request: web.Request) -> web.Response:
        """5.2: the body, hoisted and hydrated."""

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            dataset = visible_dataset(
                connection, caller, request.match_info["id"], self._world.settings
            )
            row = _document(connection, dataset.id, request.match_info["docId"])
            if row["created"] >= stale_before(request):
                raise refused(404, "Document not found")
            return hoisted(row["id"], hydrated_texts(self._world, connection, dataset.id, [row])[0])

        return answer(await self._world.read(request, work))

    async def add(self, request: web.Request) -> web.Response:
        """5.3: store a bare body; the ndi id need not be new."""
        document, settings = parsed(await body_of(request)), self._world.settings

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            dataset = own_dataset(connection, caller, request.match_info["id"], settings)
            (document_id,) = document_rows.insert(
                connection, self._world.ids, dataset.id, [document]
            )
            dataset_rows.touch(connection, dataset.id, settings, documents=1)
            return document.summary(document_id, dataset.id)

        return answer(await self._world.write(request, work), settings.create_status)

    async def update(self, request: web.Request) -> web.Response:
        """5.4: replace the body."""
        document, settings = parsed(await body_of(request)), self._world.settings

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            dataset = own_dataset(connection, caller, request.match_info["id"], settings)
            row = _document(connection, dataset.id, request.match_info["docId"])
            dataset_rows.touch(connection, dataset.id, settings)
            return document_rows.replace(connection, row, document)

        return answer(await self._world.write(request, work))

    async def delete(self, request: web.Request) -> web.Response:
        """5.5: hide the document at once and prune it later."""
        settings, delay = self._world.settings, prune_delay(request.query.get("when"))

        def work(connection: sqlite3.Connection, caller: Caller) -> None:
            dataset = own_dataset(connection, caller, request.match_info["id"], settings)
            row = _document(connection, dataset.id, request.match_info["docId"])
            delete_documents(self._world, connection, dataset.id, [row["id"]], delay)

        await self._world.write(request, work)
        return answer({"message": "Document deleted"}, settings.delete_status)

    async def _prune(self, task: Task) -> None:
        ids = task.payload["ids"]

        def work(connection: sqlite3.Connection) -> None:
            for document_id in ids:
                document_rows.prune(connection, "id = ? AND deleted", (document_id,))

        await self._world.store.write(work)


def delete_documents(
    world: World,
    connection: sqlite3.Connection,
    dataset_id: str,
    document_ids: Sequence[str],
    delay: float,
) -> int:
    """Hide documents and plan to prune them; gives how many there were."""
    deleted = document_rows.mark_deleted(connection, dataset_id, document_ids)
    plan(connection, PRUNE_DOCUMENTS, delay, {"ids": list(document_ids)})
    dataset_rows.touch(connection, dataset_id, world.settings)
    return deleted


def prune_delay(when: object) -> float:
    """Seconds until a deletion with ``when`` becomes final, 7 days when not given (4.6)."""
    delay = seconds_until(str(when or "7d"))
    if delay is None:
        raise refused(400, f"Invalid value of when: {when}")
    return delay


def _document(connection: sqlite3.Connection, dataset_id: str, document_id: str) -> sqlite3.Row:
    if not is_cloud_id(document_id):
        raise cast_error(document_id, "Document")
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM documents JOIN bodies USING (seq)"
        " WHERE id = ? AND dataset_id = ? AND deleted = 0",
        (document_id.lower(), dataset_id),
    ).fetchone()
    if row is None:
        raise refused(404, "Document not found")
    return row
