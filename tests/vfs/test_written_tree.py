"""The tree while it is written, sent and changed by others, on the core: what a model has found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ndicloudfs.writeback import Entry, Limits, Place, WriteBack
from tests.sandbox.raw import Api, login, ok
from tests.support.mounting import account_of
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.trees import CoreTree, core_tree
from tests.support.written import CLASS, NDI_ID, body, everything, stored

ATTACH = "GET /datasets/{orgId}/{id}/files/{uid}"


@dataclass(frozen=True)
class Lab:
    """A dataset without documents."""

    sandbox: Sandbox
    api: Api
    tree: CoreTree
    dataset: str

    @property
    def documents(self) -> str:
        return f"{self.dataset}/documents/{CLASS}"

    @property
    def json(self) -> str:
        return f"{self.documents}/{NDI_ID}.json"

    @property
    def files(self) -> str:
        return f"{self.dataset}/files/{CLASS}"

    @property
    def file(self) -> str:
        return f"{self.files}/{NDI_ID}/a.bin"

    def write(self, path: str, data: bytes) -> None:
        handle = self.tree.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        self.tree.write(handle, data, 0)
        self.tree.close(handle)

    def read(self, path: str) -> bytes:
        handle = self.tree.open(path, os.O_RDONLY)
        data = self.tree.read(handle, 0, 1 << 20)
        self.tree.close(handle)
        return data

    def save(self, text: str) -> None:
        self.write(self.json, json.dumps(body(text=text)).encode())

    def settle(self) -> None:
        self.sandbox.clear_faults()
        assert self.tree.sync() == []

    def on_server(self) -> dict[str, bytes]:
        """The files of the one document that the server has."""
        (document,) = everything(self.sandbox, self.dataset)
        return {
            item["name"]: stored(self.api, self.dataset, item["locations"][0]["uid"])
            for item in document.body.get("files", {}).get("file_info", [])
        }


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Iterator[Lab]:
    with (
        login(sandbox) as api,
        core_tree(account_of(sandbox), tmp_path / "home", Limits()) as tree,
    ):
        made = Lab(sandbox, api, tree, api.dataset(sandbox.organization_id))
        tree.mkdir(made.documents)
        yield made


def test_pending_files_outlive_a_document_that_is_moved_aside_and_saved(lab: Lab) -> None:
    lab.save("before")
    lab.settle()
    lab.sandbox.fault(ATTACH, "status", -1, status=503)
    lab.write(lab.file, b"a recording")
    lab.tree.rename(lab.json, f"{lab.json}~")
    lab.save("after")
    lab.tree.unlink(f"{lab.json}~")
    assert lab.read(lab.file) == b"a recording"
    lab.settle()
    assert lab.on_server() == {"a.bin": b"a recording"}


def test_pending_files_go_with_a_document_that_is_moved_aside_for_good(lab: Lab) -> None:
    lab.save("before")
    lab.settle()
    lab.write(lab.file, b"a recording")
    lab.tree.rename(lab.json, f"{lab.json}~")
    lab.settle()
    assert everything(lab.sandbox, lab.dataset) == []
    assert lab.tree.names(lab.files) == []


def test_a_document_that_was_never_sent_is_moved_aside_with_pending_files(lab: Lab) -> None:
    lab.sandbox.fault("POST /datasets/{id}/documents", "status", -1, status=503)
    lab.save("before")
    lab.write(lab.file, b"a recording")
    lab.tree.rename(lab.json, f"{lab.json}~")
    lab.save("after")
    lab.settle()
    assert lab.on_server() == {"a.bin": b"a recording"}


def test_removed_files_do_not_come_back_when_a_document_is_saved_through_a_backup(lab: Lab) -> None:
    lab.save("before")
    lab.write(lab.file, b"a recording")
    lab.settle()
    lab.sandbox.fault("POST /datasets/{id}/documents/{docId}", "status", -1, status=503)
    lab.tree.unlink(lab.file)
    text = lab.read(lab.json)
    lab.tree.rename(lab.json, f"{lab.json}~")
    lab.write(lab.json, text)
    assert lab.tree.names(f"{lab.files}/{NDI_ID}") == []
    lab.settle()
    assert lab.on_server() == {}


def test_files_of_a_class_that_is_new_to_the_server_are_listed_when_they_have_arrived(
    lab: Lab,
) -> None:
    assert lab.tree.names(lab.files) == []
    lab.save("first")
    lab.write(lab.file, b"a recording")
    assert lab.tree.names(lab.files) == [NDI_ID]
    lab.settle()
    assert lab.tree.names(lab.files) == [NDI_ID]


def test_a_document_that_is_made_anew_takes_files_at_once(lab: Lab) -> None:
    lab.save("first")
    lab.settle()
    assert lab.tree.names(f"{lab.files}/{NDI_ID}") == []  # the folder is known from here on
    lab.tree.unlink(lab.json)
    lab.settle()
    lab.save("second")
    lab.settle()
    lab.write(lab.file, b"a recording")
    assert lab.read(lab.file) == b"a recording"
    lab.settle()
    assert lab.on_server() == {"a.bin": b"a recording"}


def test_a_document_is_found_under_all_its_names_after_it_was_made_anew(lab: Lab) -> None:
    written = f"{lab.documents}/mine.json"
    lab.write(written, json.dumps(body(text="first")).encode())
    lab.settle()
    assert lab.read(lab.json) == lab.read(written)
    lab.tree.unlink(written)
    lab.settle()
    lab.write(written, json.dumps(body(text="second")).encode())
    lab.settle()
    assert json.loads(lab.read(lab.json))["base"]["name"] == "second"


def test_a_name_ends_with_the_document_that_somebody_else_has_removed(lab: Lab) -> None:
    written = f"{lab.documents}/mine.json"
    lab.write(written, json.dumps(body(text="first")).encode())
    lab.settle()
    (document,) = everything(lab.sandbox, lab.dataset)
    path = f"/datasets/{lab.dataset}/documents/{document.summary.id}"
    assert lab.api.delete(path).status_code == 200
    lab.tree.refresh(lab.documents)
    with pytest.raises(FileNotFoundError):
        lab.tree.rename(written, f"{lab.documents}/other.json")
    lab.api.document(lab.dataset, body(text="theirs"))
    lab.tree.refresh(lab.documents)
    assert json.loads(lab.read(lab.json))["base"]["name"] == "theirs"


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("older", ["a.bin", "b.bin"])
def test_a_file_that_is_renamed_onto_another_takes_its_place(
    lab: Lab, older: str, sent: bool
) -> None:
    other = lab.file.replace("a.bin", "b.bin")
    lab.save("first")
    for path, data in sorted(
        {lab.file: b"old", other: b"new"}.items(), key=lambda item: not item[0].endswith(older)
    ):
        lab.write(path, data)
    if sent:
        lab.settle()
    lab.tree.rename(other, lab.file)
    assert lab.read(lab.file) == b"new"
    assert lab.tree.names(f"{lab.files}/{NDI_ID}") == ["a.bin"]
    lab.settle()
    assert lab.on_server() == {"a.bin": b"new"}


def test_a_file_that_is_renamed_onto_itself_stays(lab: Lab) -> None:
    lab.write(f"{lab.documents}/.scratch", b"something")
    lab.tree.rename(f"{lab.documents}/.scratch", f"{lab.documents}/.scratch")
    assert lab.read(f"{lab.documents}/.scratch") == b"something"


def test_a_document_that_was_moved_aside_comes_back_under_another_name(lab: Lab) -> None:
    lab.save("first")
    lab.settle()
    lab.tree.rename(lab.json, f"{lab.json}~")
    lab.tree.rename(f"{lab.json}~", f"{lab.documents}/mine.json")
    assert json.loads(lab.read(f"{lab.documents}/mine.json"))["base"]["name"] == "first"
    lab.settle()
    assert json.loads(lab.read(f"{lab.documents}/mine.json"))["base"]["name"] == "first"
    lab.tree.remount()
    assert json.loads(lab.read(f"{lab.documents}/mine.json"))["base"]["name"] == "first"


def test_an_open_file_is_never_taken_for_another_one(lab: Lab) -> None:
    """Files have numbers by their place in the document, and that changes."""
    first, second, third = (f"{lab.files}/{NDI_ID}/{name}.bin" for name in ("a", "b", "c"))
    lab.save("first")
    lab.write(first, b"first")
    lab.write(second, b"second")
    handle = lab.tree.open(second, os.O_RDWR)
    lab.tree.unlink(first)
    lab.write(third, b"third")
    assert lab.read(third) == b"third"
    assert lab.read(second) == b"second"
    lab.write(third, b"another")
    lab.tree.write(handle, b"SEC", 0)
    lab.tree.close(handle)
    assert (lab.read(second), lab.read(third)) == (b"SECond", b"another")
    lab.settle()
    assert lab.on_server() == {"b.bin": b"SECond", "c.bin": b"another"}


def test_an_open_file_that_another_one_is_renamed_onto_goes_on_by_its_handle(lab: Lab) -> None:
    other = lab.file.replace("a.bin", "b.bin")
    lab.save("first")
    lab.write(lab.file, b"old")
    lab.write(other, b"new")
    handle = lab.tree.open(lab.file, os.O_RDWR)
    lab.tree.rename(other, lab.file)
    assert lab.read(lab.file) == b"new"
    lab.tree.write(handle, b"nobody", 0)
    assert lab.tree.read(handle, 0, 10) == b"nobody"
    lab.tree.close(handle)
    assert lab.read(lab.file) == b"new"
    lab.settle()
    assert lab.on_server() == {"a.bin": b"new"}


def test_a_document_that_is_made_anew_has_a_state_at_once(lab: Lab) -> None:
    lab.save("first")
    lab.settle()
    (document,) = everything(lab.sandbox, lab.dataset)
    path = f"/datasets/{lab.dataset}/documents/{document.summary.id}"
    assert lab.api.delete(path).status_code == 200
    lab.tree.refresh(lab.documents)
    lab.sandbox.fault("POST /datasets/{id}/documents", "status", -1, status=503)
    lab.save("second")
    assert lab.tree.state(lab.json) in ("pending", "uploading")
    lab.settle()
    (document,) = everything(lab.sandbox, lab.dataset)
    assert document.body["base"]["name"] == "second"


def test_a_document_that_was_deleted_before_it_was_seen_is_not_listed(lab: Lab) -> None:
    looks = (
        "POST /ndiquery",
        "GET /datasets/{id}/documents",
        "POST /datasets/{id}/documents/bulk-fetch",
    )
    assert lab.tree.names(lab.documents) == []
    lab.sandbox.clear_log()
    for look, before in zip(looks, (1, 0, 0), strict=True):
        lab.sandbox.fault(look, "status", -1, skip=before, status=503)
    lab.sandbox.fault("POST /datasets/{id}/documents", "after")
    lab.save("first")
    until(lambda: lab.sandbox.count(looks[1]) > 0)
    lab.tree.unlink(lab.json)
    lab.sandbox.clear_faults()
    lab.sandbox.fault(looks[-1], "status", -1, status=503)  # it cannot be deleted yet
    lab.tree.refresh(lab.documents)
    assert lab.tree.names(lab.documents) == []
    lab.settle()
    assert everything(lab.sandbox, lab.dataset) == []


def test_the_files_of_a_document_go_with_its_name(lab: Lab) -> None:
    lab.sandbox.fault("POST /datasets/{id}/documents", "status", -1, status=503)
    lab.write(f"{lab.documents}/mine.json", b"{}")
    lab.write(f"{lab.files}/mine/a.bin", b"a recording")
    lab.tree.rename(f"{lab.documents}/mine.json", f"{lab.documents}/other.json")
    lab.write(f"{lab.documents}/mine.json", b"{}")
    assert lab.tree.names(f"{lab.files}/mine") == []
    assert lab.tree.names(f"{lab.files}/other") == ["a.bin"]


def test_a_file_is_there_at_the_moment_when_it_arrives(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.sandbox.fault(ATTACH, "status", -1, status=503)
    lab.save("first")
    lab.write(lab.file, b"a recording")
    lab.tree.remount()  # nothing is known of the document
    pending = WriteBack.files

    def arrived_meanwhile(back: WriteBack, place: Place) -> list[Entry]:
        monkeypatch.undo()
        lab.settle()
        return pending(back, place)

    monkeypatch.setattr(WriteBack, "files", arrived_meanwhile)
    assert lab.tree.names(f"{lab.files}/{NDI_ID}") == ["a.bin"]


def test_a_file_that_is_written_while_its_document_arrives_stays_the_same(lab: Lab) -> None:
    lab.write(f"{lab.documents}/one.json", json.dumps(body()).encode())
    folder, same_folder = f"{lab.files}/one", f"{lab.files}/{NDI_ID}"
    handle = lab.tree.open(f"{folder}/a.bin", os.O_RDWR | os.O_CREAT)
    lab.tree.write(handle, b"begun", 0)
    scratch = lab.tree.open(f"{folder}/.b.tmp", os.O_RDWR | os.O_CREAT)
    lab.settle()
    assert len(everything(lab.sandbox, lab.dataset)) == 1
    assert lab.tree.names(same_folder) == [".b.tmp", "a.bin"]
    assert lab.tree.size(lab.file) == len(b"begun")
    assert lab.read(lab.file) == b"begun"
    other = lab.tree.open(lab.file, os.O_WRONLY)
    lab.tree.write(other, b" by two", 5)
    assert lab.tree.read(handle, 0, 100) == b"begun by two"
    lab.tree.close(other)
    lab.tree.close(handle)
    lab.tree.rename(f"{same_folder}/.b.tmp", f"{same_folder}/b.bin")
    lab.tree.write(scratch, b"late", 0)
    lab.tree.close(scratch)
    lab.settle()
    assert lab.on_server() == {"a.bin": b"begun by two", "b.bin": b"late"}


def test_a_file_that_is_written_while_its_dataset_arrives_stays_the_same(lab: Lab) -> None:
    organization = lab.sandbox.organization_id
    dataset = f"{organization}/fresh"
    lab.tree.mkdir(dataset)
    lab.tree.mkdir(f"{dataset}/documents/{CLASS}")
    lab.write(f"{dataset}/documents/{CLASS}/{NDI_ID}.json", json.dumps(body()).encode())
    handle = lab.tree.open(f"{dataset}/files/{CLASS}/{NDI_ID}/a.bin", os.O_RDWR | os.O_CREAT)
    lab.tree.write(handle, b"begun", 0)
    lab.settle()
    listed = ok(lab.api.get(f"/organizations/{organization}/datasets"))["datasets"]
    (known,) = (row["id"] for row in listed if row["name"] == "fresh")
    folder = f"{known}/files/{CLASS}/{NDI_ID}"
    assert lab.tree.names(folder) == ["a.bin"]
    assert lab.read(f"{folder}/a.bin") == b"begun"
    lab.tree.close(handle)
    lab.settle()
    assert lab.read(f"{folder}/a.bin") == b"begun"


def test_a_name_under_which_a_document_was_refused_is_free_for_another(lab: Lab) -> None:
    with pytest.raises(OSError, match=NDI_ID):
        lab.write(lab.json, b"{broken")
    lab.write(f"{lab.documents}/other.json", json.dumps(body(text="other")).encode())
    assert json.loads(lab.read(lab.json))["base"]["name"] == "other"


def test_a_document_that_is_removed_and_made_anew_has_the_name_it_is_made_under(lab: Lab) -> None:
    assert lab.tree.names(lab.documents) == []
    lab.sandbox.fault("POST /datasets/{id}/documents", "after", -1)  # the server has it, unheard
    lab.sandbox.fault("POST /ndiquery", "status", -1, skip=1, status=503)
    lab.sandbox.fault("GET /datasets/{id}/documents", "status", -1, status=503)
    lab.sandbox.fault("POST /datasets/{id}/documents/bulk-fetch", "status", -1, status=503)
    lab.write(f"{lab.documents}/one.json", json.dumps(body(text="first")).encode())
    until(lambda: lab.tree.state(f"{lab.documents}/one.json") == "uploading")
    lab.tree.unlink(f"{lab.documents}/one.json")
    lab.save("second")
    assert lab.tree.names(lab.documents) == [f"{NDI_ID}.json"]
    with pytest.raises(FileNotFoundError):
        lab.read(f"{lab.documents}/one.json")
    lab.settle()
    assert lab.tree.names(lab.documents) == [f"{NDI_ID}.json"]
    assert json.loads(lab.read(lab.json))["base"]["name"] == "second"
