"""Cloud ids: 24 hex digits, as MongoDB makes them, rising in the order of creation."""

from __future__ import annotations

import itertools
import re
import secrets
import time

_CLOUD_ID = re.compile(r"[0-9a-fA-F]{24}")


def is_cloud_id(value: object) -> bool:
    """Tell whether ``value`` is a string of 24 hex digits."""
    return isinstance(value, str) and _CLOUD_ID.fullmatch(value) is not None


class CloudIds:
    """Makes cloud ids: time, a random part of this process, a counter."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(5)
        self._count = itertools.count()

    def new(self) -> str:
        """A cloud id that was never given before."""
        return f"{int(time.time()):08x}{self._process}{next(self._count) & 0xFFFFFF:06x}"
