"""No call while the server is away; nobody waits for one that hangs; it comes back by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ndicloudfs.cache.flight import INTERRUPTED
from ndicloudfs.cache.uplink import DOUBT, TIMED_OUT_IN_A_ROW, Uplink
from ndicloudfs.cloud.errors import CloudError, Interrupted, NotFound, TimedOut, Unreachable
from tests.support.system import until


class Server:
    """A server at the other end: there, away, or without an answer until it is woken."""

    def __init__(self) -> None:
        self.failure: CloudError | None = None
        self.awake = threading.Event()
        self.awake.set()
        self.calls = 0
        self.signs = 0

    def call(self) -> str:
        self.calls += 1
        return self._answer()

    def sign_of_life(self) -> None:
        self.signs += 1
        self._answer()

    def _answer(self) -> str:
        assert self.awake.wait(60)
        if self.failure is not None:
            raise self.failure
        return "answer"


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.awake.set()


@pytest.fixture
def uplink(server: Server) -> Iterator[Uplink]:
    made = Uplink(server.sign_of_life)
    yield made
    made.stay_down(Unreachable("the test is over"))


def seconds(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def test_calls_fail_at_once_while_the_server_is_away_until_it_is_back(
    server: Server, uplink: Uplink
) -> None:
    assert uplink.call(server.call) == "answer"
    server.failure = Unreachable("no route")
    for _ in range(100):
        with pytest.raises(Unreachable, match="no route"):
            uplink.call(server.call)
    assert server.calls == 2
    assert str(uplink.down) == "no route"
    server.failure = None
    until(lambda: uplink.down is None, 5)
    assert uplink.call(server.call) == "answer"


def test_a_server_that_nobody_asks_for_is_asked_ever_more_rarely(
    server: Server, uplink: Uplink
) -> None:
    server.failure = Unreachable("no route")
    with pytest.raises(Unreachable):
        uplink.call(server.call)
    until(lambda: server.signs == 1, 5)
    assert seconds(lambda: until(lambda: server.signs == 2, 5)) > 1.5
    assert seconds(lambda: until(lambda: uplink.down is not None and server.signs == 3, 3)) < 2.5


def test_who_waits_for_a_server_that_hangs_is_told_and_it_comes_back_by_itself(
    server: Server, uplink: Uplink
) -> None:
    server.awake.clear()

    def fail() -> None:
        with pytest.raises(TimedOut):
            uplink.call(server.call)

    assert DOUBT < seconds(fail) < 2 * DOUBT + 3
    assert seconds(fail) < 0.1
    server.awake.set()
    until(lambda: uplink.down is None, 2)


def test_a_call_that_is_only_slow_gets_its_answer(server: Server, uplink: Uplink) -> None:
    release = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(uplink.call, lambda: release.wait(30))
        until(lambda: server.signs == 2, 4 * DOUBT)
        assert uplink.down is None
        release.set()
        assert slow.result(5)


def test_a_server_that_lets_call_after_call_run_out_of_time_is_away(
    server: Server, uplink: Uplink
) -> None:
    calls = []
    server.awake.clear()  # nor does it show a sign of life

    def slow() -> None:
        calls.append(1)
        raise TimedOut("no answer")

    for _ in range(10):
        with pytest.raises(TimedOut, match="no answer"):
            uplink.call(slow)
    assert len(calls) == TIMED_OUT_IN_A_ROW
    server.awake.set()
    until(lambda: uplink.down is None, 5)


def test_other_errors_are_nothing_of_the_way(server: Server, uplink: Uplink) -> None:
    server.failure = NotFound("no such thing")
    for _ in range(5):
        with pytest.raises(NotFound):
            uplink.call(server.call)
    assert server.calls == 5
    assert server.signs == 0


def test_who_waits_for_a_call_can_be_killed_and_the_call_goes_on(
    server: Server, uplink: Uplink
) -> None:
    server.awake.clear()
    killed = threading.Event()

    def wait() -> None:
        INTERRUPTED.set(killed.is_set)
        with pytest.raises(Interrupted):
            uplink.call(server.call)

    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(wait)
        until(lambda: server.calls == 1)
        killed.set()
        reader.result(2)
    server.awake.set()
    assert uplink.down is None


def test_the_end_ends_calls_that_are_under_way(server: Server, uplink: Uplink) -> None:
    server.awake.clear()
    with ThreadPoolExecutor(1) as pool:
        reader = pool.submit(uplink.call, server.call)
        until(lambda: server.calls == 1)
        uplink.stay_down(Unreachable("the mount is ending"))
        with pytest.raises(Unreachable, match="the mount is ending"):
            reader.result(2)


def test_an_uplink_that_stays_down_never_calls(server: Server, uplink: Uplink) -> None:
    uplink.stay_down(Unreachable("offline"))
    for _ in range(3):
        with pytest.raises(Unreachable, match="offline"):
            uplink.call(server.call)
    assert (server.calls, server.signs) == (0, 0)


def test_as_many_calls_as_are_wanted_go_on_at_the_same_time(server: Server, uplink: Uplink) -> None:
    server.awake.clear()
    with ThreadPoolExecutor(64) as pool:
        readers = [pool.submit(uplink.call, server.call) for _ in range(64)]
        until(lambda: server.calls == 64)
        server.awake.set()
        assert {reader.result(5) for reader in readers} == {"answer"}
