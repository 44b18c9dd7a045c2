"""Work that is shared: one run for one thing, and waiting for what another thread is at."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextvars import ContextVar
from typing import Any, TypeVar

from ndicloudfs.cloud.errors import Interrupted, TimedOut

Result = TypeVar("Result")

# s: how soon whoever waits hears that nobody wants what it waits for.
LOOK_EVERY = 0.2
# Tells a thread that waits for somebody else whether that one has been killed meanwhile.
INTERRUPTED: ContextVar[Callable[[], bool]] = ContextVar("interrupted")


def interrupted() -> None:
    """Raise ``Interrupted`` where this thread waits for somebody who has been killed."""
    killed = INTERRUPTED.get(None)
    if killed is not None and killed():
        raise Interrupted("The program that asked for it was interrupted; try again")


def settled(future: Future[Any], seconds: float) -> bool:
    """Wait up to ``seconds`` for ``future``; whether it has ended, well or not."""
    try:
        future.exception(seconds)
    except FutureTimeoutError:
        return future.done()
    return True


def wait(future: Future[Result], seconds: float, what: str) -> Result:
    """Wait for ``future``.

    Raises ``TimedOut`` naming ``what`` when ``seconds`` have passed, and ``Interrupted``.
    """
    end = time.monotonic() + seconds
    while not settled(future, min(LOOK_EVERY, max(0.0, end - time.monotonic()))):
        interrupted()
        if time.monotonic() >= end:
            raise TimedOut(f"{what} did not arrive within {seconds:.0f} s; try again")
    return future.result()


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
            try:
                result: Result = wait(running[0], self._patience, "What another reader is fetching")
            except Interrupted:
                interrupted()
                return self.run(key, work)  # it was the other one who was
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
