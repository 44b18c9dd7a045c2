"""The tree through fsspec: the same names and bytes as a mount, without one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.integrations.fsspec import NdiCloudFileSystem
from ndicloudfs.integrations.loading import Loader
from ndicloudfs.sandbox.sample import sample
from tests.support.mounting import account_of
from tests.support.sandbox import Sandbox

STUDY = "Sandbox Lab/Study"


@pytest.fixture
def cloud(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[NdiCloudFileSystem]:
    for name, value in account_of(sandbox).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    with NdiCloud(CloudConfig.from_environment(account_of(sandbox))) as client:
        dataset_id = client.datasets.create(sandbox.organization_id, {"name": "Study"})
        made = sample(with_missing=True)
        Loader(client, sandbox.organization_id, dataset_id).load(made.documents(), made.objects())
    opened = fsspec.filesystem(
        "ndicloud", cache_dir=str(tmp_path / "cache"), skip_instance_cache=True
    )
    yield opened
    opened.close()


def test_directories_are_listed_with_the_names_of_a_mount(cloud: NdiCloudFileSystem) -> None:
    assert sorted(cloud.ls("", detail=False)) == [
        *(".ndicloudfs", "Sandbox Lab", "published"),
    ]
    assert cloud.ls("Sandbox Lab/", detail=False) == [STUDY]
    entries = {entry["name"]: entry["type"] for entry in cloud.ls(f"ndicloud://{STUDY}")}
    assert entries == {
        f"{STUDY}/dataset.json": "file",
        f"{STUDY}/documents": "directory",
        f"{STUDY}/files": "directory",
    }
    assert cloud.isdir(STUDY)
    assert not cloud.exists(f"{STUDY}/nothing")
    with pytest.raises(FileNotFoundError):
        cloud.info("nothing")


def test_documents_and_files_are_read_whole_and_in_parts(cloud: NdiCloudFileSystem) -> None:
    documents = cloud.glob(f"{STUDY}/documents/*/*.json")
    assert len(documents) >= 5
    for path in documents:
        body = json.loads(cloud.cat_file(path))
        assert body["base"]["id"] == cloud.info(path)["ndi"]["id"]
    path = max(cloud.glob(f"{STUDY}/files/*/*/*"), key=cloud.size)
    whole = cloud.cat_file(path)
    assert len(whole) == cloud.size(path) > 170_000
    with cloud.open(path) as file:
        file.seek(150_000)
        assert file.read(1000) == whole[150_000:151_000]
        assert file.read() == whole[151_000:]
    assert cloud.cat_file(path, start=10, end=20) == whole[10:20]


def test_what_is_not_there_fails_as_a_file_system_does(cloud: NdiCloudFileSystem) -> None:
    missing = next(
        path
        for path in cloud.glob(f"{STUDY}/files/*/*/*")
        if cloud.info(path)["ndi"]["state"] == "missing"
    )
    with pytest.raises(OSError, match="no bytes on the server"):
        cloud.cat_file(missing)
    with pytest.raises(OSError, match="only reads"):
        cloud.open(f"{STUDY}/new", "wb")
    with pytest.raises(IsADirectoryError):
        cloud.open(STUDY)
