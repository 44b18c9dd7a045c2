from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ndicloudfs.writeback import WriteBack
from tests.support.sandbox import Sandbox
from tests.writeback.worlds import Lab, laboratory, opened


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The local state directory."""
    return tmp_path / "state"


@pytest.fixture
def writeback(state: Path) -> Iterator[WriteBack]:
    """A write-back that sends nothing."""
    back = opened(state)
    yield back
    back.close()


@pytest.fixture
def lab(sandbox: Sandbox, state: Path) -> Iterator[Lab]:
    """A dataset on a sandbox and a write-back that sends to it."""
    with laboratory(sandbox, state) as made:
        yield made
