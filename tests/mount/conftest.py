"""A cloud with real recordings and documents, and mounts of it under both bindings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.integrations.folder import scan
from ndicloudfs.integrations.loading import Loader
from ndicloudfs.sandbox.sample import sample
from tests.support import data
from tests.support.mounting import BINDINGS, Machine, account_of, machine
from tests.support.sandbox import Sandbox
from tests.support.written import SharedMount, shared_mount

ORGANIZATION = "Sandbox Lab"


@dataclass(frozen=True)
class Study:
    """A sandbox with datasets, and the folders that two of them were made of."""

    sandbox: Sandbox
    recordings: Path
    documents: Path


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """Datasets ``Recordings``, ``Documents`` and ``Sample``; the last is published."""
    folder = tmp_path_factory.mktemp("study")
    recordings = data.recordings(folder / "recordings")
    documents = data.documents(folder / "documents")
    with Sandbox(folder / "sandbox") as sandbox:
        with NdiCloud(CloudConfig.from_environment(account_of(sandbox))) as cloud:

            def loader(name: str) -> Loader:
                fields = {"name": name}
                dataset_id = cloud.datasets.create(sandbox.organization_id, fields)
                return Loader(cloud, sandbox.organization_id, dataset_id)

            for name, source in (("Recordings", recordings), ("Documents", documents)):
                found = scan(source)
                loader(name).load(found.documents(), found.objects)
            made = sample(with_missing=True)
            published = loader("Sample")
            published.load(made.documents(), made.objects())
            published.publish()
        yield Study(sandbox, recordings, documents)


@pytest.fixture(scope="session", params=BINDINGS)
def lab(
    request: pytest.FixtureRequest, study: Study, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """A machine of somebody who is signed in, under each binding."""
    home = tmp_path_factory.mktemp(f"home-{request.param}")
    with machine(home, account_of(study.sandbox), binding=request.param) as made:
        yield made


@pytest.fixture(scope="session")
def tree(lab: Machine) -> Path:
    """The organization's folder in a mount that stays for the session."""
    return lab.mount() / ORGANIZATION


@pytest.fixture(scope="module", params=BINDINGS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SharedMount]:
    """A mount that can be written, for the tests of a module."""
    with shared_mount(tmp_path_factory.mktemp("shared"), request.param) as made:
        yield made
