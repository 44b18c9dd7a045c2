"""One call for one thing, however many threads want it, and no call while the server is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

from ndicloudfs.cloud.errors import TimedOut, Unreachable

Result = TypeVar("Result")

# A walk over 10,000 files while the server is away must fail in seconds, not in 10,000 time-outs:
# after a failure to connect, every call fails at once for this long (s).
PAUSE_AFTER_DISCONNECT = 5.0


def wait(future: Future[Result], seconds: float, what: str) -> Result:
    """Wait for ``future``; raise ``TimedOut`` naming ``what`` when ``seconds`` have passed."""
    try:
        return future.result(seconds)
    except FutureTimeoutError:
        raise TimedOut(f"{what} did not arrive within {seconds:.0f} s; try again") from None


class SingleFlight:
    """Share one run of some work among all threads that ask for the same key meanwhile."""

    def __init__(self, patience: float) -> None:
        """``patience``: how long a thread waits for another one's run, in seconds."""
        self._patience = patience
        self._lock = threading.Lock()
        self._running: dict[Hashable, Future[Any]] = {}

    def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """Return what ``work`` returns, running it only if no other thread is at ``key``.

        Raises what ``work`` raises, and ``TimedOut`` if the other thread takes too long.
        """
        with self._lock:
            future = self._running.get(key)
            if future is None:
                mine: Future[Result] = Future()
                self._running[key] = mine
        if future is not None:
            result: Result = wait(future, self._patience, "What another reader is fetching")
            return result
        try:
            value = work()
        except BaseException as error:
            self._finish(key)
            mine.set_exception(error)
            raise
        self._finish(key)
        mine.set_result(value)
        return value

    def running(self, key: Hashable) -> bool:
        """Tell whether some thread is at ``key`` now."""
        with self._lock:
            return key in self._running

    def _finish(self, key: Hashable) -> None:
        with self._lock:
            del self._running[key]


class Uplink:
    """The way to the server: remembers for a moment that it is down, so that callers fail fast."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._down: tuple[float, Unreachable] | None = None

    def call(self, work: Callable[[], Result]) -> Result:
        """Run ``work``, which talks to the server.

        Raises the last ``Unreachable`` again, without a call, for ``PAUSE_AFTER_DISCONNECT``
        seconds after it happened.
        """
        down = self._down
        if down is not None and self._monotonic() < down[0]:
            raise Unreachable(str(down[1]))
        try:
            result = work()
        except Unreachable as error:
            self._down = (self._monotonic() + PAUSE_AFTER_DISCONNECT, error)
            raise
        self._down = None
        return result

    @property
    def down(self) -> Unreachable | None:
        """The failure to connect that calls fail with at the moment, or None."""
        down = self._down
        return down[1] if down is not None and self._monotonic() < down[0] else None
