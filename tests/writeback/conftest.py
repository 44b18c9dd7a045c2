from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ndicloudfs.writeback import WriteBack
from tests.writeback.worlds import opened


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
