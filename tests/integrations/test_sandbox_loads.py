"""What is loaded into a sandbox is what comes out of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ndicloudfs.cli.main import ndicloudfs
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.values import Json, as_list
from ndicloudfs.integrations.folder import scan
from ndicloudfs.integrations.loading import Loader, NotLoaded, ObjectToLoad
from ndicloudfs.sandbox.sample import sample
from tests.support.sandbox import Sandbox

UID = "41269430c7aed020_40dc5489899dc92a"
BODY = {
    "base": {"id": "41269430c7aed0aa_40c0a675929cea61", "session_id": "", "name": "Käfig"},
    "document_class": {"class_name": "subject"},
    "subject": {"value": 0.1, "nothing": None, "empty": {}},
}
WITH_FILE = {
    **BODY,
    "files": {"file_info": {"name": "x.bin", "locations": {"uid": UID, "location": ""}}},
}


@pytest.fixture
def cloud(sandbox: Sandbox) -> Iterator[NdiCloud]:
    with NdiCloud(CloudConfig(sandbox.url, sandbox.email, sandbox.password)) as client:
        yield client


@pytest.fixture
def new_loader(sandbox: Sandbox, cloud: NdiCloud) -> Callable[[], tuple[Loader, str]]:
    def make() -> tuple[Loader, str]:
        dataset_id = cloud.datasets.create(sandbox.organization_id, {"name": "new"})
        return Loader(cloud, sandbox.organization_id, dataset_id, patience=10), dataset_id

    return make


def without_locations(body: Json) -> Json:
    """The body as it was sent: presigned URLs taken out of it again."""
    copy: Json = json.loads(json.dumps(body))
    for info in as_list(copy.get("files", {}).get("file_info")):
        for location in as_list(info["locations"]):
            location["location"] = ""
    return copy


def bodies_on(cloud: NdiCloud, dataset_id: str) -> list[Json]:
    rows = cloud.documents.page(dataset_id, 1).documents
    ids = [row.id for row in rows]
    fetched = cloud.documents.fetch(dataset_id, ids)
    return [without_locations(one.body) for one in fetched.documents]


def in_order(bodies: Iterable[Json]) -> list[str]:
    return sorted(json.dumps(body, sort_keys=True) for body in bodies)


def content(cloud: NdiCloud, dataset_id: str, uid: str) -> bytes:
    detail = cloud.files.detail(dataset_id, uid)
    assert detail.url is not None
    return cloud.objects.read(detail.url, 0, max(detail.size or 0, 1)).data


def digests(objects: Iterable[ObjectToLoad]) -> dict[str, str]:
    found = {}
    for item in objects:
        with item.open() as file:
            found[item.uid] = hashlib.sha256(file.read()).hexdigest()
    return found


def digests_on(cloud: NdiCloud, dataset_id: str) -> dict[str, str]:
    uids = [entry.uid for entry in cloud.datasets.detail(dataset_id).files]
    return {uid: hashlib.sha256(content(cloud, dataset_id, uid)).hexdigest() for uid in uids}


@pytest.mark.parametrize("extra", [{}, {"files": 3, "file_size": 9_000_000}], ids=["small", "big"])
def test_the_sample_arrives_whole(
    cloud: NdiCloud, new_loader: Callable[[], tuple[Loader, str]], extra: dict[str, int]
) -> None:
    loader, dataset_id = new_loader()
    what = sample(0, None, extra.get("files"), extra.get("file_size"))
    done = loader.load(what.documents(), what.objects())
    assert (done.documents, done.objects) == (what.document_count, what.object_count)
    assert in_order(bodies_on(cloud, dataset_id)) == in_order(what.documents())
    assert digests_on(cloud, dataset_id) == digests(what.objects())


def test_a_folder_arrives_whole(
    cloud: NdiCloud, new_loader: Callable[[], tuple[Loader, str]], tmp_path: Path
) -> None:
    for name, text in {
        "one.json": json.dumps(WITH_FILE),
        "sub/" + UID: "the object of one.json",
        "broken.json": "{",
        "notes from rig 2.pdf": "a note",
        "sub/empty.bin": "",
    }.items():
        (tmp_path / "study" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "study" / name).write_text(text)
    found = scan(tmp_path / "study")
    loader, dataset_id = new_loader()
    loader.load(found.documents(), found.objects)
    bodies = bodies_on(cloud, dataset_id)
    assert WITH_FILE in bodies
    assert in_order(bodies) == in_order(found.documents())
    assert digests_on(cloud, dataset_id) == digests(found.objects)
    assert content(cloud, dataset_id, UID) == b"the object of one.json"
    generic = {
        body["generic_file"]["filename"]: body["files"]["file_info"]["locations"]["uid"]
        for body in bodies
        if "generic_file" in body
    }
    texts = {name: content(cloud, dataset_id, uid).decode() for name, uid in generic.items()}
    assert texts == {"broken.json": "{", "notes from rig 2.pdf": "a note", "empty.bin": ""}


def test_a_slow_server_is_waited_for(
    sandbox: Sandbox, cloud: NdiCloud, new_loader: Callable[[], tuple[Loader, str]]
) -> None:
    sandbox.set(
        document_import=0.4, file_registration=0.4, file_extraction=0.4, publish=0.4,
        early_uploaded=True,
    )  # fmt: skip
    loader, dataset_id = new_loader()
    what = sample(files=1, file_size=9_000_000)
    loader.load(what.documents(), what.objects())
    assert cloud.datasets.document_count(dataset_id) == what.document_count
    assert digests_on(cloud, dataset_id) == digests(what.objects())
    loader.publish()
    assert cloud.datasets.detail(dataset_id).row.is_published


def test_thousands_of_documents_take_few_calls(
    sandbox: Sandbox, new_loader: Callable[[], tuple[Loader, str]]
) -> None:
    loader, _ = new_loader()
    what = sample(documents=5_000, files=300, file_size=100)
    sandbox.clear_log()
    loader.load(what.documents(), what.objects())
    sent = [entry for entry in sandbox.log() if entry["route"].startswith(("POST", "PUT"))]
    assert len(sent) <= 6


def test_a_failed_put_is_reported(
    sandbox: Sandbox, new_loader: Callable[[], tuple[Loader, str]]
) -> None:
    loader, _ = new_loader()
    what = sample(documents=1, files=1, file_size=9_000_000)
    sandbox.fault("PUT /objects", "status", status=503)
    (item,) = what.objects()
    with pytest.raises(NotLoaded, match=f"file {item.uid} was not loaded"):
        loader.load(what.documents(), what.objects())


@pytest.fixture
def invoke(sandbox: Sandbox, tmp_path: Path) -> Callable[..., Result]:
    ready = tmp_path / "ready.json"
    names = ("url", "object_url", "email", "password", "organization_id")
    ready.write_text(json.dumps({name: getattr(sandbox, name) for name in names}))

    def run(*arguments: str) -> Result:
        words = ["sandbox", arguments[0], "--ready-file", str(ready), *arguments[1:]]
        return CliRunner().invoke(ndicloudfs, words)

    return run


def test_sample_prints_the_id(cloud: NdiCloud, invoke: Callable[..., Result]) -> None:
    result = invoke("sample", "--publish", "--name", "a/b")
    assert result.exit_code == 0, result.output
    detail = cloud.datasets.detail(result.stdout.strip())
    assert (detail.row.name, detail.row.is_published) == ("a/b", True)
    assert len(detail.files) == 20


def test_load_under_a_chosen_id_answers_json(
    cloud: NdiCloud, invoke: Callable[..., Result], tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "one.json").write_text(json.dumps(BODY))
    chosen = "0123456789abcdef01234567"
    result = invoke("load", str(folder), "--name", "n", "--id", chosen, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    assert (answer["id"], answer["documents"], answer["files"]) == (chosen, 1, 0)
    assert bodies_on(cloud, chosen) == [BODY]
    assert "the id is taken" in invoke("sample", "--id", chosen).output


def test_load_names_what_cannot_be_loaded(invoke: Callable[..., Result], tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "link").symlink_to("nowhere")
    result = invoke("load", str(folder), "--name", "n")
    assert result.exit_code == 1
    assert f"{folder}/link is a symbolic link" in result.output


def test_a_failed_load_names_the_incomplete_dataset(
    sandbox: Sandbox, invoke: Callable[..., Result]
) -> None:
    sandbox.fault("PUT /objects", "status", count=-1, status=503)
    result = invoke("sample")
    assert result.exit_code == 1
    assert "is incomplete" in result.output


@pytest.mark.parametrize("arguments", [("--id", "x"), ("--documents", "1", "--files", "2")])
def test_wrong_usage(invoke: Callable[..., Result], arguments: tuple[str, ...]) -> None:
    assert invoke("sample", *arguments).exit_code == 2


def test_anything_but_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NDI_CLOUD_URL", "https://api.ndi-cloud.com/v1")
    result = CliRunner().invoke(ndicloudfs, ["sandbox", "sample"])
    assert result.exit_code == 1
    assert "api.ndi-cloud.com is not this machine" in result.output


def test_a_file_that_serve_did_not_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ready").write_text("[]")
    arguments = ["sandbox", "sample", "--ready-file", str(tmp_path / "ready")]
    result = CliRunner().invoke(ndicloudfs, arguments)
    assert result.exit_code == 1
    assert "was not written by `ndicloudfs sandbox serve`" in result.output
