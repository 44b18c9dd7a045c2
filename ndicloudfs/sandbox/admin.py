"""The sandbox's own calls, beside the API: settings, faults, log, users, odd data.

They ask for no token and are served to this machine only.
"""

from __future__ import annotations

import ipaddress
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict

from aiohttp import web

from ndicloudfs.sandbox import accounts, dataset_rows, document_rows
from ndicloudfs.sandbox.access import load_dataset
from ndicloudfs.sandbox.answers import Json, Refusal, answer, body_of, dump, refused
from ndicloudfs.sandbox.bodies import parsed
from ndicloudfs.sandbox.faults import BadFault
from ndicloudfs.sandbox.ids import is_cloud_id
from ndicloudfs.sandbox.settings import BadSetting, changed
from ndicloudfs.sandbox.world import World

_LONGEST_WAIT = 60.0


class Admin:
    """The routes under /sandbox."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        for method, path, call in (
            ("GET", "/settings", self.settings),
            ("PATCH", "/settings", self.change_settings),
            ("GET", "/faults", self.faults),
            ("POST", "/faults", self.order_fault),
            ("DELETE", "/faults", self.clear_faults),
            ("GET", "/log", self.log),
            ("DELETE", "/log", self.clear_log),
            ("POST", "/users", self.add_user),
            ("GET", "/codes", self.codes),
            ("POST", "/idle", self.idle),
            ("POST", "/expire", self.expire),
            ("POST", "/datasets", self.add_dataset),
            ("POST", "/datasets/{id}/rows", self.plant),
        ):
            router.add_route(method, f"/sandbox{path}", _local(call))

    async def settings(self, request: web.Request) -> web.Response:
        """All settings."""
        del request
        return answer(asdict(self._world.settings))

    async def change_settings(self, request: web.Request) -> web.Response:
        """Change the settings that are sent; gives all."""
        try:
            self._world.settings = changed(self._world.settings, await body_of(request))
        except BadSetting as error:
            raise refused(400, str(error)) from None
        return answer(asdict(self._world.settings))

    async def faults(self, request: web.Request) -> web.Response:
        """The faults that are ordered."""
        del request
        return answer({"faults": self._world.faults.shown()})

    async def order_fault(self, request: web.Request) -> web.Response:
        """Order a fault."""
        try:
            return answer(self._world.faults.order(await body_of(request)).as_json(), 201)
        except BadFault as error:
            raise refused(400, str(error)) from None

    async def clear_faults(self, request: web.Request) -> web.Response:
        """Forget all faults."""
        del request
        self._world.faults.clear()
        return answer("", 204)

    async def log(self, request: web.Request) -> web.Response:
        """The requests with a number above ``since``."""
        since = request.query.get("since", "0")
        return answer({"requests": self._world.log.since(int(since) if since.isdecimal() else 0)})

    async def clear_log(self, request: web.Request) -> web.Response:
        """Forget the requests."""
        del request
        self._world.log.clear()
        return answer("", 204)

    async def add_user(self, request: web.Request) -> web.Response:
        """A user with organizations of the names given, which become theirs alone.

        An organization that exists may be named by id as well: ``organization_ids``.
        """
        sent = await body_of(request)
        ids = self._world.ids
        named = sent.get("organizations", [])
        names = [named] if isinstance(named, str) else list(named)

        def work(connection: sqlite3.Connection) -> Json:
            user_id = accounts.insert_user(
                connection,
                ids,
                str(sent["email"]),
                str(sent["password"]),
                name=str(sent.get("name", "")),
                admin=bool(sent.get("is_admin", False)),
            )
            made = [
                accounts.insert_organization(
                    connection, ids, user_id, str(name), can_upload=sent.get("can_upload", True)
                )
                for name in names
            ]
            joined = [str(one) for one in sent.get("organization_ids", [])]
            for organization_id in joined:
                accounts.add_member(connection, user_id, organization_id)
            return {"id": user_id, "organization_ids": [*made, *joined]}

        try:
            return answer(await self._world.store.write(work), 201)
        except (KeyError, sqlite3.IntegrityError) as error:
            raise refused(
                400, f"a user has an email of their own and a password: {error}"
            ) from None

    async def codes(self, request: web.Request) -> web.Response:
        """The confirmation codes that were sent to ``email``: ``verify``, ``reset``."""
        email = request.query.get("email", "")
        return answer(
            await self._world.store.read(lambda connection: accounts.codes(connection, email))
        )

    async def idle(self, request: web.Request) -> web.Response:
        """Wait until no work is pending, ``seconds`` at most; 504 when it took longer."""
        sent = await body_of(request)
        self._world.tasks.wake()
        idle = await self._world.tasks.idle(float(sent.get("seconds", _LONGEST_WAIT)))
        return answer({"idle": idle}, 200 if idle else 504)

    async def expire(self, request: web.Request) -> web.Response:
        """Let all ``tokens`` and/or presigned ``urls`` that were given so far count as expired."""
        sent = await body_of(request)
        if sent.get("tokens"):
            self._world.tokens.expire_all()
        if sent.get("urls"):
            self._world.signer.expire_all()
        return answer("", 204)

    async def add_dataset(self, request: web.Request) -> web.Response:
        """A dataset under an id of one's own choice: ``organization_id``, ``id``, ``fields``."""
        sent = await body_of(request)
        dataset_id, fields = sent.get("id"), sent.get("fields", {})
        if dataset_id is not None and not is_cloud_id(dataset_id):
            raise refused(400, "id is 24 hex digits")

        def work(connection: sqlite3.Connection) -> Json:
            new = dataset_rows.new_fields(str(sent["organization_id"]), fields)
            chosen = dataset_id.lower() if dataset_id else None
            dataset = dataset_rows.insert(connection, self._world.ids, new, chosen)
            return dataset_rows.with_id(dataset)

        try:
            return answer(await self._world.store.write(work), 201)
        except (KeyError, sqlite3.IntegrityError) as error:
            raise refused(
                409, f"there is no organization_id, or the id is taken: {error}"
            ) from None

    async def plant(self, request: web.Request) -> web.Response:
        """Odd data that the API would not accept, into one dataset.

        ``set`` and ``unset`` change raw fields of the dataset; ``documents`` are stored with the
        ``summary`` and ``body`` given; ``files`` are elements of the ``files`` array, any JSON,
        whose object is that of their uid; ``remove_objects`` takes the bytes of uids away.
        """
        sent = await body_of(request)

        def work(connection: sqlite3.Connection) -> Json:
            dataset = load_dataset(connection, request.match_info["id"])
            dataset.fields.update(sent.get("set", {}))
            for name in sent.get("unset", []):
                dataset.fields.pop(name, None)
            dataset_rows.save(connection, dataset)
            ids = [
                self._plant_document(connection, dataset.id, document)
                for document in sent.get("documents", [])
            ]
            for entry in sent.get("files", []):
                _plant_file(connection, dataset.id, entry)
            for uid in sent.get("remove_objects", []):
                for row in connection.execute(
                    "SELECT object_key FROM files WHERE dataset_id = ? AND uid = ?",
                    (dataset.id, uid),
                ):
                    self._world.object_file(row["object_key"]).unlink(missing_ok=True)
            return {"document_ids": ids}

        return answer(await self._world.store.write(work))

    def _plant_document(
        self, connection: sqlite3.Connection, dataset_id: str, document: Json
    ) -> str:
        body = parsed(document.get("body", {}))
        (document_id,) = document_rows.insert(connection, self._world.ids, dataset_id, [body])
        if "summary" in document:
            summary = {"id": document_id, **document["summary"]}
            connection.execute(
                "UPDATE documents SET summary = ? WHERE id = ?", (dump(summary), document_id)
            )
        return document_id


def _plant_file(connection: sqlite3.Connection, dataset_id: str, entry: object) -> None:
    uid = entry.get("uid") if isinstance(entry, dict) else None
    known = connection.execute(
        "SELECT object_key, size FROM files WHERE dataset_id = ? AND uid = ?", (dataset_id, uid)
    ).fetchone()
    object_key, size = (known["object_key"], known["size"]) if known else (None, None)
    connection.execute("DELETE FROM files WHERE dataset_id = ? AND uid = ?", (dataset_id, uid))
    connection.execute(
        "INSERT INTO files (dataset_id, uid, object_key, size, created, entry)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (dataset_id, uid, object_key, size, time.time(), json.dumps(entry)),
    )


def _local(
    call: Callable[[web.Request], Awaitable[web.Response]],
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def local_call(request: web.Request) -> web.Response:
        if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:  # noqa: S104
            raise Refusal(403, {"error": "The sandbox is steered from its own machine only"})
        return await call(request)

    return local_call
