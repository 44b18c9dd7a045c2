"""The object port: presigned GET, HEAD and PUT as S3 serves them (6.5)."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import escape

from aiohttp import web

from ndicloudfs.sandbox.answers import Refusal
from ndicloudfs.sandbox.faults import Fault
from ndicloudfs.sandbox.signing import Verdict, object_path
from ndicloudfs.sandbox.uploads import plan_what_follows
from ndicloudfs.sandbox.world import ENTRY, FAULT, World

_CHUNK = 1024 * 1024  # with a quarter of it a sandbox took a third more processor time
_WITH_HEADERS = 64 * 1024  # bytes sent by write(), as headers are; the others by sendfile(2)
_STEP = 0.02  # s between two chunks of a slow connection
_LARGEST_PUT = 5 * 2**30
_CONTENT_TYPE = "application/octet-stream"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Objects:
    """Serves the bytes of objects to whoever has a URL for them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def add_to(self, router: web.UrlDispatcher) -> None:
        """The one path of the object port."""
        router.add_route("*", object_path("{key}"), self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if "Authorization" in request.headers:
            sentence = "Only one auth mechanism allowed"
            raise _refused(400, "InvalidArgument", sentence)
        self._check_signature(request)
        path = self._world.object_file(request.match_info["key"])
        if request.method == "PUT":
            return await self._put(request, path)
        return await self._get(request, path)

    def _check_signature(self, request: web.Request) -> None:
        method, path = request.method, request.path
        verdict = self._world.signer.verify(method, path, request.query)
        if method == "HEAD" and self._world.settings.head_on_get_url == 200:
            verdict = self._world.signer.verify("GET", path, request.query)
        if verdict is Verdict.MISSING:
            raise _refused(403, "AccessDenied", "Access Denied")
        if verdict is Verdict.WRONG:
            sentence = (
                "The request signature we calculated does not match the signature you provided."
            )
            raise _refused(403, "SignatureDoesNotMatch", sentence)
        if verdict is Verdict.EXPIRED:
            if self._world.settings.expired_url == "ExpiredToken":
                raise _refused(400, "ExpiredToken", "The provided token has expired.")
            raise _refused(403, "AccessDenied", "Request has expired")

    async def _get(self, request: web.Request, path: Path) -> web.StreamResponse:
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            if self._world.settings.missing_object_status == 403:
                raise _refused(403, "AccessDenied", "Access Denied") from None
            raise _refused(404, "NoSuchKey", "The specified key does not exist.") from None
        fault = request[FAULT]
        kind = fault.kind if fault else ""
        asked = None if kind == "no_range" else _asked(request, size)
        first, last = asked or (0, size - 1)
        if fault is not None and kind == "short":
            last = min(
                last, first + max(int(fault.number_of("bytes", (last - first + 1) // 2)), 1) - 1
            )
        entry = request[ENTRY]
        entry.status, entry.response_bytes = 206 if asked else 200, last - first + 1
        plain = kind not in ("no_range", "short", "truncate")
        whole = asked is not None or "Range" not in request.headers
        if plain and whole and not self._world.settings.object_bandwidth:
            return web.FileResponse(
                path, chunk_size=_CHUNK, headers={"Content-Type": _CONTENT_TYPE}
            )
        response = web.StreamResponse(status=entry.status)
        response.content_type, response.content_length = _CONTENT_TYPE, last - first + 1
        response.headers["Accept-Ranges"] = "bytes"
        if asked:
            response.headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        await response.prepare(request)
        if request.method != "HEAD":
            await self._stream(request, response, path, first, fault)
        return response

    async def _stream(
        self,
        request: web.Request,
        response: web.StreamResponse,
        path: Path,
        first: int,
        fault: Fault | None,
    ) -> None:
        """Send the promised bytes, or as many of them as ``truncate`` allows."""
        left = response.content_length or 0
        truncated = fault is not None and fault.kind == "truncate"
        if fault is not None and truncated:
            left = min(left, int(fault.number_of("bytes", left // 2)))
            request[ENTRY].response_bytes = left
        pace = Pace(self._world.settings.object_bandwidth)
        loop = asyncio.get_running_loop()
        with path.open("rb") as source:
            source.seek(first)
            chunk = source.read(min(_WITH_HEADERS, left))
            await pace.keep(len(chunk))
            await response.write(chunk)
            left -= len(chunk)
            while left and chunk:
                count = min(pace.chunk, left)
                await pace.keep(count)
                if request.transport is None or request.transport.is_closing():
                    break
                sent = await loop.sendfile(request.transport, source, source.tell(), count)
                if not sent:
                    break
                left -= sent
        if truncated and request.transport is not None:
            request.transport.close()

    async def _put(self, request: web.Request, path: Path) -> web.Response:
        length = request.content_length
        if length is None:
            sentence = "You must provide the Content-Length HTTP header."
            raise _refused(411, "MissingContentLength", sentence)
        if length > _LARGEST_PUT:
            sentence = "Your proposed upload exceeds the maximum allowed size"
            raise _refused(400, "EntityTooLarge", sentence)
        unfinished = self._world.folder / "incoming" / secrets.token_hex(16)
        try:
            with unfinished.open("wb") as sink:
                await self._receive(request, sink.write)
            await asyncio.to_thread(_place, unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
        settings, key = self._world.settings, request.match_info["key"]
        await self._world.store.write(
            lambda connection: plan_what_follows(connection, settings, key)
        )
        return web.Response()

    async def _receive(self, request: web.Request, write: Callable[[bytes], int]) -> None:
        pace = Pace(self._world.settings.object_bandwidth)
        async for chunk in request.content.iter_chunked(pace.chunk):
            await pace.keep(len(chunk))
            write(chunk)


class Pace:
    """Slows one connection down to ``bandwidth`` bytes per second; 0 is as fast as it can."""

    def __init__(self, bandwidth: float) -> None:
        self._bandwidth = bandwidth
        self.chunk = min(_CHUNK, int(bandwidth * _STEP) + 1) if bandwidth else _CHUNK
        self._start = time.monotonic()
        self._done = 0

    async def keep(self, count: int) -> None:
        """Wait until ``count`` more bytes can have passed."""
        self._done += count
        if self._bandwidth:
            due = self._start + self._done / self._bandwidth
            await asyncio.sleep(max(0.0, due - time.monotonic()))


def _asked(request: web.Request, size: int) -> tuple[int, int] | None:
    """First and last byte of the range that was asked for; a range S3 cannot read is ignored.

    Raises Refusal (416) where the object ends before it.
    """
    match = _RANGE.fullmatch(request.headers.get("Range", ""))
    if match is None or match[0] == "bytes=-":
        return None
    if match[1]:
        first, last = int(match[1]), min(int(match[2] or size), size - 1)
        if match[2] and int(match[2]) < first:
            return None
    else:
        first, last = max(size - int(match[2]), 0), size - 1
    if first > last:
        raise _refused(
            416,
            "InvalidRange",
            "The requested range is not satisfiable",
            {"Content-Range": f"bytes */{size}"},
        )
    return first, last


def _place(unfinished: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished.replace(path)


def _refused(
    status: int, code: str, sentence: str, headers: dict[str, str] | None = None
) -> Refusal:
    body = f"<Error><Code>{code}</Code><Message>{escape(sentence)}</Message></Error>"
    return Refusal(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{body}', headers)
