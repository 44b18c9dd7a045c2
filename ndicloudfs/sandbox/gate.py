"""What every request passes: latency, faults, the log, and refusals turned into answers."""

from __future__ import annotations

import asyncio
import json
import logging
import zlib
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from ndicloudfs.sandbox.answers import Json, Refusal, answer, dump
from ndicloudfs.sandbox.faults import Fault
from ndicloudfs.sandbox.log import Entry
from ndicloudfs.sandbox.world import ENTRY, FAULT, USER, Call, World

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware

_GARBAGE = b'{"documents":[{"id":"65f0c0ffee00'
_WORTH_COMPRESSING = 1024
_log = logging.getLogger(__name__)


def api_gate(world: World) -> Middleware:
    """The gate of the API port; the sandbox's own calls pass beside it."""

    @web.middleware
    async def gate(request: web.Request, handler: Call) -> web.StreamResponse:
        resource = request.match_info.route.resource
        template = (resource.canonical if resource else "/unknown").removeprefix("/v1")
        if template.startswith("/sandbox"):
            return await _answered(request, handler, _json_refusal)
        entry = _arrived(world, request, "api", f"{request.method} {template}")
        await asyncio.sleep(world.settings.api_latency)
        fault = request[FAULT] = world.faults.take(entry.route)
        response = await _suffered(request, handler, fault, _json_refusal)
        if isinstance(response, web.Response):
            response = await _as_gateway(world, request, _spoilt(response, fault))
            entry.status, entry.response_bytes = response.status, _length(response)
            if fault is not None and fault.kind == "truncate":
                await _send_part(request, response, entry, fault)
                response = None
        return await _sent(world, request, response)

    return gate


def object_gate(world: World) -> Middleware:
    """The gate of the object port."""

    @web.middleware
    async def gate(request: web.Request, handler: Call) -> web.StreamResponse:
        entry = _arrived(world, request, "object", f"{request.method} /objects")
        await asyncio.sleep(world.settings.object_latency)
        fault = request[FAULT] = world.faults.take(entry.route)
        response = await _suffered(request, handler, fault, _xml_refusal)
        if isinstance(response, web.FileResponse):
            return response  # sends itself, and only once
        if isinstance(response, web.Response):
            entry.status, entry.response_bytes = response.status, _length(response)
        return await _sent(world, request, response)

    return gate


def _arrived(world: World, request: web.Request, port: str, route: str) -> Entry:
    entry = Entry(
        number=world.log.next_number(),
        port=port,
        method=request.method,
        route=route,
        path=request.path,
        request_bytes=request.content_length or 0,
        range=request.headers.get("Range"),
    )
    request[ENTRY], request[USER] = entry, None
    world.log.add(entry)
    return entry


async def _suffered(
    request: web.Request,
    call: Call,
    fault: Fault | None,
    refusal: Callable[[Refusal], web.Response],
) -> web.StreamResponse | None:
    """The answer to ``request``, or None where a fault leaves it without one."""
    kind = fault.kind if fault else ""
    if fault is not None and kind == "hang":
        await _hang(fault)
    if fault is not None and kind == "status":
        body = fault.options.get("body", {"message": "Injected fault"})
        text = body if isinstance(body, str) else dump(body)
        status = int(fault.number_of("status", 500))
        return web.Response(text=text, status=status, content_type=_content_type(body))
    if kind == "garbage":
        return web.Response(body=_GARBAGE, content_type="application/json")
    if kind == "drop":
        return None
    response = await _answered(request, call, refusal)
    return None if kind == "after" else response


async def _hang(fault: Fault) -> None:
    seconds = fault.options.get("seconds")
    try:
        await asyncio.wait_for(fault.cleared.wait(), None if seconds is None else float(seconds))
    except asyncio.TimeoutError:
        return


async def _answered(
    request: web.Request, call: Call, refusal: Callable[[Refusal], web.Response]
) -> web.StreamResponse:
    try:
        return await call(request)
    except Refusal as refused:
        return refusal(refused)
    except web.HTTPException as error:
        return _http_error(request, error)
    except ConnectionError:
        raise
    except Exception:  # noqa: BLE001 - a server outlives what it did not foresee
        _log.exception("%s %s failed", request.method, request.path)
        return answer({"message": "Internal Server Error"}, 500)


def _json_refusal(refusal: Refusal) -> web.Response:
    return answer(refusal.body, refusal.status)


def _xml_refusal(refusal: Refusal) -> web.Response:
    return web.Response(
        text=str(refusal.body),
        status=refusal.status,
        headers=refusal.headers,
        content_type="application/xml",
    )


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    """The words of Express for a route that is not there, and of the gateway for the rest."""
    if error.status in (404, 405):
        text = f"<pre>Cannot {request.method} {request.rel_url.raw_path}</pre>"
        return web.Response(text=text, status=404, content_type="text/html")
    return answer({"message": HTTPStatus(error.status).phrase}, error.status)


def _content_type(body: object) -> str:
    return "text/plain" if isinstance(body, str) else "application/json"


def _length(response: web.Response) -> int:
    return len(response.body) if isinstance(response.body, bytes) else 0


def _spoilt(response: web.Response, fault: Fault | None) -> web.Response:
    """The answer as a fault of its content makes it."""
    if fault is None or fault.kind not in ("hollow", "omit") or response.status >= 300:
        return response
    body = json.loads(response.text or "{}")
    documents = body.get("documents")
    if fault.kind == "omit" and isinstance(documents, list):
        kept = max(0, len(documents) - int(fault.number_of("documents", 1)))
        body["documents"] = documents[:kept]
    elif fault.kind == "hollow" and isinstance(documents, list):
        for document in documents:
            document["data"] = hollowed(document.get("data") or {})
    elif fault.kind == "hollow" and "id" in body:
        body = {"id": body["id"], **hollowed(body)}
    return answer(body, response.status)


def hollowed(body: Json) -> Json:
    """The body cut down to the name of its class (12, #948)."""
    class_name = (body.get("document_class") or {}).get("class_name", "")
    return {"document_class": {"class_name": class_name}}


async def _as_gateway(world: World, request: web.Request, response: web.Response) -> web.Response:
    """What the gateway in front of the cloud does: a limit on answers, and gzip (1.1)."""
    body = response.body
    if not isinstance(body, bytes):
        return response
    limit = world.settings.answer_limit
    if limit and len(body) > limit:
        return answer({"message": "Internal server error"}, 502)
    offered = "gzip" in request.headers.get("Accept-Encoding", "")
    if not offered or not world.settings.gzip or len(body) < _WORTH_COMPRESSING:
        return response
    response.body = await asyncio.to_thread(_gzip, body)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def _gzip(body: bytes) -> bytes:
    compressor = zlib.compressobj(level=1, wbits=31)
    return compressor.compress(body) + compressor.flush()


async def _send_part(
    request: web.Request, response: web.Response, entry: Entry, fault: Fault
) -> None:
    """Promise the whole answer and send the beginning of it."""
    body = response.body if isinstance(response.body, bytes) else b""
    part = body[: int(fault.number_of("bytes", len(body) // 2))]
    cut = web.StreamResponse(status=response.status, headers=response.headers)
    cut.content_length = len(body)
    entry.response_bytes = len(part)
    await cut.prepare(request)
    await cut.write(part)


async def _sent(
    world: World, request: web.Request, response: web.StreamResponse | None
) -> web.StreamResponse:
    """Send the answer, or close the connection; only then let the tasks that it caused begin."""
    try:
        if response is None:
            if request.transport is not None:
                request.transport.close()
            return web.Response()
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return web.Response()
    finally:
        world.tasks.wake()
    return response
