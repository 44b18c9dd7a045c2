"""The facts of a mount for Prometheus, at http://127.0.0.1:PORT/metrics.

Text exposition format 0.0.4. Loopback only: the figures name the account's server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HOST = "127.0.0.1"
_PREFIX = "ndicloudfs_"
# Name, kind, what it is, and where it is in the facts.
_FIGURES = (
    ("online", "gauge", "Whether the server answers (1) or not (0).", ("online",)),
    ("token_expires_seconds", "gauge", "End of the token, epoch.", ("token", "expires")),
    ("cache_used_bytes", "gauge", "Bytes that the cache takes.", ("cache", "used_bytes")),
    ("cache_limit_bytes", "gauge", "Bytes that the cache may take.", ("cache", "limit_bytes")),
    ("read_bytes_total", "counter", "Bytes that were read from files.", ("cache", "read_bytes")),
    ("api_calls_total", "counter", "Calls of the API.", ("traffic", "api_calls")),
    ("failures_total", "counter", "Exchanges without an answer.", ("traffic", "failures")),
    (
        *("downloaded_bytes_total", "counter", "Bytes of objects that came."),
        ("traffic", "downloaded_bytes"),
    ),
    (
        *("uploaded_bytes_total", "counter", "Bytes of objects that went."),
        ("traffic", "uploaded_bytes"),
    ),
)


def exposition(facts: dict[str, Any]) -> str:
    """The figures in Prometheus' text format; what is not known is left out."""
    lines = []
    for name, kind, meaning, path in _FIGURES:
        value: Any = facts
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, (bool, int, float)):
            lines += [f"# HELP {_PREFIX}{name} {meaning}", f"# TYPE {_PREFIX}{name} {kind}"]
            lines.append(f"{_PREFIX}{name} {float(value):.17g}")
    states = facts.get("queue", {}).get("states", {})
    if states:
        name = f"{_PREFIX}queue_entries"
        lines += [f"# HELP {name} What waits for upload, by state.", f"# TYPE {name} gauge"]
        lines += [f'{name}{{state="{state}"}} {count}' for state, count in states.items()]
    lines.append(f"{_PREFIX}transfers {len(facts.get('transfers', []))}")
    return "\n".join(lines) + "\n"


@contextmanager
def served(port: int | None, facts: Callable[[], dict[str, Any]]) -> Iterator[None]:
    """Answer at ``port`` of this machine meanwhile; nothing without a port. Raises OSError."""
    if port is None:
        yield
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.split("?")[0] == "/metrics"
            body = exposition(facts()).encode() if found else b"see /metrics\n"
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """A scrape every few seconds is not worth a line."""

    server = ThreadingHTTPServer((HOST, port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, name="ndi-metrics", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
