"""JSON in the form that every JSON file in the tree has: that of Python's ``json`` with an indent.

Which hands on each token through as many generators as there are levels: three times as long.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from json.encoder import encode_basestring
from math import isfinite
from typing import Any

_INDENT = "  "


def dumps(value: Any) -> str:
    """As ``json.dumps`` with an indent of 2 and text as it is. Raises ValueError for infinity."""
    try:
        return _written(value, "\n")
    except (TypeError, RecursionError):  # what no JSON text has, or has in hundreds of levels
        return json.dumps(value, indent=len(_INDENT), ensure_ascii=False, allow_nan=False)


def _written(value: Any, line: str) -> str:
    """``line``: what begins a line at the level of ``value``."""
    kind = type(value)
    plain = _PLAIN.get(kind)
    if plain is not None:
        return plain(value)
    inner = line + _INDENT
    if kind is dict:
        parts = [f"{encode_basestring(key)}: {_written(value[key], inner)}" for key in value]
        return f"{{{inner}{f',{inner}'.join(parts)}{line}}}" if parts else "{}"
    if kind is list:
        parts = [_written(item, inner) for item in value]
        return f"[{inner}{f',{inner}'.join(parts)}{line}]" if parts else "[]"
    raise TypeError(kind)


def _number(value: float) -> str:
    if not isfinite(value):
        raise ValueError(f"{value} is no JSON")
    return repr(value)


_PLAIN: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: repr,
    float: _number,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): lambda _: "null",
}
