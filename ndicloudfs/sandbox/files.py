"""Files: detail, upload URLs, registration, jobs of ZIPs (6)."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from ndicloudfs.sandbox import dataset_rows
from ndicloudfs.sandbox.access import Caller, Dataset, own_dataset, visible_dataset
from ndicloudfs.sandbox.answers import Json, answer, refused
from ndicloudfs.sandbox.datasets import stale_before
from ndicloudfs.sandbox.tasks import Task
from ndicloudfs.sandbox.times import iso
from ndicloudfs.sandbox.uploads import (
    EXTRACT_FILES,
    FILE,
    FILES_ZIP,
    REGISTER_FILE,
    file_entry,
    new_upload,
)
from ndicloudfs.sandbox.world import Auth, Route, World

_ACTIVE = ("queued", "extracting")
_STATES = {"active": _ACTIVE, "all": (*_ACTIVE, "complete", "failed")}


class Files:
    """The routes of files and of the jobs that bring them."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.tasks.handlers[REGISTER_FILE] = self._register
        world.tasks.handlers[EXTRACT_FILES] = self._extract

    def routes(self) -> Sequence[Route]:
        """The rows of section 10, ``bulk`` before uids (the routing traps)."""
        bulk = "/datasets/{orgId}/{id}/files/bulk"
        return [
            Route("GET", "/datasets/{id}/files/{uid}/detail", self.detail, Auth.OPEN),
            Route("GET", bulk, self.bulk_url, Auth.BEARER),
            Route("POST", bulk, self.bulk_url, Auth.BEARER),
            Route("GET", "/datasets/{orgId}/{id}/files/{uid}", self.url, Auth.BEARER),
            Route("GET", "/bulk-uploads/{jobId}", self.job, Auth.BEARER),
            Route("GET", "/datasets/{id}/bulk-uploads", self.jobs, Auth.BEARER),
        ]

    async def detail(self, request: web.Request) -> web.Response:
        """6.2: where to read a file; without ``downloadUrl`` while it is not registered."""
        settings, uid = self._world.settings, request.match_info["uid"]

        def work(connection: sqlite3.Connection, caller: Caller) -> sqlite3.Row | None:
            dataset = visible_dataset(connection, caller, request.match_info["id"], settings)
            row: sqlite3.Row | None = connection.execute(
                "SELECT * FROM files WHERE dataset_id = ? AND uid = ? AND created < ? ORDER BY seq",
                (dataset.id, uid, stale_before(request)),
            ).fetchone()
            if row is None and not self._arrived(connection, dataset.id, uid):
                raise refused(404, "File not found")
            return row

        row = await self._world.read(request, work)
        shown: Json = {"uid": uid}
        if row is not None:
            entry = json.loads(row["entry"])
            known = ("size", "uploaded") if settings.file_detail_size else ("uploaded",)
            shown.update({key: entry[key] for key in known if key in entry})
            if row["object_key"] and settings.file_detail_url:
                url = self._world.signer.url("GET", row["object_key"], settings.url_life)
                shown["downloadUrl"] = url
        return answer(shown)

    def _arrived(self, connection: sqlite3.Connection, dataset_id: str, uid: str) -> bool:
        upload = connection.execute(
            "SELECT object_key FROM uploads WHERE dataset_id = ? AND uid = ?", (dataset_id, uid)
        ).fetchone()
        return upload is not None and self._world.object_file(upload["object_key"]).exists()

    async def url(self, request: web.Request) -> web.Response:
        """6.3: where to PUT a file; any string is a uid."""
        settings = self._world.settings

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            dataset = self._own(connection, caller, request)
            return new_upload(connection, FILE, dataset.id, uid=request.match_info["uid"])

        object_key = await self._world.write(request, work)
        url = self._world.signer.url("PUT", object_key, settings.url_life)
        return answer({"url": url}, settings.url_status)

    async def bulk_url(self, request: web.Request) -> web.Response:
        """6.4: where to PUT a ZIP of files; its job exists from now on, in ``queued``."""
        settings, job_id = self._world.settings, self._world.ids.new()

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            dataset = self._own(connection, caller, request)
            connection.execute(
                "INSERT INTO bulk_uploads (job_id, dataset_id, state, created_at)"
                " VALUES (?, ?, 'queued', ?)",
                (job_id, dataset.id, iso(time.time())),
            )
            return new_upload(connection, FILES_ZIP, dataset.id, job_id=job_id)

        object_key = await self._world.write(request, work)
        url = self._world.signer.url("PUT", object_key, settings.url_life)
        shown = {"url": url, "jobId": job_id} if settings.file_jobs else {"url": url}
        return answer(shown, settings.url_status)

    def _own(self, connection: sqlite3.Connection, caller: Caller, request: web.Request) -> Dataset:
        dataset = own_dataset(connection, caller, request.match_info["id"], self._world.settings)
        if request.match_info["orgId"].lower() != dataset.organization_id:
            raise refused(400, "The dataset does not belong to this organization")
        return dataset

    async def job(self, request: web.Request) -> web.Response:
        """6.4: the state of one job."""

        def work(connection: sqlite3.Connection, caller: Caller) -> Json:
            row = connection.execute(
                "SELECT * FROM bulk_uploads WHERE job_id = ?", (request.match_info["jobId"],)
            ).fetchone()
            if row is None:
                raise refused(404, "Job not found")
            visible_dataset(connection, caller, row["dataset_id"], self._world.settings)
            return _job_json(row)

        return answer(await self._world.read(request, work))

    async def jobs(self, request: web.Request) -> web.Response:
        """6.4: the jobs of a dataset, those under way when no ``state`` is given."""
        state = request.query.get("state", "active")
        states = _STATES.get(state, (state,))
        if not set(states) <= set(_STATES["all"]):
            raise refused(400, f"Invalid state: {state}")

        def work(connection: sqlite3.Connection, caller: Caller) -> Json:
            dataset = visible_dataset(
                connection, caller, request.match_info["id"], self._world.settings
            )
            rows = connection.execute(
                "SELECT * FROM bulk_uploads WHERE dataset_id = ? ORDER BY seq", (dataset.id,)
            )
            jobs = [_job_json(row) for row in rows if row["state"] in states]
            return {"datasetId": dataset.id, "jobs": jobs}

        return answer(await self._world.read(request, work))

    async def _register(self, task: Task) -> None:
        """What the object store reports becomes an entry in the dataset (6.3)."""
        upload = task.payload
        path = self._world.object_file(upload["object_key"])

        def work(connection: sqlite3.Connection) -> None:
            size = path.stat().st_size
            grown = _enter(
                connection, upload["dataset_id"], upload["uid"], upload["object_key"], size
            )
            dataset_rows.touch(
                connection, upload["dataset_id"], self._world.settings, size=grown, uploaded=True
            )

        await self._world.store.write(work)

    async def _extract(self, task: Task) -> None:
        """Unpack a ZIP of files: flat members named by uid; their content is not looked at."""
        job_id, settings = task.payload["job_id"], self._world.settings
        archive = self._world.object_file(task.payload["object_key"])
        if settings.file_zip == "stuck":
            return
        await self._note(job_id, state="extracting", started_at=iso(time.time()))
        try:
            members = await asyncio.to_thread(_members, archive)
            await self._note(job_id, total_files=len(members), files_extracted=0)
            if settings.early_uploaded:
                await self._enter_members(task, members)
            await asyncio.sleep(settings.file_extraction)
            if settings.file_zip == "failed":
                raise ValueError("The ZIP could not be extracted")
            if settings.file_zip == "partial":
                members = dict(list(members.items())[: len(members) // 2])
            keys = await self._world.store.write(
                lambda connection: {
                    uid: new_upload(connection, FILE, task.payload["dataset_id"], uid=uid)
                    for uid in members
                }
            )
            await asyncio.to_thread(
                _unpack, archive, {uid: self._world.object_file(key) for uid, key in keys.items()}
            )
            await self._enter_members(task, members)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            await self._note(
                job_id, state="failed", error=str(error), completed_at=iso(time.time())
            )
            return
        await self._note(
            job_id,
            state="complete",
            files_extracted=len(members),
            completed_at=iso(time.time()),
        )
        await asyncio.to_thread(archive.unlink, missing_ok=True)

    async def _enter_members(self, task: Task, members: dict[str, int]) -> None:
        dataset_id = task.payload["dataset_id"]

        def work(connection: sqlite3.Connection) -> None:
            grown = 0
            for uid, size in members.items():
                object_key = new_upload(connection, FILE, dataset_id, uid=uid)
                grown += _enter(connection, dataset_id, uid, object_key, size)
            dataset_rows.touch(
                connection, dataset_id, self._world.settings, size=grown, uploaded=True
            )

        await self._world.store.write(work)

    async def _note(self, job_id: str, **values: object) -> None:
        columns = ", ".join(f"{name} = ?" for name in values)
        await self._world.store.write(
            lambda connection: connection.execute(
                f"UPDATE bulk_uploads SET {columns} WHERE job_id = ?", (*values.values(), job_id)
            )
        )


def _enter(
    connection: sqlite3.Connection, dataset_id: str, uid: str, object_key: str, size: int
) -> int:
    """Enter a file; gives how much larger the dataset is now.

    One entry per uid: a later object replaces the earlier (6.3).
    """
    known = connection.execute(
        "SELECT seq, size FROM files WHERE dataset_id = ? AND uid = ? ORDER BY seq",
        (dataset_id, uid),
    ).fetchone()
    entry = file_entry(dataset_id, uid, size)
    if known is None:
        connection.execute(
            "INSERT INTO files (dataset_id, uid, object_key, size, created, entry)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (dataset_id, uid, object_key, size, time.time(), entry),
        )
        return size
    connection.execute(
        "UPDATE files SET object_key = ?, size = ?, entry = ? WHERE seq = ?",
        (object_key, size, entry, known["seq"]),
    )
    return size - int(known["size"] or 0)


def _members(archive: Path) -> dict[str, int]:
    """The uids in a ZIP with their sizes; raises BadZipFile, or ValueError for a folder in it."""
    with zipfile.ZipFile(archive) as opened:
        members = {item.filename: item.file_size for item in opened.infolist()}
    if any(name.endswith("/") for name in members):
        raise ValueError("The ZIP contains folders")
    return members


def _unpack(archive: Path, targets: dict[str, Path]) -> None:
    with zipfile.ZipFile(archive) as opened:
        for uid, target in targets.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_suffix(".part")
            with opened.open(uid) as source, unfinished.open("wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
            unfinished.replace(target)


def _job_json(row: sqlite3.Row) -> Json:
    return {
        "jobId": row["job_id"],
        "datasetId": row["dataset_id"],
        "state": row["state"],
        "createdAt": row["created_at"],
        "startedAt": row["started_at"],
        "completedAt": row["completed_at"],
        "filesExtracted": row["files_extracted"],
        "totalFiles": row["total_files"],
        "error": row["error"],
    }
