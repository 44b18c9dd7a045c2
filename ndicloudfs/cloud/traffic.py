"""How much goes to and from the server, how fast, and what is on its way now."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ndicloudfs.cloud.values import NotWanted

WINDOW = 5.0  # s that a rate is taken over
_OBJECT = "object"  # the template of requests to the object store


@dataclass(slots=True)
class Transfer:
    """An object on its way. ``moved`` tells how many bytes have gone, where that can be told."""

    direction: str  # "download" or "upload"
    size: int | None
    began: float
    moved: Callable[[], int] = field(repr=False, default=lambda: 0)


@dataclass(frozen=True, slots=True)
class Totals:
    """Since the client was made: bytes of objects, calls of the API, and calls that failed."""

    downloaded: int
    uploaded: int
    calls: int
    failures: int
    download_rate: float  # bytes/s over the last seconds
    upload_rate: float


class Traffic:
    """Counts exchanges. Used by any thread. ``monotonic`` tells seconds."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._current: dict[int, Transfer] = {}
        self._bytes = {"download": 0, "upload": 0}
        self._recent: deque[tuple[float, str, int]] = deque()
        self._calls = self._failures = 0

    @contextmanager
    def exchange(
        self, method: str, template: str, size: int | None, moved: Callable[[], int]
    ) -> Iterator[Callable[[int], None]]:
        """One exchange; gives what is told the number of bytes that came with the answer.

        ``size`` and ``moved`` are of what is sent, for requests that send an object.
        """
        direction = "upload" if method == "PUT" else "download"
        transfer = Transfer(direction, size, self._monotonic(), moved)
        came = 0

        def received(number: int) -> None:
            nonlocal came
            came = number

        is_object = template == _OBJECT
        with self._lock:
            if is_object:
                self._current[id(transfer)] = transfer
            else:
                self._calls += 1
        try:
            yield received
        except NotWanted:
            raise
        except BaseException:
            with self._lock:
                self._failures += 1
            raise
        finally:
            with self._lock:
                if self._current.pop(id(transfer), None) is not None:
                    self._count(direction, came if direction == "download" else moved())

    def current(self) -> list[Transfer]:
        """The objects that are on their way now, the oldest first."""
        with self._lock:
            return sorted(self._current.values(), key=lambda transfer: transfer.began)

    def totals(self) -> Totals:
        """Everything so far, and the rates of the last seconds."""
        with self._lock:
            self._forget(self._monotonic())
            moved = {"download": 0, "upload": 0}
            for _, direction, number in self._recent:
                moved[direction] += number
            for transfer in self._current.values():
                moved[transfer.direction] += transfer.moved()
            return Totals(
                self._bytes["download"],
                self._bytes["upload"],
                self._calls,
                self._failures,
                moved["download"] / WINDOW,
                moved["upload"] / WINDOW,
            )

    def _count(self, direction: str, number: int) -> None:
        now = self._monotonic()
        self._bytes[direction] += number
        self._recent.append((now, direction, number))
        self._forget(now)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - WINDOW:
            self._recent.popleft()
