"""What every part of the sandbox works with, wired in one place."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Protocol, TypeAlias, TypeVar

from aiohttp import web

from ndicloudfs.sandbox.access import Caller, load_caller
from ndicloudfs.sandbox.faults import Fault, FaultTable
from ndicloudfs.sandbox.ids import CloudIds
from ndicloudfs.sandbox.log import Entry, RequestLog
from ndicloudfs.sandbox.settings import Settings
from ndicloudfs.sandbox.signing import Signer
from ndicloudfs.sandbox.store import Store
from ndicloudfs.sandbox.tasks import Tasks
from ndicloudfs.sandbox.tokens import Tokens

T = TypeVar("T")

Call: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Keys of what is known about a request.
USER: web.RequestKey[str | None] = web.RequestKey("user_id")
FAULT: web.RequestKey[Fault | None] = web.RequestKey("fault")
ENTRY: web.RequestKey[Entry] = web.RequestKey("entry")


class Auth(Enum):
    """What a route asks of the caller (10)."""

    IGNORED = auto()
    OPEN = auto()
    BEARER = auto()


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the endpoint table; ``path`` is the template of section 10, without /v1."""

    method: str
    path: str
    call: Call
    auth: Auth


class Part(Protocol):
    """A group of routes."""

    def routes(self) -> Sequence[Route]:
        """Its rows, in the order in which they are to be matched."""


@dataclass(slots=True)
class World:
    """One sandbox: its folder, its settings and its organs."""

    folder: Path
    settings: Settings
    store: Store
    signer: Signer
    tokens: Tokens
    tasks: Tasks
    ids: CloudIds = field(default_factory=CloudIds)
    faults: FaultTable = field(default_factory=FaultTable)
    log: RequestLog = field(default_factory=RequestLog)

    async def read(
        self, request: web.Request, work: Callable[[sqlite3.Connection, Caller], T]
    ) -> T:
        """What ``work`` reads for whoever asks."""
        user_id = request[USER]
        return await self.store.read(
            lambda connection: work(connection, load_caller(connection, user_id))
        )

    async def write(
        self, request: web.Request, work: Callable[[sqlite3.Connection, Caller], T]
    ) -> T:
        """Let ``work`` change the state on behalf of whoever asks."""
        user_id = request[USER]
        return await self.store.write(
            lambda connection: work(connection, load_caller(connection, user_id))
        )

    def object_file(self, object_key: str) -> Path:
        """Where the bytes of an object are kept."""
        return self.folder / "objects" / object_key[:2] / object_key
