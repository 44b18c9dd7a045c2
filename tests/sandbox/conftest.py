"""Fixtures of the contract tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.sandbox.raw import Api, login
from tests.support.sandbox import Sandbox


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Api]:
    """The API as the first user sees it, an administrator."""
    with login(sandbox) as first:
        yield first


@pytest.fixture
def nobody(sandbox: Sandbox) -> Iterator[Api]:
    """The API without a token."""
    with Api(sandbox.url) as anonymous:
        yield anonymous


@pytest.fixture
def other(sandbox: Sandbox) -> Iterator[Api]:
    """The API as a user of another organization sees it, not an administrator."""
    sandbox.add_user("other@example.org")
    with login(sandbox, "other@example.org") as stranger:
        yield stranger


@pytest.fixture
def dataset(sandbox: Sandbox, api: Api) -> str:
    """A draft of the first user."""
    return api.dataset(sandbox.organization_id)


@pytest.fixture
def published(sandbox: Sandbox, api: Api) -> str:
    """A published dataset of the first user."""
    dataset_id = api.dataset(sandbox.organization_id, name="Published")
    api.post(f"/datasets/{dataset_id}/publish")
    sandbox.idle()
    return dataset_id
