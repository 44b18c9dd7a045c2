"""The two applications of a sandbox, wired from their parts."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from ndicloudfs.sandbox.access import unauthorized
from ndicloudfs.sandbox.accounts import Accounts
from ndicloudfs.sandbox.admin import Admin
from ndicloudfs.sandbox.bulk import Bulk
from ndicloudfs.sandbox.datasets import Datasets
from ndicloudfs.sandbox.documents import Documents
from ndicloudfs.sandbox.files import Files
from ndicloudfs.sandbox.gate import api_gate, object_gate
from ndicloudfs.sandbox.lifecycle import Lifecycle
from ndicloudfs.sandbox.objects import Objects
from ndicloudfs.sandbox.queries import Queries
from ndicloudfs.sandbox.settings import Settings
from ndicloudfs.sandbox.signing import Signer
from ndicloudfs.sandbox.store import Store
from ndicloudfs.sandbox.tasks import Tasks
from ndicloudfs.sandbox.tokens import Tokens
from ndicloudfs.sandbox.world import ENTRY, USER, Auth, Call, Part, Route, World

# The gateway takes no larger bodies (1.1).
_LARGEST_BODY = 10 * 2**20


def open_world(folder: Path, settings: Settings) -> World:
    """The sandbox that lives in ``folder``, which is made when it is not there."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("objects", "incoming"):
        (folder / name).mkdir(exist_ok=True)
    for left_over in (folder / "incoming").iterdir():
        left_over.unlink()
    secret = _secret(folder / "secret")
    store = Store(folder)
    return World(
        folder=folder,
        settings=settings,
        store=store,
        signer=Signer(secret),
        tokens=Tokens(secret),
        tasks=Tasks(store),
    )


def api_app(world: World) -> web.Application:
    """The application of the API port."""
    # The order is the order of matching: what has a fixed name stands before what has an id.
    parts: Sequence[Part] = (
        Accounts(world),
        Queries(world),
        Datasets(world),
        Lifecycle(world),
        Bulk(world),
        Documents(world),
        Files(world),
    )
    app = web.Application(middlewares=[api_gate(world)], client_max_size=_LARGEST_BODY)
    for part in parts:
        for route in part.routes():
            app.router.add_route(route.method, f"/v1{route.path}", _guarded(world, route))
    Admin(world).add_to(app.router)
    return app


def object_app(world: World) -> web.Application:
    """The application of the object port."""
    app = web.Application(middlewares=[object_gate(world)])
    Objects(world).add_to(app.router)
    return app


def _guarded(world: World, route: Route) -> Call:
    """The call with the identity of the caller established as the route asks for."""

    async def call(request: web.Request) -> web.StreamResponse:
        user_id = _user_id(world, request, route.auth)
        request[USER] = request[ENTRY].user_id = user_id
        return await route.call(request)

    return call


def _user_id(world: World, request: web.Request, auth: Auth) -> str | None:
    header = request.headers.get("Authorization", "")
    if auth is Auth.IGNORED or (auth is Auth.OPEN and not header):
        return None
    scheme, _, token = header.partition(" ")
    user_id = world.tokens.user_id(token.strip()) if scheme.lower() == "bearer" else None
    tolerated = auth is Auth.OPEN and world.settings.open_route_bad_token == "anonymous"  # noqa: S105
    if user_id is None and not tolerated:
        raise unauthorized()
    return user_id


def _secret(path: Path) -> bytes:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text().encode()
