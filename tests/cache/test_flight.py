"""Many threads, one call."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ndicloudfs.cache.flight import INTERRUPTED, SingleFlight
from ndicloudfs.cloud.errors import Interrupted, NotFound, TimedOut
from tests.support.system import until


def test_threads_that_ask_for_the_same_share_one_run() -> None:
    flight, calls, release = SingleFlight(10), [], threading.Event()

    def work() -> int:
        calls.append(1)
        release.wait(10)
        return 42

    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(flight.run, "key", work) for _ in range(8)]
        until(lambda: waiting(flight, "key") == 7)
        release.set()
        assert [result.result(10) for result in results] == [42] * 8
    assert len(calls) == 1
    assert not flight.running("key")


def waiting(flight: SingleFlight, key: str) -> int:
    """The threads that wait for the run of another one, which only the future knows."""
    future: Any = flight._running.get(key, (None,))[0]
    return 0 if future is None else len(future._condition._waiters)


def test_work_that_asks_for_itself_fails_at_once() -> None:
    flight = SingleFlight(60)
    with pytest.raises(RuntimeError, match="asks for itself"):
        flight.run("key", lambda: flight.run("key", lambda: 1))


def test_a_failure_reaches_every_waiting_thread_and_is_not_kept() -> None:
    flight = SingleFlight(10)

    def fail() -> int:
        raise NotFound("no such thing")

    with pytest.raises(NotFound):
        flight.run("key", fail)
    assert flight.run("key", lambda: 1) == 1


def test_a_thread_waits_only_so_long_for_another() -> None:
    flight, started, release = SingleFlight(0.05), threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        release.wait(10)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(flight.run, "key", slow)
        started.wait(10)
        with pytest.raises(TimedOut):
            flight.run("key", lambda: None)
        release.set()
        first.result(10)


def test_one_who_is_killed_does_not_spoil_it_for_the_others() -> None:
    flight, started, killed = SingleFlight(10), threading.Event(), threading.Event()

    def first() -> int:
        started.set()
        assert killed.wait(10)
        raise Interrupted("killed")

    with ThreadPoolExecutor(2) as pool:
        owner = pool.submit(flight.run, "key", first)
        assert started.wait(10)
        other = pool.submit(flight.run, "key", lambda: 42)
        until(lambda: waiting(flight, "key") == 1)
        killed.set()
        assert other.result(10) == 42
        with pytest.raises(Interrupted):
            owner.result(10)


def test_one_who_waits_for_another_can_be_killed() -> None:
    flight, started, release = SingleFlight(60), threading.Event(), threading.Event()

    def slow() -> None:
        started.set()
        release.wait(10)

    def be_killed() -> None:
        INTERRUPTED.set(lambda: True)
        with pytest.raises(Interrupted):
            flight.run("key", lambda: None)

    with ThreadPoolExecutor(2) as pool:
        owner = pool.submit(flight.run, "key", slow)
        assert started.wait(10)
        pool.submit(be_killed).result(10)
        release.set()
        owner.result(10)
