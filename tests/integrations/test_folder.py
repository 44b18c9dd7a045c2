"""A folder becomes documents and objects, the same ones wherever and whenever it is read."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem
from pyfakefs.helpers import reset_ids, set_uid

from ndicloudfs.cloud.values import is_ndi_id
from ndicloudfs.integrations.folder import FolderError, scan


def root() -> Path:
    """The folder; before Python 3.12 a path made outside the test is of the real file system."""
    return Path("/study")


SESSION = "41269430c597c3e6_c0c9895d35d19b54"
UID = "41269430c7aed020_40dc5489899dc92a"


def body(**more: Any) -> dict[str, Any]:
    return {
        "base": {"id": "41269430c7aed0aa_40c0a675929cea61", "session_id": SESSION, "name": ""},
        "document_class": {"class_name": "subject"},
        **more,
    }


def with_file(uid: str, *, bare: bool) -> dict[str, Any]:
    location = {"uid": uid, "location": ""}
    info = {"name": "data.bin", "locations": location if bare else [location]}
    return body(files={"file_list": "data.bin", "file_info": info if bare else [info]})


def write(fs: FakeFilesystem, name: str, content: object) -> None:
    text = content if isinstance(content, (str, bytes)) else json.dumps(content)
    fs.create_file(root() / name, contents=text)


def generic_names(documents: list[dict[str, Any]]) -> list[str]:
    return [one["generic_file"]["filename"] for one in documents if "generic_file" in one]


@pytest.fixture
def ordinary_user(fs: FakeFilesystem) -> Iterator[None]:
    set_uid(1000)
    yield
    reset_ids()


def test_documents_go_in_as_they_are(fs: FakeFilesystem) -> None:
    odd = body(
        subject={"local_identifier": "rat1@lab.example.org", "é": [1, None, {}]}, depends_on={}
    )
    write(fs, "one.json", odd)
    folder = scan(root())
    assert (list(folder.documents()), folder.objects) == ([odd], ())


def test_the_wrapper_of_bulk_fetch_is_taken_off(fs: FakeFilesystem) -> None:
    wrapped = {"id": "68c0" * 6, "ndiId": "", "name": "", "className": "subject", "datasetId": ""}
    write(fs, "one.json", {**wrapped, "data": body()})
    assert list(scan(root()).documents()) == [body()]


def test_recorded_documents_of_the_service_are_recognised(fs: FakeFilesystem) -> None:
    write(fs, "deep/er/one.json", {"data": body(openminds={"fields": {}}), "id": "1" * 24})
    assert [one["openminds"] for one in scan(root()).documents()] == [{"fields": {}}]


def test_nan_of_matlab_becomes_the_sentinel_of_the_server(fs: FakeFilesystem) -> None:
    text = json.dumps(body(x=[float("nan"), float("inf"), float("-inf")]))
    assert "NaN, Infinity, -Infinity" in text
    write(fs, "one.json", text)
    (document,) = scan(root()).documents()
    assert document["x"] == ["__NDI__NaN__", "__NDI__Infinity__", "__NDI__-Infinity__"]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "",
        b"\xff\xfe\x00",
        "[" * 100_000,
        "[]",
        "3",
        '{"base": {}}',
        '{"base": 1, "document_class": {}}',
        '{"data": "text"}',
    ],
    ids=["broken", "empty", "binary", "deep", "list", "number", "half", "odd", "other"],
)
def test_json_that_is_no_document_becomes_a_generic_file(
    fs: FakeFilesystem, content: str | bytes
) -> None:
    write(fs, "sub/x.json", content)
    folder = scan(root())
    assert generic_names(list(folder.documents())) == ["x.json"]
    assert folder.objects[0].open().read() == (
        content if isinstance(content, bytes) else content.encode()
    )


def test_other_files_become_generic_files(fs: FakeFilesystem) -> None:
    write(fs, "a/Käfig 3.txt", "one")
    write(fs, "b/Käfig 3.txt", "two")
    write(fs, "one.json", body())
    folder = scan(root())
    documents = list(folder.documents())
    assert folder.document_count == len(documents) == 3
    assert generic_names(documents) == ["Käfig 3.txt", "Käfig 3.txt"]
    assert {one["base"]["session_id"] for one in documents} == {SESSION}
    named = [one["files"]["file_info"]["locations"]["uid"] for one in documents[1:]]
    assert named == [item.uid for item in folder.objects]
    assert [item.open().read() for item in folder.objects] == [b"one", b"two"]
    ids = [*named, *(one["base"]["id"] for one in documents)]
    assert all(is_ndi_id(one) for one in ids)
    assert len(set(ids)) == 5


@pytest.mark.parametrize("bare", [True, False])
def test_a_file_named_by_a_uid_is_the_object_of_its_document(
    fs: FakeFilesystem, bare: bool
) -> None:
    write(fs, "files/" + UID, "recording")
    write(fs, "one.json", with_file(UID, bare=bare))
    folder = scan(root())
    assert list(folder.documents()) == [with_file(UID, bare=bare)]
    assert [(item.uid, item.size) for item in folder.objects] == [(UID, 9)]


def test_a_uid_claimed_twice_is_an_error(fs: FakeFilesystem) -> None:
    write(fs, "a/" + UID, "x")
    write(fs, "b/" + UID, "y")
    write(fs, "one.json", with_file(UID, bare=True))
    with pytest.raises(FolderError, match=f"a/{UID} and /study/b/{UID}"):
        scan(root())


def test_a_copy_of_a_folder_gives_the_same_documents(tmp_path: Path) -> None:
    first = tmp_path / "first"
    (first / "sub").mkdir(parents=True)
    for name in ("z.txt", "a.bin", "sub/m.json"):
        (first / name).write_text(name)
    shutil.copytree(first, tmp_path / "second", copy_function=shutil.copyfile)
    os.utime(first / "z.txt", (1, 1))
    one, two = scan(first), scan(tmp_path / "second")
    assert list(one.documents()) == list(two.documents())
    assert [item.uid for item in one.objects] == [item.uid for item in two.objects]


def test_links_are_refused_by_name(fs: FakeFilesystem) -> None:
    write(fs, "a.txt", "x")
    fs.create_symlink(root() / "link", root() / "a.txt")
    with pytest.raises(FolderError, match="/study/link is a symbolic link"):
        scan(root())


def test_sockets_and_pipes_are_refused_by_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FolderError, match="pipe is a pipe"):
        scan(tmp_path)
    (tmp_path / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(FolderError, match="s is a socket"):
            scan(tmp_path)


@pytest.mark.parametrize("name", ["secret.txt", "secret.json"])
def test_unreadable_files_are_refused_by_name(
    fs: FakeFilesystem, ordinary_user: None, name: str
) -> None:
    write(fs, name, "x")
    (root() / name).chmod(0)
    with pytest.raises(FolderError, match=f"/study/{name} cannot be read: permission denied"):
        scan(root())


def test_a_missing_folder_is_an_error(fs: FakeFilesystem) -> None:
    with pytest.raises(FolderError, match="/study cannot be read: no such file"):
        scan(root())


def test_names_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))).write_text("x")
    with pytest.raises(FolderError, match=r"udcff.txt' is not UTF-8"):
        scan(tmp_path)


def test_a_document_that_changed_meanwhile_is_an_error(fs: FakeFilesystem) -> None:
    write(fs, "one.json", body())
    folder = scan(root())
    (root() / "one.json").write_text("gone")
    with pytest.raises(FolderError, match=r"one\.json is no NDI document any more"):
        list(folder.documents())
