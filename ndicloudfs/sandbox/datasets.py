"""Datasets: lists, detail, create, update, branches, bookmarks, counts (4)."""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Sequence

from aiohttp import web

from ndicloudfs.sandbox import dataset_rows, document_rows
from ndicloudfs.sandbox.access import Caller, load_dataset, own_dataset, visible_dataset
from ndicloudfs.sandbox.answers import (
    Json,
    answer,
    body_of,
    cast_error,
    page_of,
    refused,
)
from ndicloudfs.sandbox.ids import is_cloud_id
from ndicloudfs.sandbox.times import iso
from ndicloudfs.sandbox.world import FAULT, Auth, Route, World

# What belongs to an organization of the caller; everything does to an administrator.
_OWN = "(:admin OR organization_id IN (SELECT organization_id FROM members WHERE user_id = :user))"


class Datasets:
    """The routes of datasets; what happens to them later is in lifecycle.py."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> Sequence[Route]:
        """The rows of section 10, fixed names before ids (the routing traps)."""
        return [
            Route("GET", "/organizations/{orgId}/datasets", self.of_organization, Auth.BEARER),
            Route("POST", "/organizations/{orgId}/datasets", self.create, Auth.BEARER),
            Route("GET", "/datasets/published", self.published, Auth.IGNORED),
            Route("GET", "/datasets/unpublished", self.unpublished, Auth.BEARER),
            Route("GET", "/datasets/deleted", self.deleted, Auth.BEARER),
            Route("GET", "/datasets/user/{userId}/bookmarks", self.bookmarks, Auth.BEARER),
            Route("GET", "/datasets/{id}", self.detail, Auth.OPEN),
            Route("POST", "/datasets/{id}", self.update, Auth.BEARER),
            Route("POST", "/datasets/{id}/branch", self.branch, Auth.BEARER),
            Route("GET", "/datasets/{id}/branches", self.branches, Auth.OPEN),
            Route("POST", "/datasets/{id}/bookmark", self.bookmark, Auth.BEARER),
            Route("DELETE", "/datasets/{id}/bookmark", self.unbookmark, Auth.BEARER),
            Route("GET", "/datasets/{id}/document-count", self.count, Auth.OPEN),
            Route("GET", "/datasets/{id}/document-class-counts", self.class_counts, Auth.OPEN),
        ]

    async def of_organization(self, request: web.Request) -> web.Response:
        """4.1: every dataset of the organization, as far as the caller may see it."""
        organization_id = request.match_info["orgId"]
        if not is_cloud_id(organization_id):
            raise cast_error(organization_id, "Organization")
        where = f"organization_id = :organization AND deleted = 0 AND (published OR {_OWN})"
        return await self._list(request, where, organization=organization_id.lower())

    async def published(self, request: web.Request) -> web.Response:
        """4.1: all published datasets; only ``totalNumber`` and ``datasets`` in the envelope."""
        return await self._list(request, "published AND deleted = 0", echo=False)

    async def unpublished(self, request: web.Request) -> web.Response:
        """4.1: the review queue: submitted and not published."""
        return await self._list(request, "published = 0 AND submitted AND deleted = 0 AND " + _OWN)

    async def deleted(self, request: web.Request) -> web.Response:
        """4.1: deletion pending."""
        return await self._list(request, "deleted AND " + _OWN)

    async def _list(
        self, request: web.Request, where: str, *, echo: bool = True, organization: str = ""
    ) -> web.Response:
        settings = self._world.settings
        page = page_of(request, settings.max_dataset_page_size)
        direction = "DESC" if settings.dataset_order == "reversed" else "ASC"
        before = stale_before(request)

        def work(connection: sqlite3.Connection, caller: Caller) -> Json:
            known = {
                "organization": organization,
                "user": caller.user_id,
                "admin": caller.admin,
                "before": before,
                "size": page.size,
                "offset": page.offset,
            }
            chosen = f"FROM datasets WHERE {where} AND created < :before"
            total = connection.execute(f"SELECT count(*) {chosen}", known).fetchone()[0]
            rows = connection.execute(
                f"SELECT id, fields {chosen} ORDER BY seq {direction} LIMIT :size OFFSET :offset",
                known,
            )
            body: Json = {"totalNumber": total}
            if echo and settings.list_echo_page:
                body.update(page=page.number, pageSize=page.size)
            body["datasets"] = [_row(row) for row in rows]
            return body

        return answer(await self._world.read(request, work))

    async def detail(self, request: web.Request) -> web.Response:
        """4.3: the raw document, with all document ids and all files."""
        settings, before = self._world.settings, stale_before(request)

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            dataset = visible_dataset(connection, caller, request.match_info["id"], settings)
            if dataset.created >= before:
                raise refused(404, "Dataset not found")
            return dataset_rows.detail_text(connection, dataset, settings.detail_documents, before)

        return answer(await self._world.read(request, work))

    async def create(self, request: web.Request) -> web.Response:
        """4.4: 201 with the new draft; 400 without the right to upload."""
        sent, organization_id = await body_of(request), request.match_info["orgId"]

        def work(connection: sqlite3.Connection, caller: Caller) -> Json:
            if not is_cloud_id(organization_id):
                raise cast_error(organization_id, "Organization")
            organization = connection.execute(
                "SELECT * FROM organizations WHERE id = ?", (organization_id.lower(),)
            ).fetchone()
            if organization is None:
                raise refused(404, "Organization not found")
            if not caller.belongs_to(organization["id"]):
                raise refused(403, "You do not belong to this organization")
            if not organization["can_upload"]:
                raise refused(400, "Organization is not allowed to upload datasets")
            _check_name(sent)
            fields = dataset_rows.new_fields(organization["id"], sent)
            dataset = dataset_rows.insert(connection, self._world.ids, fields)
            return dataset_rows.with_id(dataset)

        return answer(await self._world.write(request, work), 201)

    async def update(self, request: web.Request) -> web.Response:
        """4.5: change the fields that are sent; ``isSubmitted: false`` withdraws."""
        sent = await body_of(request)

        def work(connection: sqlite3.Connection, caller: Caller) -> Json:
            dataset = own_dataset(
                connection, caller, request.match_info["id"], self._world.settings
            )
            if "name" in sent:
                _check_name(sent)
            known = {key: sent[key] for key in dataset_rows.CLIENT_FIELDS if key in sent}
            dataset.fields.update(known, updatedAt=iso(time.time()))
            if sent.get("isSubmitted") is False:
                dataset.fields["isSubmitted"] = False
            dataset_rows.save(connection, dataset)
            return dataset_rows.with_id(dataset)

        return answer(await self._world.write(request, work))

    async def branch(self, request: web.Request) -> web.Response:
        """4.8: a copy that shares the objects of its origin."""
        sent = await body_of(request)

        def work(connection: sqlite3.Connection, caller: Caller) -> Json:
            origin = own_dataset(connection, caller, request.match_info["id"], self._world.settings)
            sent_fields = {**origin.fields, "branchName": sent.get("branchName") or "branch"}
            fields = dataset_rows.new_fields(str(origin.organization_id), sent_fields)
            fields.update(branchOf=origin.id, totalSize=origin.fields.get("totalSize", 0))
            copy = dataset_rows.insert(connection, self._world.ids, fields)
            fields["documentCount"] = document_rows.copy_all(
                connection, self._world.ids, origin.id, copy.id
            )
            dataset_rows.save(connection, copy)
            connection.execute(
                "INSERT INTO files (dataset_id, uid, object_key, size, created, entry)"
                " SELECT ?, uid, object_key, size, ?, entry FROM files WHERE dataset_id = ?"
                " ORDER BY seq",
                (copy.id, time.time(), origin.id),
            )
            return dataset_rows.with_id(copy)

        return answer(await self._world.write(request, work))

    async def branches(self, request: web.Request) -> web.Response:
        """4.8: the branches that the caller may see."""

        def work(connection: sqlite3.Connection, caller: Caller) -> list[Json]:
            origin = visible_dataset(
                connection, caller, request.match_info["id"], self._world.settings
            )
            rows = connection.execute(
                "SELECT * FROM datasets WHERE branch_of = ? AND deleted = 0 ORDER BY seq",
                (origin.id,),
            )
            return [
                _row(row)
                for row in rows
                if row["published"] or caller.belongs_to(row["organization_id"])
            ]

        rows = await self._world.read(request, work)
        shape = self._world.settings.branches_shape
        return answer(rows if shape == "list" else {shape: rows})

    async def bookmark(self, request: web.Request) -> web.Response:
        """4.8: remember a dataset."""

        def work(connection: sqlite3.Connection, caller: Caller) -> None:
            dataset = visible_dataset(
                connection, caller, request.match_info["id"], self._world.settings
            )
            connection.execute(
                "INSERT OR IGNORE INTO bookmarks (user_id, dataset_id) VALUES (?, ?)",
                (caller.user_id, dataset.id),
            )

        await self._world.write(request, work)
        return answer({"message": "Bookmarked"})

    async def unbookmark(self, request: web.Request) -> web.Response:
        """4.8: forget it."""

        def work(connection: sqlite3.Connection, caller: Caller) -> None:
            dataset = load_dataset(connection, request.match_info["id"])
            connection.execute(
                "DELETE FROM bookmarks WHERE user_id = ? AND dataset_id = ?",
                (caller.user_id, dataset.id),
            )

        await self._world.write(request, work)
        return answer({"message": "Bookmark removed"})

    async def bookmarks(self, request: web.Request) -> web.Response:
        """4.1: the datasets that a user has bookmarked and may still see."""
        user_id = request.match_info["userId"]
        if not is_cloud_id(user_id):
            raise cast_error(user_id, "User")

        def work(connection: sqlite3.Connection, caller: Caller) -> list[Json]:
            if not caller.admin and caller.user_id != user_id:
                raise refused(403, "These are somebody else's bookmarks")
            rows = connection.execute(
                "SELECT d.* FROM bookmarks b JOIN datasets d ON d.id = b.dataset_id"
                " WHERE b.user_id = ? AND d.deleted = 0 ORDER BY b.rowid",
                (user_id,),
            )
            return [
                _row(row)
                for row in rows
                if row["published"] or caller.belongs_to(row["organization_id"])
            ]

        rows = await self._world.read(request, work)
        as_list = self._world.settings.bookmarks_shape == "list"
        return answer(rows if as_list else {"totalNumber": len(rows), "datasets": rows})

    async def count(self, request: web.Request) -> web.Response:
        """4.9: how many documents there are now."""
        deleted = request.query.get("includeDeleted", "").lower() == "true"
        before = stale_before(request)

        def work(connection: sqlite3.Connection, caller: Caller) -> Json:
            dataset = visible_dataset(
                connection, caller, request.match_info["id"], self._world.settings
            )
            count = _count(connection, dataset.id, before)
            if deleted:
                count += _count(connection, dataset.id, before, deleted=True)
            return {"datasetId": dataset.id, "count": count}

        return answer(await self._world.read(request, work))

    async def class_counts(self, request: web.Request) -> web.Response:
        """4.9: documents by leaf class; an empty class counts as ``unknown``."""

        def work(connection: sqlite3.Connection, caller: Caller) -> Json:
            dataset = visible_dataset(
                connection, caller, request.match_info["id"], self._world.settings
            )
            rows = connection.execute(
                "SELECT ifnull(nullif(class_name, ''), 'unknown') AS leaf, sum(n) FROM"
                " (SELECT lineage_id, count(*) AS n FROM documents"
                "  WHERE dataset_id = ? AND deleted = 0 GROUP BY lineage_id)"
                " JOIN lineages ON lineages.id = lineage_id GROUP BY leaf",
                (dataset.id,),
            )
            counts = {row[0]: row[1] for row in rows}
            total = sum(counts.values())
            return {"datasetId": dataset.id, "totalDocuments": total, "classCounts": counts}

        return answer(await self._world.read(request, work))


def stale_before(request: web.Request) -> float:
    """The moment from which a stale answer knows nothing; without such a fault never."""
    fault = request[FAULT]
    if fault is None or fault.kind != "stale":
        return math.inf
    return time.time() - float(fault.number_of("seconds", 60))


def _row(row: sqlite3.Row) -> Json:
    return dataset_rows.list_row(row["id"], json.loads(row["fields"]))


def _check_name(sent: Json) -> None:
    name = sent.get("name")
    if not isinstance(name, str) or not name:
        raise refused(400, "Dataset validation failed: name: Path `name` is required.")


def _count(
    connection: sqlite3.Connection, dataset_id: str, before: float, *, deleted: bool = False
) -> int:
    # The condition on the time is no part of the index: it is asked only where it matters.
    sql = "SELECT count(*) FROM documents WHERE dataset_id = ? AND deleted = ?"
    if before == math.inf:
        return int(connection.execute(sql, (dataset_id, deleted)).fetchone()[0])
    stale = connection.execute(f"{sql} AND created < ?", (dataset_id, deleted, before))
    return int(stale.fetchone()[0])
