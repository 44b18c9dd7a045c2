"""What every part of the cache asks the server with, and how long it believes an answer."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from ndicloudfs.cache.changes import Changes
from ndicloudfs.cache.flight import SingleFlight, settled
from ndicloudfs.cache.uplink import Uplink
from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.errors import CloudError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# What is older (s) than this is only served where nothing newer can be had: somebody who comes
# back after a night must not see yesterday's state first.
TOO_OLD = 3600.0
# s: so long a reader waits for the newer state; then the old one serves.
OLD_PATIENCE = 1.5


@dataclass(frozen=True, slots=True)
class Upstream:
    """What every part of the cache needs to ask the server."""

    cloud: NdiCloud
    uplink: Uplink
    object_uplink: Uplink  # another machine: a firewall may let through one and not the other
    flight: SingleFlight
    pool: ThreadPoolExecutor
    stopping: threading.Event  # the mount goes away: long work ends early
    clock: Callable[[], float]
    changes: Changes
    ttl: float  # seconds for which what was fetched is believed
    patience: float  # seconds for which a reader waits for what another one is fetching

    def age(self, fetched_at: float) -> float:
        """Seconds since ``fetched_at``; for ever where the clock has been set back since."""
        age = self.clock() - fetched_at
        return age if age >= 0 else float("inf")

    def believes(self, fetched_at: float) -> bool:
        """Whether what was fetched then (epoch s) is shown without asking again."""
        return 0 <= self.clock() - fetched_at <= self.ttl

    def call(self, work: Callable[[], Result]) -> Result:
        """Run ``work``, which talks to the API; raises ``Unreachable`` once the mount ends."""
        return self.uplink.call(work)

    def try_first(self, fetch: Callable[[], object], what: str) -> bool:
        """Fetch ``what`` before what is known of it is shown, if that can be done soon.

        Where the server is slow or away, what is known goes on serving and it comes later. Tells
        whether it came. Raises what trying again will not help.
        """
        if self.uplink.down is not None:
            return False
        try:
            job = self.pool.submit(fetch)
        except RuntimeError:  # the mount is going away
            return False
        try:
            if settled(job, OLD_PATIENCE):
                job.result()
                return True
        except CloudError as error:
            if not error.retryable:
                raise
            log.info("%s could not be refreshed, the old state goes on serving: %s", what, error)
        return False
