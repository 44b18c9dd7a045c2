"""Fingerprints of document bodies: equal for the same document, whatever form it travels in.

The order of keys, the layout and the way a number is written do not count: the server stores
bodies in a database that keeps neither. Nor do the addresses of files that have a uid, which the
server makes up anew at each answer (section 5.2).
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from ndicloudfs.cloud.answers import Malformed, decode
from ndicloudfs.cloud.values import Json, as_text

_ADDRESSES = frozenset({"location", "url", "signedUrl"})


def fingerprint(body: bytes | Json) -> str:
    """The fingerprint of a body, given as a value or as JSON text. Raises ValueError."""
    value = parse(body) if isinstance(body, bytes) else body
    if "files" in value:
        value = {**value, "files": _without_addresses(value["files"])}
    text = json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(text.encode()).hexdigest()


def parse(data: bytes) -> Json:
    """The body in JSON text, non-finite numbers as the server writes them. Raises ValueError."""
    try:
        value = decode(data)
    except Malformed as error:
        raise ValueError(f"a document is JSON, not {error}") from None
    if not isinstance(value, dict):
        raise ValueError("a document is a JSON object")
    return value


def _plain(value: Any) -> Any:
    """Whole numbers as integers: JavaScript knows no difference between 1 and 1.0."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _without_addresses(files: Any) -> Any:
    if isinstance(files, list):
        return [_without_addresses(item) for item in files]
    if not isinstance(files, dict):
        return files
    known = bool(as_text(files.get("uid")))
    return {
        key: _without_addresses(value)
        for key, value in files.items()
        if not (known and key in _ADDRESSES)
    }
