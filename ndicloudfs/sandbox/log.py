"""What was asked of the sandbox, in memory, for tests and measurements.

Paths are kept without their query: no signature and no token is ever in it.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from dataclasses import asdict, dataclass, field

from ndicloudfs.sandbox.answers import Json

_KEPT = 200_000


@dataclass(slots=True)
class Entry:
    """One request, and as soon as it is known its answer.

    ``status`` is None while there is no answer, and for ever where the connection was dropped;
    ``response_bytes`` is what the answer promises, or what was sent of it when it was cut short.
    """

    number: int
    port: str
    method: str
    route: str
    path: str
    request_bytes: int
    range: str | None
    user_id: str | None = None
    status: int | None = None
    response_bytes: int = 0
    time: float = field(default_factory=time.time)


class RequestLog:
    """The last requests, in the order of their arrival."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque(maxlen=_KEPT)
        self._numbers = itertools.count(1)

    def next_number(self) -> int:
        """The number of a request that has just arrived."""
        return next(self._numbers)

    def add(self, entry: Entry) -> None:
        """Keep ``entry``, which may still change."""
        self._entries.append(entry)

    def since(self, number: int) -> list[Json]:
        """The requests with a number above ``number``."""
        return [asdict(entry) for entry in self._entries if entry.number > number]

    def clear(self) -> None:
        """Forget all requests; numbers go on."""
        self._entries.clear()
