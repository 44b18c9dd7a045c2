"""The way to a server: no call while it is away, and nobody waits for one that hangs.

A server that cannot be reached, or that does not even answer a question that costs it nothing, is
away: from then on every call fails at once, also those that wait for an answer, and one thread in
the background asks for a sign of life until there is one. It asks soon where somebody wants
something from the server, and every half a minute where nobody does.

Calls run on threads of their own, so that whoever waits for one can be killed, or told that the
server is away, however long the network keeps quiet.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from ndicloudfs.cache.flight import LOOK_EVERY, interrupted, settled
from ndicloudfs.cloud.errors import TimedOut, Unreachable

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# A call that has no answer after this long (s) makes us doubt whether the server is there, and a
# sign of life that takes as long again is taken for a no. Calls may take 29 s (section 1.1).
DOUBT = 4.0
# s between two signs of life: at the least, at first, and at the most.
SOONEST, FIRST_PAUSE, LONGEST_PAUSE = 1.0, 1.0, 30.0
# A server that gives signs of life and lets three calls in a row run out of time hangs as well:
# every further file of a walk would wait for its own minute.
TIMED_OUT_IN_A_ROW = 3
_MOST_CALLS = 96  # 64 readers, and what goes on in the background
_THREAD_IDLE = 10.0  # s until a thread without a call ends


class Uplink:
    """Makes the calls to one server. Safe for threads."""

    def __init__(self, sign_of_life: Callable[[], None]) -> None:
        """``sign_of_life`` raises ``Unreachable`` or ``TimedOut`` where the server is away."""
        self._sign_of_life = sign_of_life
        self._calls = _Threads(_MOST_CALLS)
        self._lock = threading.Lock()
        self._down: Unreachable | TimedOut | None = None
        self._for_good = False
        self._timed_out = 0
        self._looking = False
        self._wanted = threading.Event()
        self._ended = threading.Event()

    def call(self, work: Callable[[], Result], *, here: bool = False) -> Result:
        """Run ``work``, which talks to the server.

        ``here``: on this thread and to its end, as it writes to memory of the caller's. Raises what
        ``work`` raises, the reason of the outage while there is one, and ``Interrupted``.
        """
        self._raise_if_down()
        future: Future[Result]
        if here:
            future = Future()
            _run(future, work)
        else:
            future = self._calls.submit(work)
            self.attend(future)
        try:
            result = future.result()
        except (Unreachable, TimedOut) as error:
            self._failed(error)
            raise
        if self._timed_out or self._down is not None:
            with self._lock:
                self._timed_out = 0
            self._wanted.set()
        return result

    @property
    def down(self) -> Unreachable | TimedOut | None:
        """Why calls fail at the moment, or None; whoever asks wants the server to be back."""
        down = self._down
        if down is not None:
            self._wanted.set()
        return down

    def stay_down(self, reason: Unreachable) -> None:
        """Make no call any more, and end those that are under way."""
        with self._lock:
            self._down, self._for_good = reason, True
        self._ended.set()
        self._wanted.set()

    def _raise_if_down(self) -> None:
        down = self.down
        if down is not None:
            raise type(down)(str(down))

    def attend(self, future: Future[Any]) -> None:
        """Wait until a call has ended, well or not.

        Raises the reason of an outage as soon as there is one, and ``Interrupted``.
        """
        doubt = time.monotonic() + DOUBT
        while not settled(future, LOOK_EVERY):
            interrupted()
            self._raise_if_down()
            if time.monotonic() >= doubt:
                self._look(0.0)
                doubt = time.monotonic() + DOUBT

    def _failed(self, error: Unreachable | TimedOut) -> None:
        with self._lock:
            self._timed_out = self._timed_out + 1 if isinstance(error, TimedOut) else 0
            in_doubt = 0 < self._timed_out < TIMED_OUT_IN_A_ROW
        if in_doubt:
            self._look(0.0)
        else:
            self._go_down(error)
            self._look(FIRST_PAUSE)

    def _go_down(self, error: Unreachable | TimedOut) -> None:
        with self._lock:
            if self._for_good:
                return
            first, self._down = self._down is None, error
        if first:
            log.warning("offline, showing what is cached: %s", error)

    def _look(self, pause: float) -> None:
        """Begin to look for a sign of life after ``pause`` seconds, unless somebody does."""
        with self._lock:
            if self._looking or self._for_good:
                return
            self._looking = True
        name = "ndi-sign-of-life"
        threading.Thread(target=self._keep_looking, args=(pause,), name=name, daemon=True).start()

    def _keep_looking(self, pause: float) -> None:
        while not self._ended.is_set():
            self._pause(pause)
            answer = self._calls.submit(self._sign_of_life)
            if not settled(answer, DOUBT):
                self._go_down(TimedOut("The server does not answer; try again later"))
                while not settled(answer, LOOK_EVERY):
                    if self._ended.is_set():
                        return
            error = answer.exception()
            if not isinstance(error, (Unreachable, TimedOut)):
                self._back()
                return
            self._go_down(error)
            pause = min(max(2 * pause, FIRST_PAUSE), LONGEST_PAUSE)

    def _pause(self, seconds: float) -> None:
        """Pause, shorter where somebody wants something from the server."""
        self._wanted.clear()
        self._ended.wait(min(seconds, SOONEST))
        self._wanted.wait(max(seconds - SOONEST, 0.0))

    def _back(self) -> None:
        with self._lock:
            was_down = self._down is not None and not self._for_good
            if was_down:
                self._down = None
            self._looking = False
        if was_down:
            log.info("online again")


class _Threads:
    """Threads for calls, as many as there are at a time; none of them keeps the process alive."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._count = 0
        self._idle = threading.Semaphore(0)
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        future: Future[Result] = Future()
        self._work.put((future, work))
        if not self._idle.acquire(blocking=False):
            with self._lock:
                begin = self._count < self._most
                self._count += begin
            if begin:
                threading.Thread(target=self._serve, name="ndi-call", daemon=True).start()
        return future

    def _serve(self) -> None:
        while True:
            try:
                future, work = self._work.get(timeout=_THREAD_IDLE)
            except queue.Empty:
                if self._idle.acquire(blocking=False):
                    break
                continue  # somebody counts on this thread
            _run(future, work)
            del future, work
            self._idle.release()
        with self._lock:
            self._count -= 1


def _run(future: Future[Any], work: Callable[[], Any]) -> None:
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001 (whoever waits for it raises it)
        future.set_exception(error)
    else:
        future.set_result(result)
