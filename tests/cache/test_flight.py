"""Many threads, one call; and none while the server is away."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ndicloudfs.cache.flight import (
    PAUSE_AFTER_DISCONNECT,
    TIMED_OUT_IN_A_ROW,
    SingleFlight,
    Uplink,
)
from ndicloudfs.cloud.errors import NotFound, TimedOut, Unreachable
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


def test_no_call_is_made_for_a_while_after_the_server_could_not_be_reached() -> None:
    now = [0.0]
    uplink, calls = Uplink(lambda: now[0]), []

    def unreachable() -> None:
        calls.append(1)
        raise Unreachable("no route")

    for _ in range(10):
        with pytest.raises(Unreachable, match="no route"):
            uplink.call(unreachable)
    assert len(calls) == 1
    assert uplink.down is not None
    now[0] = PAUSE_AFTER_DISCONNECT + 1
    assert uplink.call(lambda: "back") == "back"
    assert uplink.down is None
    assert uplink.call(lambda: "still there") == "still there"


def test_a_server_that_lets_call_after_call_run_out_of_time_is_down() -> None:
    now, calls = [0.0], []
    uplink = Uplink(lambda: now[0])

    def slow() -> None:
        calls.append(1)
        raise TimedOut("no answer")

    for _ in range(10):
        with pytest.raises(TimedOut, match="no answer"):
            uplink.call(slow)
    assert len(calls) == TIMED_OUT_IN_A_ROW
    now[0] = PAUSE_AFTER_DISCONNECT + 1
    assert uplink.call(lambda: "back") == "back"
    with pytest.raises(TimedOut):
        uplink.call(slow)
    assert uplink.down is None
