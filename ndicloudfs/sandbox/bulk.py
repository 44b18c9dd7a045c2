"""Many documents at once: bulk-fetch, bulk-download, bulk-upload, bulk-delete (5.6, 5.8 - 5.10)."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from aiohttp import web

from ndicloudfs.sandbox import dataset_rows, document_rows
from ndicloudfs.sandbox.access import Caller, own_dataset, visible_dataset
from ndicloudfs.sandbox.answers import Json, answer, body_of, load, refused
from ndicloudfs.sandbox.bodies import Parsed, hoisted, parsed, wrapped
from ndicloudfs.sandbox.datasets import stale_before
from ndicloudfs.sandbox.documents import delete_documents, prune_delay
from ndicloudfs.sandbox.gate import hollowed
from ndicloudfs.sandbox.hydration import hydrated_texts
from ndicloudfs.sandbox.ids import is_cloud_id
from ndicloudfs.sandbox.tasks import Task, plan
from ndicloudfs.sandbox.uploads import DOCUMENTS_ZIP, IMPORT_DOCUMENTS, new_object_key, new_upload
from ndicloudfs.sandbox.world import FAULT, Auth, Route, World

_MOST_FETCHED = 500
_AT_ONCE = 500
_WRITE_ZIP = "write_zip"
_log = logging.getLogger(__name__)


class Bulk:
    """The four bulk routes and what they leave to be done later."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.tasks.handlers[_WRITE_ZIP] = self._write_zip
        world.tasks.handlers[IMPORT_DOCUMENTS] = self._import

    def routes(self) -> Sequence[Route]:
        """The rows of section 10."""
        path = "/datasets/{id}/documents/bulk-"
        return [
            Route("POST", path + "fetch", self.fetch, Auth.OPEN),
            Route("POST", path + "download", self.download, Auth.OPEN),
            Route("POST", path + "upload", self.upload, Auth.BEARER),
            Route("POST", path + "delete", self.delete, Auth.BEARER),
        ]

    async def fetch(self, request: web.Request) -> web.Response:
        """5.8: 1 to 500 bodies, wrapped; unknown, deleted and foreign ids are silently omitted."""
        asked = (await body_of(request)).get("documentIds")
        if not isinstance(asked, list) or not asked:
            raise refused(400, "documentIds must be a non-empty array")
        if len(asked) > _MOST_FETCHED:
            raise refused(400, f"At most {_MOST_FETCHED} documentIds; use bulk-download for more")
        if not all(map(is_cloud_id, asked)):
            raise refused(400, "documentIds must be 24-character hex strings")
        await asyncio.sleep(self._world.settings.bulk_fetch_per_document * len(asked))

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            dataset = visible_dataset(
                connection, caller, request.match_info["id"], self._world.settings
            )
            marks = ",".join("?" * len(asked))
            rows = connection.execute(
                "SELECT summary, body, has_files FROM documents JOIN bodies USING (seq)"
                f" WHERE id IN ({marks}) AND dataset_id = ? AND deleted = 0 AND created < ?"
                " ORDER BY seq",
                (*(one.lower() for one in asked), dataset.id, stale_before(request)),
            ).fetchall()
            bodies = hydrated_texts(self._world, connection, dataset.id, rows)
            documents = (
                wrapped(row["summary"], body) for row, body in zip(rows, bodies, strict=True)
            )
            return f'{{"documents":[{",".join(documents)}]}}'

        return answer(await self._world.read(request, work))

    async def download(self, request: web.Request) -> web.Response:
        """5.9: the URL of a ZIP that is written later; an id named twice is in it twice (#948)."""
        sent, settings = await body_of(request), self._world.settings
        asked = sent.get("documentIds", [])
        if not isinstance(asked, list) or not all(map(is_cloud_id, asked)):
            raise refused(400, "documentIds must be an array of 24-character hex strings")
        hollow = "documentIds" not in sent and settings.bulk_download_all == "hollow"
        fault = request[FAULT]
        hollow = hollow or (fault is not None and fault.kind == "hollow")
        object_key = new_object_key()

        def work(connection: sqlite3.Connection, caller: Caller) -> None:
            dataset = visible_dataset(connection, caller, request.match_info["id"], settings)
            payload = {
                "dataset_id": dataset.id,
                "object_key": object_key,
                "ids": asked,
                "hollow": hollow,
            }
            plan(connection, _WRITE_ZIP, settings.bulk_download, payload)

        await self._world.write(request, work)
        url = self._world.signer.url("GET", object_key, settings.url_life)
        return answer({"url": url}, settings.url_status)

    async def _write_zip(self, task: Task) -> None:
        payload = task.payload
        dataset_id, asked = payload["dataset_id"], payload["ids"]

        def work(connection: sqlite3.Connection) -> list[str]:
            if not asked:
                rows = connection.execute(
                    "SELECT id, body FROM documents JOIN bodies USING (seq)"
                    " WHERE dataset_id = ? AND deleted = 0 ORDER BY seq",
                    (dataset_id,),
                )
                return [_zipped(row, hollow=payload["hollow"]) for row in rows]
            found = {}
            for start in range(0, len(asked), _AT_ONCE):
                part = [document_id.lower() for document_id in asked[start : start + _AT_ONCE]]
                marks = ",".join("?" * len(part))
                for row in connection.execute(
                    "SELECT id, body FROM documents JOIN bodies USING (seq)"
                    f" WHERE id IN ({marks}) AND dataset_id = ? AND deleted = 0",
                    (*part, dataset_id),
                ):
                    found[row["id"]] = _zipped(row, hollow=payload["hollow"])
            return [found[one.lower()] for one in asked if one.lower() in found]

        texts = await self._world.store.read(work)
        path = self._world.object_file(payload["object_key"])
        await asyncio.to_thread(_pack, path, f"{dataset_id}.json", texts)

    async def upload(self, request: web.Request) -> web.Response:
        """5.10: the URL for a ZIP of documents; there is no job and no status."""
        settings = self._world.settings

        def work(connection: sqlite3.Connection, caller: Caller) -> str:
            dataset = own_dataset(connection, caller, request.match_info["id"], settings)
            return new_upload(connection, DOCUMENTS_ZIP, dataset.id)

        object_key = await self._world.write(request, work)
        url = self._world.signer.url("PUT", object_key, settings.url_life)
        return answer({"url": url}, settings.url_status)

    async def _import(self, task: Task) -> None:
        """Store the documents of a ZIP, a part at a time; a later process goes on after the last.

        The part and the note of it are one transaction: no document is stored twice.
        """
        path = self._world.object_file(task.payload["object_key"])
        try:
            documents = await asyncio.to_thread(lambda: list(_unpacked(path)))
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            _log.info("a ZIP of documents is given up, as the cloud does it: %s", error)
            return
        documents = self._kept(documents)
        dataset_id = task.payload["dataset_id"]
        for start in range(task.payload.get("done", 0), len(documents), _AT_ONCE):
            part = documents[start : start + _AT_ONCE]

            def work(
                connection: sqlite3.Connection,
                part: list[Parsed] = part,
                done: int = start + _AT_ONCE,
            ) -> None:
                document_rows.insert(connection, self._world.ids, dataset_id, part)
                dataset_rows.touch(
                    connection, dataset_id, self._world.settings, documents=len(part)
                )
                task.progress(connection, done=done)

            await self._world.store.write(work)
        await asyncio.to_thread(path.unlink, missing_ok=True)

    def _kept(self, documents: list[Parsed]) -> list[Parsed]:
        """What of a ZIP comes through; nobody is told of the rest (5.10)."""
        kept = {"complete": len(documents), "partial": len(documents) // 2, "lost": 0}
        return documents[: kept[self._world.settings.document_zip]]

    async def delete(self, request: web.Request) -> web.Response:
        """5.6: hide many documents at once; ``documentIds`` must be an array."""
        sent, settings = await body_of(request), self._world.settings
        asked, delay = sent.get("documentIds"), prune_delay(sent.get("when"))
        if not isinstance(asked, list):
            raise refused(400, "documentIds must be an array")
        known = [document_id.lower() for document_id in asked if is_cloud_id(document_id)]
        if len(known) < len(asked) and settings.bulk_delete_bad_ids == "refused":
            raise refused(400, "documentIds must be 24-character hex strings")

        def work(connection: sqlite3.Connection, caller: Caller) -> int:
            dataset = own_dataset(connection, caller, request.match_info["id"], settings)
            return delete_documents(self._world, connection, dataset.id, known, delay)

        deleted = await self._world.write(request, work)
        return answer({"message": f"{deleted} documents deleted"}, settings.delete_status)


def _zipped(row: sqlite3.Row, *, hollow: bool) -> str:
    if not hollow:
        return hoisted(row["id"], row["body"])
    return json.dumps({"id": row["id"], **hollowed(json.loads(row["body"]))})


def _pack(path: Path, member: str, texts: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(member, f"[{','.join(texts)}]")
    unfinished.replace(path)


def _unpacked(path: Path) -> Iterator[Parsed]:
    """The documents of a ZIP: an array in one member, or a document per member (5.10)."""
    if not path.exists():
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            content = load(archive.read(member))
            bodies: list[Json] = content if isinstance(content, list) else [content]
            yield from (parsed(body) for body in bodies if isinstance(body, dict))
