"""A sandbox in this process, for tests: real sockets, its own thread and event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import requests

from ndicloudfs.sandbox.serve import Ready, running
from ndicloudfs.sandbox.settings import Settings, changed
from tests.support.system import until

_PATIENCE = 30.0  # s, for what takes milliseconds


class Sandbox:
    """An NDI Cloud on this machine, with its state in ``data``."""

    def __init__(self, data: Path, **settings: object) -> None:
        self.data = data
        self._settings = changed(Settings(), settings)
        self._ready: Ready
        self._loop: asyncio.AbstractEventLoop
        self._stopped: asyncio.Event
        self._thread: threading.Thread | None = None
        self._start(0, 0)

    @property
    def url(self) -> str:
        """Of the API, with ``/v1``."""
        return self._ready.url

    @property
    def object_url(self) -> str:
        """Of the objects."""
        return self._ready.object_url

    @property
    def email(self) -> str:
        """Of the first user, an administrator."""
        return self._ready.email

    @property
    def password(self) -> str:
        """Of the first user."""
        return self._ready.password

    @property
    def organization_id(self) -> str:
        """Of the first user's organization, which may upload."""
        return self._ready.organization_id

    def set(self, **settings: object) -> None:
        """Change settings: latencies, delays, variants. They outlive a restart."""
        self.control("PATCH", "/settings", settings)
        self._settings = changed(self._settings, settings)

    def fault(self, route: str, kind: str, count: int = 1, **options: object) -> None:
        """Let the next ``count`` requests on ``route`` (section 10, or ``*``) fail; -1: all."""
        self.control("POST", "/faults", {"route": route, "kind": kind, "count": count, **options})

    def clear_faults(self) -> None:
        """No more faults; what hangs goes on."""
        self.control("DELETE", "/faults")

    def log(self, route: str | None = None, port: str | None = None) -> list[dict[str, Any]]:
        """The requests so far, of one route (``GET /users/me``) or port (``api``, ``object``)."""
        return [
            entry
            for entry in self.control("GET", "/log")["requests"]
            if route in (None, entry["route"]) and port in (None, entry["port"])
        ]

    def clear_log(self) -> None:
        """Forget the requests."""
        self.control("DELETE", "/log")

    def count(self, route: str) -> int:
        """How many requests there were on ``route``."""
        return len(self.log(route))

    def add_user(
        self,
        email: str,
        password: str = "Passw0rd!",
        organizations: str | list[str] = "Other Lab",
        **options: object,
    ) -> dict[str, Any]:
        """A further user with organizations; gives ``id`` and ``organization_ids``.

        ``options``: ``name``, ``is_admin``, ``can_upload``, ``organization_ids`` to join.
        """
        body = {"email": email, "password": password, "organizations": organizations, **options}
        return self.control("POST", "/users", body)

    def plant(self, dataset_id: str, **rows: object) -> list[str]:
        """Odd data that the API would not accept; gives the cloud ids of ``documents``."""
        made = self.control("POST", f"/datasets/{dataset_id}/rows", rows)
        ids: list[str] = made["document_ids"]
        return ids

    def expire(self, *, tokens: bool = False, urls: bool = False) -> None:
        """Let the tokens or presigned URLs that were given so far count as expired."""
        self.control("POST", "/expire", {"tokens": tokens, "urls": urls})

    def idle(self, seconds: float = _PATIENCE) -> None:
        """Wait until everything has happened that follows from the calls so far."""
        self.control("POST", "/idle", {"seconds": seconds})

    def eventually(self, holds: Callable[[], bool], seconds: float = _PATIENCE) -> None:
        """Ask again and again, until ``holds`` or the time is over (then the test fails)."""
        until(holds, seconds)

    def control(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """One of the sandbox's own calls."""
        url = self.url.removesuffix("/v1") + "/sandbox" + path
        with requests.request(method, url, json=body, timeout=2 * _PATIENCE) as response:
            response.raise_for_status()
            answer: dict[str, Any] = response.json() if response.content else {}
            return answer

    def stop(self) -> None:
        """End the sandbox; its state stays in ``data``."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(_PATIENCE)
            assert not self._thread.is_alive(), "the sandbox does not end"
            self._thread = None

    def restart(self) -> None:
        """End it, where it still runs, and start it on the same folder and the same ports."""
        self.stop()
        self._start(_port(self.url), _port(self.object_url))

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, port: int, object_port: int) -> None:
        started = threading.Event()
        failures: list[BaseException] = []

        async def serve() -> None:
            self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
            async with running(
                self.data, self._settings, port=port, object_port=object_port
            ) as self._ready:
                started.set()
                await self._stopped.wait()

        def run() -> None:
            try:
                asyncio.run(serve())
            except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
                failures.append(error)
            finally:
                started.set()

        self._thread = threading.Thread(target=run, name="sandbox", daemon=True)
        self._thread.start()
        assert started.wait(_PATIENCE), "the sandbox does not start"
        if failures:
            raise failures[0]


def _port(url: str) -> int:
    return urlsplit(url).port or 0
