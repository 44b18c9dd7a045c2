"""The line to the server: whether anything should be sent now, or not before a while has passed."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from ndicloudfs.cloud.errors import CloudError, NotSignedIn, Unreachable, WrongCredentials
from ndicloudfs.writeback.settings import Limits, Timing

log = logging.getLogger(__name__)

_DOWN_AT_ONCE = (Unreachable, NotSignedIn, WrongCredentials)


class Line:
    """A circuit breaker. Used by any thread.

    It opens at once where the server cannot be reached or nobody is signed in, and after several
    failures in a row of any other passing kind. It closes by itself after a pause that doubles,
    with a random part, or when somebody asks for it. ``monotonic`` tells seconds.
    """

    def __init__(
        self,
        timing: Timing,
        limits: Limits,
        monotonic: Callable[[], float],
        rng: Callable[[], float] = random.random,
    ) -> None:
        self._timing = timing
        self._limits = limits
        self._monotonic = monotonic
        self._rng = rng
        self._lock = threading.Lock()
        self._failures = 0
        self._pauses = 0
        self._down: tuple[float, CloudError] | None = None
        self.attempts = 0  # calls that had an outcome, whatever it was

    @property
    def outage(self) -> CloudError | None:
        """Why nothing is sent at the moment, or None."""
        down = self._down
        return down[1] if down is not None and self._monotonic() < down[0] else None

    def pause_left(self) -> float:
        """Seconds until it is tried again, 0 where it may be now."""
        down = self._down
        return 0.0 if down is None else max(0.0, down[0] - self._monotonic())

    def worked(self) -> None:
        """A call was answered."""
        with self._lock:
            self.attempts += 1
            if self._down is not None:
                log.info("writing back goes on")
            self._failures, self._pauses, self._down = 0, 0, None

    def failed(self, error: CloudError) -> None:
        """A call failed, and trying it again may help."""
        with self._lock:
            self.attempts += 1
            self._failures += 1
            at_once = isinstance(error, _DOWN_AT_ONCE)
            if not at_once and self._failures < self._limits.failures_in_a_row:
                return
            if self._down is not None and self._monotonic() < self._down[0]:
                return
            pause = self.backoff(self._pauses)
            self._pauses += 1
            self._down = (self._monotonic() + pause, error)
        log.info("writing back pauses for %.0f s: %s", pause, error)

    def retry_now(self) -> None:
        """Do not wait any longer: somebody has signed in, or asks for it."""
        with self._lock:
            self._pauses = 0
            if self._down is not None:
                self._down = (self._monotonic(), self._down[1])

    def backoff(self, tries: int) -> float:
        """Seconds to wait after ``tries`` failures before this one."""
        longest = self._timing.longest_backoff
        pause: float = min(self._timing.backoff * 2 ** min(tries, 20), longest)
        return pause * (0.75 + 0.5 * self._rng())
