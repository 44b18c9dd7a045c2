"""The routes that search: ndiquery and the two searches that know no caller (5.11, 5.12)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from aiohttp import web

from ndicloudfs.sandbox.access import Caller
from ndicloudfs.sandbox.answers import Json, Page, answer, body_of, page_of, refused
from ndicloudfs.sandbox.dataset_rows import list_row
from ndicloudfs.sandbox.ids import is_cloud_id
from ndicloudfs.sandbox.narrowing import narrowed
from ndicloudfs.sandbox.query import Candidate, condition
from ndicloudfs.sandbox.world import Auth, Route, World

_LARGEST_PAGE = 1000


class Queries:
    """The routes of section 10 that search."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> Sequence[Route]:
        """The rows of section 10; ``search`` stands before ids (the routing traps)."""
        return [
            Route("POST", "/ndiquery", self.query, Auth.OPEN),
            Route("POST", "/datasets/search", self.search_datasets, Auth.IGNORED),
            Route("POST", "/documents/search", self.search_documents, Auth.IGNORED),
        ]

    async def query(self, request: web.Request) -> web.Response:
        """5.11: a page of the summaries of the documents that match."""
        sent, page = await body_of(request), page_of(request, _LARGEST_PAGE)
        condition(sent.get("searchstructure"))
        _check_scope(sent.get("scope"))

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            if caller.user_id is None and self._world.settings.anonymous_query == "empty":
                return _answer_text(connection, [], 0, page)
            datasets = _datasets(connection, caller, str(sent["scope"]))
            return _found(connection, datasets, sent["searchstructure"], page)

        return answer(await self._world.read(request, work))

    async def search_documents(self, request: web.Request) -> web.Response:
        """5.12: as ndiquery over what is public, whoever asks; the shape is not recorded."""
        sent, page = await body_of(request), page_of(request, _LARGEST_PAGE)
        structure = sent.get("searchstructure", [])
        condition(structure)

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            datasets = _datasets(connection, caller, "public")
            return _found(connection, datasets, structure, page)

        return answer(await self._world.read(request, work))

    async def search_datasets(self, request: web.Request) -> web.Response:
        """5.12: public datasets whose name or abstract contains ``query``; shape not recorded."""
        wanted = str((await body_of(request)).get("query") or "").casefold()

        def work(connection: sqlite3.Connection, _: Caller) -> list[Json]:
            rows = connection.execute(
                "SELECT id, fields FROM datasets WHERE published AND deleted = 0 ORDER BY seq"
            )
            datasets = ((row["id"], json.loads(row["fields"])) for row in rows)
            return [list_row(one, fields) for one, fields in datasets if _speaks_of(fields, wanted)]

        found = await self._world.read(request, work)
        return answer({"totalNumber": len(found), "datasets": found})


def _found(
    connection: sqlite3.Connection, datasets: Sequence[str], structure: list[Json], page: Page
) -> str:
    """The page of the documents that match, as JSON text."""
    narrow = narrowed(connection, datasets, structure)
    if not narrow.rest:
        total = connection.execute(
            f"SELECT count(*) FROM documents WHERE {narrow.where}", narrow.values
        ).fetchone()[0]
        rows = connection.execute(
            f"SELECT seq FROM documents WHERE {narrow.where} ORDER BY seq LIMIT ? OFFSET ?",
            (*narrow.values, page.size, page.offset),
        )
        return _answer_text(connection, [row[0] for row in rows], total, page)
    fits = condition(list(narrow.rest))
    lineages = {
        row["id"]: frozenset(json.loads(row["names"]))
        for row in connection.execute("SELECT id, names FROM lineages")
    }
    rows = connection.execute(
        "SELECT seq, lineage_id, body FROM documents JOIN bodies USING (seq)"
        f" WHERE {narrow.where} ORDER BY seq",
        narrow.values,
    )
    found = [
        row["seq"]
        for row in rows
        if fits(Candidate(json.loads(row["body"]), lineages[row["lineage_id"]]))
    ]
    return _answer_text(connection, found[page.offset : page.offset + page.size], len(found), page)


def _answer_text(
    connection: sqlite3.Connection, found: Sequence[int], total: int, page: Page
) -> str:
    marks = ",".join("?" * len(found))
    rows = connection.execute(
        f"SELECT summary FROM documents WHERE seq IN ({marks}) ORDER BY seq", found
    )
    documents = ",".join(row["summary"] for row in rows)
    return (
        f'{{"documents":[{documents}],"number_matches":{total},'
        f'"page":{page.number},"pageSize":{page.size}}}'
    )


def _speaks_of(fields: Json, wanted: str) -> bool:
    return any(wanted in str(fields.get(name) or "").casefold() for name in ("name", "abstract"))


def _check_scope(scope: object) -> None:
    named = str(scope or "").split(",")
    if scope not in ("public", "private", "all") and not all(map(is_cloud_id, named)):
        raise refused(400, "scope must be public, private, all or dataset ids")


def _datasets(connection: sqlite3.Connection, caller: Caller, scope: str) -> list[str]:
    """The datasets that ``scope`` means for ``caller``; inaccessible ids are dropped silently."""
    rows = connection.execute(
        "SELECT id, organization_id, published FROM datasets WHERE deleted = 0"
    ).fetchall()
    public = {row["id"] for row in rows if row["published"]}
    private = {row["id"] for row in rows if caller.belongs_to(row["organization_id"])} - public
    known = {"public": public, "private": private, "all": public | private}
    chosen = known.get(scope)
    if chosen is None:
        chosen = set(scope.lower().split(",")) & known["all"]
    return sorted(chosen)
