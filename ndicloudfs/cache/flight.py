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
# One call without an answer may be a call that is too much for the server; three are a server
# that hangs, and every further file of a walk would wait for its own minute.
TIMED_OUT_IN_A_ROW = 3


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
        self._running: dict[Hashable, tuple[Future[Any], int]] = {}

    def run(self, key: Hashable, work: Callable[[], Result]) -> Result:
        """Return what ``work`` returns, running it only if no other thread is at ``key``.

        Raises what ``work`` raises, and ``TimedOut`` if the other thread takes too long.
        """
        me = threading.get_ident()
        with self._lock:
            running = self._running.get(key)
            if running is None:
                mine: Future[Result] = Future()
                self._running[key] = (mine, me)
        if running is not None:
            if running[1] == me:
                raise RuntimeError(f"the work at {key!r} asks for itself")
            result: Result = wait(running[0], self._patience, "What another reader is fetching")
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
    """The way to the server: remembers for a moment that it is down, so that callers fail fast.

    Down means that it could not be reached, or that it let several calls in a row run out of time.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._down: tuple[float, Unreachable | TimedOut] | None = None
        self._timed_out = 0

    def call(self, work: Callable[[], Result]) -> Result:
        """Run ``work``, which talks to the server.

        Raises the last error again, without a call, for ``PAUSE_AFTER_DISCONNECT`` seconds after
        the server went down.
        """
        down = self._down
        if down is not None and self._monotonic() < down[0]:
            raise type(down[1])(str(down[1]))
        try:
            result = work()
        except (Unreachable, TimedOut) as error:
            self._timed_out = self._timed_out + 1 if isinstance(error, TimedOut) else 0
            if 0 < self._timed_out < TIMED_OUT_IN_A_ROW:
                raise
            self._down = (self._monotonic() + PAUSE_AFTER_DISCONNECT, error)
            raise
        self._down, self._timed_out = None, 0
        return result

    @property
    def down(self) -> Unreachable | TimedOut | None:
        """The failure to connect that calls fail with at the moment, or None."""
        down = self._down
        return down[1] if down is not None and self._monotonic() < down[0] else None
