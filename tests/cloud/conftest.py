from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cloud.local_server import FakeTime, LocalServer, serving


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serving() as local:
        yield local


@pytest.fixture
def elsewhere() -> Iterator[LocalServer]:
    """A second server, as another host would be."""
    with serving() as local:
        yield local


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()
