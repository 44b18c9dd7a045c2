"""Answers and refusals as the API shapes them, and reading what a request asks for."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

Json: TypeAlias = dict[str, Any]

_SENTINELS = {
    "NaN": "__NDI__NaN__",
    "Infinity": "__NDI__Infinity__",
    "-Infinity": "__NDI__-Infinity__",
}


class Refusal(Exception):
    """The request is answered with ``status`` and ``body`` instead of being served."""

    def __init__(
        self, status: int, body: Json | str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers


def refused(status: int, sentence: str) -> Refusal:
    """A refusal in the form of the dataset and document routes (8.1)."""
    return Refusal(status, {"error": sentence})


def cast_error(value: str, model: str) -> Refusal:
    """What the server makes of an id that is not a cloud id (5.2): a 500."""
    sentence = f'Cast to ObjectId failed for value "{value}" (type string) at path "_id"'
    return Refusal(500, {"message": f'{sentence} for model "{model}"'})


def dump(value: object) -> str:
    """``value`` as the server writes JSON: UTF-8, no spaces, sentinels for non-finite numbers."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair stays an escape
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except ValueError:  # a number beyond a double, as 1e999
        return dump(_finite(value))
    return text


def load(text: str | bytes) -> Any:
    """JSON as the server reads it: NaN and Infinity are accepted and become sentinels (5.3, 7.5).

    Raises ValueError.
    """
    return json.loads(text, parse_constant=_SENTINELS.__getitem__)


def _finite(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return _SENTINELS[json.dumps(value)]
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return value


def answer(body: Json | list[Any] | str, status: int = 200) -> web.Response:
    """A JSON answer; a string is JSON text already. Nothing is sent with 204."""
    if status == 204:
        return web.Response(status=204)
    text = body if isinstance(body, str) else dump(body)
    return web.Response(body=text.encode(), status=status, content_type="application/json")


async def body_of(request: web.Request) -> Json:
    """The JSON object that was sent; nothing sent counts as an empty one. Raises Refusal."""
    content = await request.read()
    if not content.strip():
        return {}
    try:
        body = load(content)
    except ValueError as error:
        raise Refusal(400, {"message": f"Unexpected token in JSON: {error}"}) from None
    if not isinstance(body, dict):
        raise Refusal(400, {"message": "The body is not a JSON object"})
    return body


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        """How many rows stand before it."""
        return (self.number - 1) * self.size


def page_of(request: web.Request, largest: int) -> Page:
    """``page`` from 1 and ``pageSize``, 20 when not given, ``largest`` at most (4.1, 5.1)."""
    number = _positive(request.query.get("page"), 1)
    return Page(number, min(_positive(request.query.get("pageSize"), 20), largest))


def _positive(text: str | None, default: int) -> int:
    # Nine digits keep the offset within what SQLite takes.
    return int(text) if text and text.isdecimal() and len(text) < 10 and int(text) else default
