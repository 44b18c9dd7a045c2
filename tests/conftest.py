"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandbox import Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """An NDI Cloud of its own, empty but for its first user."""
    with Sandbox(tmp_path / "sandbox") as running:
        yield running
