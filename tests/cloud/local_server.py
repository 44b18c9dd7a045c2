"""A web server for what the sandbox cannot provoke, a clock that nothing waits for, tokens."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ndicloudfs.cloud import CloudConfig, NdiCloud


@dataclass(frozen=True)
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return {key: values[-1] for key, values in parse_qs(urlsplit(self.target).query).items()}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer; ``length`` is the Content-Length that it claims, -1 for none at all."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


def reply(value: object = None, status: int = 200, **headers: str) -> Reply:
    """A JSON answer; ``Retry_After="1"`` sets that header."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    body = b"" if value is None else json.dumps(value).encode()
    return Reply(status, body, {"Content-Type": "application/json", **named})


class LocalServer:
    """Answers with ``answer(received)``, or each of ``script`` in turn and the last for ever."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.script: list[Reply] = []
        self.answer: Callable[[Received], Reply] = self._next
        self.port = 0
        self._lock = threading.Lock()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def plays(self, *script: Reply) -> None:
        self.script = list(script)

    def paths(self) -> list[str]:
        return [each.path for each in self.received]

    def _next(self, received: Received) -> Reply:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    def handle(self, received: Received) -> Reply:
        with self._lock:
            self.received.append(received)
            if self.answer == self._next:
                return self.answer(received)
        return self.answer(received)


@contextlib.contextmanager
def serving() -> Iterator[LocalServer]:
    """A LocalServer on a free port of the loopback interface."""
    local = LocalServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # headers and body in one packet, or each answer takes 40 ms

        def setup(self) -> None:
            super().setup()
            local.connections += 1

        def do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            answer = local.handle(
                Received(self.command, self.path, dict(self.headers.items()), body)
            )
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            claimed = len(answer.body) if answer.length is None else answer.length
            if claimed >= 0:
                self.send_header("Content-Length", str(claimed))
            self.close_connection = claimed != len(answer.body)
            self.end_headers()
            with contextlib.suppress(OSError):  # the client may have heard enough
                self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = do  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128  # with the usual 5, connections wait for seconds

        def handle_error(self, *_: object) -> None:
            pass

    with Server(("127.0.0.1", 0), Handler) as server:
        local.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield local
        finally:
            server.shutdown()
            thread.join()


class FakeTime:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def client(
    origin: str, time: FakeTime | None = None, jitter: float = 0.0, **settings: Any
) -> NdiCloud:
    """A client of the API at ``origin`` that lives in ``time`` and jitters by ``jitter``."""
    time = time or FakeTime()
    return NdiCloud(
        CloudConfig(f"{origin}/v1", **settings),
        clock=time,
        monotonic=time,
        sleep=time.sleep,
        rng=lambda: jitter,
    )


def token(**claims: object) -> str:
    """A JWT with these claims and no valid signature."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'none'})}.{part(claims)}.c2lnbmF0dXJl"
