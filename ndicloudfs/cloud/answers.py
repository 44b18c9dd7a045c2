"""What an answer of NDI Cloud says: its JSON, its rows, or which error it is.

The readers at the end take the decoded answer and raise Malformed where it is not what was asked
for; the session turns that into the BadAnswer that names the call.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias, TypeVar

from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    NotFound,
    NotSignedIn,
    PermissionDenied,
    Refused,
    ServerFault,
)
from ndicloudfs.cloud.redaction import one_line
from ndicloudfs.cloud.transport import Answer, Request
from ndicloudfs.cloud.values import Json, as_list, as_size, as_text

T = TypeVar("T")

# How the server writes non-finite numbers itself (section 7.5). Bare tokens become the same, so
# that a body is strict JSON wherever it goes.
NON_FINITE = {
    "NaN": "__NDI__NaN__",
    "Infinity": "__NDI__Infinity__",
    "-Infinity": "__NDI__-Infinity__",
}

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CAST_ERROR = re.compile(r"CastError|Cast to \w+ failed")
_HTML = re.compile(rb"\s*<(?:!doctype html|html)", re.IGNORECASE)

# Which error a status is, what happened, and what to do (section 8.2).
_Meaning: TypeAlias = tuple[type[CloudError], str, str]
_STATUS: dict[int, _Meaning] = {
    401: (
        NotSignedIn,
        "wants an account for",
        "run: ndicloudfs login, or renew NDI_CLOUD_TOKEN where that is set",
    ),
    403: (PermissionDenied, "does not let this account", "ask the owner of the data"),
    404: (NotFound, "has nothing under", "it is gone, or this account may not see it"),
    429: (ServerFault, "asks for patience with", "try again later"),
}
_HUNDRED: dict[int, _Meaning] = {
    3: (Refused, "sends elsewhere", "correct NDI_CLOUD_URL"),
    4: (Refused, "refused", "correct what was asked"),
    5: (ServerFault, "failed at", "try again later"),
}
_MALFORMED_ID: _Meaning = (NotFound, "knows no such id as in", "check the id")
_STRANGE: _Meaning = (BadAnswer, "gave no proper answer to", "try again")


class Malformed(Exception):
    """An answer is not what was asked for; the text says what it is: "an HTML page"."""


def decode(content: bytes) -> Any:
    """The JSON value in ``content``, strict: finite numbers, text that UTF-8 can hold.

    Raises Malformed.
    """
    if not content.strip():
        raise Malformed("nothing")
    try:
        value = json.loads(
            content.decode("utf-8-sig"), parse_constant=NON_FINITE.__getitem__, parse_float=_number
        )
        if _SURROGATE.search(content):
            # Half a surrogate pair is legal in JSON and nowhere else: it becomes "?".
            text = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
            value = json.loads(text)
    except (ValueError, RecursionError):
        found = "an HTML page" if _HTML.match(content) else "something that is not JSON"
        raise Malformed(found) from None
    return value


def _number(text: str) -> float | str:
    number = float(text)
    if math.isinf(number):
        return NON_FINITE["Infinity" if number > 0 else "-Infinity"]
    return number


def said(answer: Answer, hide: Iterable[str] = ()) -> str:
    """The server's own words about an error (section 8.1), on one line, ``""`` when there are none.

    Looks for error, errors, message and detail, also inside each other; takes S3's XML and plain
    text, no HTML. The words in ``hide`` do not appear.
    """
    words = _said(answer)
    for secret in filter(None, hide):
        words = words.replace(secret, "[...]")
    return one_line(words)


def _said(answer: Answer) -> str:
    try:
        content = answer.content()
    except ValueError:
        return ""
    text = content[:65536].decode("utf-8", "replace")
    try:
        return _words(decode(content), 5)
    except Malformed:
        pass
    if text.lstrip().startswith("<"):
        found = (re.search(f"<{tag}>([^<]*)</{tag}>", text) for tag in ("Code", "Message"))
        return ": ".join(match[1] for match in found if match)
    return text


def _words(value: object, depth: int) -> str:
    if isinstance(value, str):
        return value
    if depth and isinstance(value, list) and value:
        return _words(value[0], depth - 1)
    if depth and isinstance(value, dict):
        for key in ("error", "errors", "message", "detail"):
            words = _words(value.get(key), depth - 1)
            if words:
                return words
    return ""


def failure(request: Request, answer: Answer, now: float, hide: Iterable[str]) -> CloudError | None:
    """The error that an answer of the API is, None for 2xx.

    ``now`` is in seconds of the epoch; the words in ``hide`` do not appear in the message.
    """
    status = answer.status
    if 200 <= status < 300:
        return None
    words = said(answer, hide)
    if status == 500 and _CAST_ERROR.search(words):
        kind, happened, advice = _MALFORMED_ID
    else:
        kind, happened, advice = _STATUS.get(status) or _HUNDRED.get(status // 100) or _STRANGE
    because = f"({status}: {words})" if words else f"({status})"
    return kind(
        f"{request.service} at {request.host} {happened} {request.name} {because}; {advice}",
        status=status,
        retry_after=retry_after(answer, now),
    )


def retry_after(answer: Answer, now: float) -> float | None:
    """The seconds that ``Retry-After`` asks for, given as a number or as a date."""
    text = answer.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def an_object(value: object) -> Json:
    """An answer that is a JSON object."""
    if not isinstance(value, dict):
        raise Malformed("no JSON object")
    return value


def rows(value: object, *keys: str) -> list[Any]:
    """The list under the first of ``keys`` that the answer has."""
    data = an_object(value)
    for key in keys:
        if key in data:
            if isinstance(data[key], (list, dict)) or data[key] in (None, ""):
                return as_list(data[key])
            raise Malformed(f"no list of {key}")
    raise Malformed(f"no {keys[0]}")


def whole_number(value: object, *keys: str) -> int | None:
    """The count under the first of ``keys`` that holds one."""
    data = an_object(value)
    return next((size for key in keys if (size := as_size(data.get(key))) is not None), None)


def text(key: str) -> Callable[[Any], str]:
    """A reader of one string that must be there, such as ``url``."""

    def read(value: Any) -> str:
        found = as_text(an_object(value).get(key))
        if not found:
            raise Malformed(f"no {key}")
        return found

    return read


def new_id(value: Any) -> str:
    """The cloud id of what a call made, under ``id`` or ``_id``."""
    data = an_object(value)
    identity = as_text(data.get("id")) or as_text(data.get("_id"))
    if not identity:
        raise Malformed("no id")
    return identity


def present(items: Iterable[T | None]) -> list[T]:
    """The items without those that could not be read."""
    return [item for item in items if item is not None]
