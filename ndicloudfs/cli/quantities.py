"""Sizes, rates and times as people write them: ``20GiB``, ``80MB/s``, ``100ms``.

Each function is a ``type`` for an option; what it cannot read is wrong usage.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import click

_QUANTITY = re.compile(r"(?P<number>\d{1,15}(?:\.\d{1,9})?)\s*(?P<unit>[a-z]*)")
_SIZES = {
    "": 1, "b": 1,
    "k": 10**3, "kb": 10**3, "ki": 2**10, "kib": 2**10,
    "m": 10**6, "mb": 10**6, "mi": 2**20, "mib": 2**20,
    "g": 10**9, "gb": 10**9, "gi": 2**30, "gib": 2**30,
    "t": 10**12, "tb": 10**12, "ti": 2**40, "tib": 2**40,
}  # fmt: skip
_TIMES = {"": 1.0, "s": 1.0, "ms": 0.001}


def size(text: str) -> int:
    """Bytes of ``500MB``, ``20GiB`` or a plain number; more than nothing."""
    found = int(_quantity(text, _SIZES) or 0)
    if found <= 0:
        raise click.BadParameter(f"{text!r} is not a size such as 500MB or 20GiB")
    return found


def rate(text: str) -> float:
    """Bytes per second of ``80MB/s`` or a plain number; more than nothing."""
    found = _quantity(text.strip().lower().removesuffix("/s"), _SIZES)
    if not found:
        raise click.BadParameter(f"{text!r} is not a rate such as 80MB/s")
    return found


def time(text: str) -> float:
    """Seconds of ``100ms``, ``0.1s`` or a plain number."""
    found = _quantity(text, _TIMES)
    if found is None:
        raise click.BadParameter(f"{text!r} is not a time such as 100ms or 0.1s")
    return found


def _quantity(text: str, units: Mapping[str, float]) -> float | None:
    match = _QUANTITY.fullmatch(text.strip().lower())
    if match is None or match["unit"] not in units:
        return None
    return float(match["number"]) * units[match["unit"]]
