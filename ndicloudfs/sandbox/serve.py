"""A running sandbox: both ports, the first user, the tasks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from aiohttp import web

from ndicloudfs.sandbox import accounts
from ndicloudfs.sandbox.app import api_app, object_app, open_world
from ndicloudfs.sandbox.settings import Settings
from ndicloudfs.sandbox.world import World

_EMAIL = "sandbox@example.org"
_NAME = "Sandbox User"
_ORGANIZATION = "Sandbox Lab"
_GRACE = 0.5  # s that a connection has to end when the sandbox ends


@dataclass(frozen=True, slots=True)
class FirstUser:
    """An administrator who may upload, made when the folder was new."""

    email: str
    password: str
    organization_id: str


@dataclass(frozen=True, slots=True)
class Ready:
    """What a client needs to know; ``url`` is that of the API, with ``/v1``."""

    url: str
    object_url: str
    email: str
    password: str
    organization_id: str

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


@asynccontextmanager
async def running(
    folder: Path, settings: Settings, host: str = "127.0.0.1", port: int = 0, object_port: int = 0
) -> AsyncIterator[Ready]:
    """A sandbox that answers on both ports, on free ones where 0 is given."""
    world = open_world(folder, settings)
    try:
        user = await _first_user(world)
        async with contextlib.AsyncExitStack() as stack:
            object_url = await _listen(stack, object_app(world), host, object_port)
            world.signer.base_url = object_url
            api = api_app(world)
            work = asyncio.create_task(world.tasks.run())
            stack.push_async_callback(_cancelled, work)
            url = await _listen(stack, api, host, port)
            stack.callback(world.faults.clear)
            yield Ready(f"{url}/v1", object_url, **asdict(user))
    finally:
        world.store.close()


async def _listen(
    stack: contextlib.AsyncExitStack, app: web.Application, host: str, port: int
) -> str:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, host, port, reuse_address=True).start()
    addresses: Sequence[tuple[str, int]] = runner.addresses
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{addresses[0][1]}"


async def _cancelled(work: asyncio.Task[None]) -> None:
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _first_user(world: World) -> FirstUser:
    """The user that the folder knows, or a new one with a password of their own."""
    path = world.folder / "first-user.json"
    if path.exists():
        return FirstUser(**json.loads(path.read_text()))
    # Ends as the password policy wants it (2.4).
    password = secrets.token_urlsafe(18) + "aA1!"

    def work(connection: sqlite3.Connection) -> str:
        user_id = accounts.insert_user(
            connection, world.ids, _EMAIL, password, name=_NAME, admin=True
        )
        return accounts.insert_organization(
            connection, world.ids, user_id, _ORGANIZATION, can_upload=True
        )

    user = FirstUser(_EMAIL, password, await world.store.write(work))
    write_private(path, json.dumps(asdict(user)))
    return user


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    unfinished.touch(mode=0o600)
    unfinished.write_text(text)
    unfinished.replace(path)
