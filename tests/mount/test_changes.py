"""What changes on the server while it is mounted: new bytes or old ones, never a mixture."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sandbox.raw import Api, Json, login, upload
from tests.support.mounting import BINDINGS, account_of, machine
from tests.support.sandbox import Sandbox
from tests.support.system import until

NDI_ID = "41269430c7aed020_40dc5489899dc92a"
FIRST, SECOND = (os.urandom(200_000) for _ in range(2))


def body(text: str = "", uid: str = "u1") -> Json:
    """A document with a file."""
    return {
        "base": {"id": NDI_ID, "name": text, "datestamp": "2026-01-02T03:04:05.006Z"},
        "document_class": {"class_name": "recording"},
        "files": {"file_info": {"name": "a.bin", "locations": {"uid": uid, "location": ""}}},
    }


@dataclass
class Lab:
    """A dataset with one document and two objects, mounted by somebody who refreshes often."""

    sandbox: Sandbox
    api: Api
    dataset: str
    document: str
    mount: Path

    @property
    def json(self) -> Path:
        return self.mount / self.dataset / "documents" / "recording" / f"{NDI_ID}.json"

    @property
    def file(self) -> Path:
        return self.mount / self.dataset / "files" / "recording" / NDI_ID / "a.bin"

    def update(self, changed: Json) -> None:
        answer = self.api.post(f"/datasets/{self.dataset}/documents/{self.document}", changed)
        assert answer.status_code == 200, answer.text


@pytest.fixture(params=BINDINGS)
def lab(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Lab]:
    with login(sandbox) as api:
        dataset = api.dataset(sandbox.organization_id)
        upload(sandbox, api, dataset, "u1", FIRST)
        upload(sandbox, api, dataset, "u2", SECOND)
        document = api.document(dataset, body())
        arguments = ("--metadata-ttl", "0.05")
        home = tmp_path / "home"
        with machine(home, account_of(sandbox), *arguments, binding=request.param) as user:
            yield Lab(sandbox, api, dataset, document, user.mount())


def test_a_file_that_gets_another_object_shows_that_object_alone(lab: Lab) -> None:
    assert lab.file.read_bytes() == FIRST
    assert lab.file.read_bytes() == FIRST  # from the page cache
    lab.update(body(uid="u2"))

    def new() -> bool:
        data = lab.file.read_bytes()
        assert data in (FIRST, SECOND)
        return data == SECOND

    until(new)
    assert lab.file.read_bytes() == SECOND


def test_a_document_that_grows_and_shrinks_is_whole_at_every_read(lab: Lab) -> None:
    for length in [10, 5000, 20, 100_000, 0, 300]:
        lab.update(body("x" * length))

        def new(length: int = length) -> bool:
            return len(json.loads(lab.json.read_text())["base"]["name"]) == length

        until(new)


def test_who_has_a_document_open_reads_it_to_its_end_while_it_becomes_shorter(lab: Lab) -> None:
    lab.update(body("x" * 5000))
    until(lambda: lab.json.stat().st_size > 5000)
    by_cloud_id = lab.json.with_name(f"{lab.document}.json")
    with lab.json.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        lab.update(body("y"))
        until(lambda: by_cloud_id.stat().st_size < 5000)
        assert lab.json.stat().st_size == size
        assert [entry.stat().st_size for entry in os.scandir(lab.json.parent)] == [size]
        assert len(json.loads(file.read())["base"]["name"]) == 5000
    until(lambda: lab.json.stat().st_size < 5000, seconds=3)
    assert json.loads(lab.json.read_text())["base"]["name"] == "y"


def test_a_document_that_is_deleted_goes_away_and_the_rest_stays(lab: Lab) -> None:
    other = body()
    other["base"]["id"] = "41269430c7aed021_40dc5489899dc92a"
    kept = lab.api.document(lab.dataset, other)
    assert lab.json.exists()
    answer = lab.api.delete(f"/datasets/{lab.dataset}/documents/{lab.document}", when="now")
    assert answer.status_code == 200
    until(lambda: not lab.json.exists())
    until(lambda: [path.stem for path in lab.json.parent.iterdir()] == [other["base"]["id"]])
    assert (lab.json.parent / f"{kept}.json").exists()


def test_a_new_document_and_its_file_appear(lab: Lab) -> None:
    assert len(list(lab.json.parent.iterdir())) == 1
    other = body(uid="u2")
    other["base"]["id"] = "41269430c7aed021_40dc5489899dc92a"
    lab.api.document(lab.dataset, other)
    path = lab.file.parents[1] / other["base"]["id"] / "a.bin"
    until(path.exists)
    assert path.read_bytes() == SECOND
