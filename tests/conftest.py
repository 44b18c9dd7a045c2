"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox
from tests.support.system import left_behind, until

# A script that runs in the background has been told to ignore Ctrl-C, and so would every program
# that the tests start; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


MOST_WORKERS = 8


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are processors: most tests also wait, for a server or a mount."""
    return min(len(os.sched_getaffinity(0)) + 1, MOST_WORKERS)


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Everything that tests mount and start has ended when they have."""
    folder = tmp_path_factory.getbasetemp()
    yield
    with suppress(pytest.fail.Exception):
        until(lambda: not left_behind(folder))
    assert left_behind(folder) == []


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """An NDI Cloud of its own, empty but for its first user."""
    with Sandbox(tmp_path / "sandbox") as running:
        yield running
