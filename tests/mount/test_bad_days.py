"""Servers, networks and data that fail or change under a tree that is in use.

What is about the tree runs on the core and through a real mount.
"""

from __future__ import annotations

import errno
import os
import random
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sandbox.raw import Api, Json, body, login, ndi_id, upload
from tests.support.mounting import Machine, machine
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.views import CoreView, MountView, View, core

MIB = 1 << 20
SMALL = os.urandom(5000)
LARGE = os.urandom(3 * MIB + 77)
OBJECTS = "GET /objects"
FETCH = "POST /datasets/{id}/documents/bulk-fetch"
LAB = "Bad Day Lab"
EMAIL, PASSWORD = "unlucky@example.org", "P4ssw0rd-never-to-be-seen"
FILES = f"{LAB}/Data/files/filed"
DOCUMENTS = f"{LAB}/Data/documents"


@dataclass(frozen=True)
class Lab:
    """A sandbox, a user of it with a dataset, and the dataset."""

    sandbox: Sandbox
    api: Api
    organization_id: str
    dataset: str

    @property
    def account(self) -> dict[str, str]:
        return {
            "NDI_CLOUD_URL": self.sandbox.url,
            "NDI_CLOUD_USERNAME": EMAIL,
            "NDI_CLOUD_PASSWORD": PASSWORD,
        }

    @property
    def token(self) -> dict[str, str]:
        return {"NDI_CLOUD_URL": self.sandbox.url, "NDI_CLOUD_TOKEN": self.api.token}

    def add_file(self, number: int, name: str, data: bytes | None) -> str:
        """A document with one file, which is uploaded where there is ``data``; its path."""
        uid = f"uid {number}"
        info = {"name": name, "locations": [{"uid": uid, "location_type": "file"}]}
        self.api.document(self.dataset, body(number, "filed", files={"file_info": [info]}))
        if data is not None:
            upload(self.sandbox, self.api, self.dataset, uid, data)
        return f"{FILES}/{ndi_id(number)}/{name}"

    def add_document(self, number: int, class_name: str = "subject") -> str:
        return self.api.document(self.dataset, body(number, class_name))


@pytest.fixture
def lab(sandbox: Sandbox) -> Iterator[Lab]:
    made = sandbox.add_user(EMAIL, PASSWORD, LAB)
    (organization_id,) = made["organization_ids"]
    with login(sandbox, EMAIL, PASSWORD) as api:
        dataset = api.dataset(organization_id, name="Data")
        for number in range(5):
            api.document(dataset, body(number))
        yield Lab(sandbox, api, organization_id, dataset)


@pytest.fixture
def user(lab: Lab, tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "home", lab.account) as made:
        yield made


@pytest.fixture(params=["core", "mount"])
def view(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> Iterator[View]:
    if request.param == "core":
        with core(lab.account, tmp_path / "cache") as filesystem:
            yield CoreView(filesystem)
    else:
        with machine(tmp_path / "home", lab.account) as made:
            yield MountView(made.mount())


def failure(action: Callable[[], object]) -> int | None:
    """The errno that ``action`` must fail with."""
    with pytest.raises(OSError) as raised:  # noqa: PT011 (the caller looks at the errno)
        action()
    return raised.value.errno


def listed(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def errors(root: Path) -> list[str]:
    return (root / ".ndicloudfs/errors.log").read_text().splitlines()


# Data that are not what they should be


def test_a_file_that_was_never_uploaded_is_missing_until_it_is(user: Machine, lab: Lab) -> None:
    path, there = lab.add_file(7, "late.bin", None), lab.add_file(8, "there.bin", SMALL)
    root = user.mount()
    view = MountView(root)
    assert view.stat(path).size == 0
    assert view.xattrs(path)["user.ndi.state"] == "missing"
    assert failure(lambda: view.read(path)) == errno.ENODATA
    assert view.read(there) == SMALL
    upload(lab.sandbox, lab.api, lab.dataset, "uid 7", SMALL)
    user.umount(root)  # or ten seconds later, see tests/cache/test_objects.py
    user.mount()
    assert view.read(path) == SMALL
    assert view.stat(path).size == len(SMALL)
    assert view.xattrs(path)["user.ndi.state"] == "clean"


def test_a_missing_file_is_one_line_in_the_log(user: Machine, lab: Lab) -> None:
    path = lab.add_file(7, "late.bin", None)
    gone = lab.add_file(8, "gone.bin", SMALL)
    lab.sandbox.plant(lab.dataset, remove_objects=["uid 8"])
    root = user.mount()
    for _ in range(3):
        for name in (path, gone):
            assert failure((root / name).read_bytes) == errno.ENODATA
            # The kernel believes for a second what a stat before the open has said.
            until(lambda: (root / name).stat().st_size == 0)  # noqa: B023
            assert os.getxattr(root / name, "user.ndi.state") == b"missing"
    assert len(errors(root)) == 2
    for line, uid in zip(sorted(errors(root)), ("uid 7", "uid 8"), strict=True):
        assert re.search(f"WARNING File {uid} of dataset .* has no bytes on the server", line)


@pytest.mark.parametrize("size", [0, 10, 10 * MIB])
def test_a_size_that_is_stated_wrongly_never_spoils_what_is_read(
    user: Machine, lab: Lab, size: int
) -> None:
    path = lab.add_file(7, "data.bin", LARGE)
    entry = {"uid": "uid 7", "uploaded": True, "size": size}
    lab.sandbox.plant(lab.dataset, files=[entry])
    root = user.mount()
    assert (root / path).stat().st_size == size
    assert (root / path).read_bytes() == LARGE
    assert (root / path).stat().st_size == len(LARGE)


def test_a_deleted_document_is_gone_and_the_rest_goes_on(view: View, lab: Lab) -> None:
    document_id = lab.add_document(9)
    names = view.ls(f"{DOCUMENTS}/subject")
    assert len(names) == 6
    lab.api.delete(f"/datasets/{lab.dataset}/documents/{document_id}").raise_for_status()
    assert failure(lambda: view.read(f"{DOCUMENTS}/subject/{ndi_id(9)}.json")) == errno.ENOENT
    for number in range(5):
        assert view.read(f"{DOCUMENTS}/subject/{ndi_id(number)}.json")
    assert len(view.ls(f"{DOCUMENTS}/subject")) == 5


def test_a_document_that_stays_hollow_is_an_error_of_its_own(user: Machine, lab: Lab) -> None:
    summary = {"ndiId": ndi_id(77), "className": "subject"}
    lab.sandbox.plant(lab.dataset, documents=[{"body": {"x": 1}, "summary": summary}])
    lab.add_document(78, "other")
    root = user.mount()
    hollow = root / DOCUMENTS / "subject" / f"{ndi_id(77)}.json"
    assert hollow.name in listed(hollow.parent)
    assert failure(hollow.read_bytes) == errno.EIO
    assert (root / DOCUMENTS / f"other/{ndi_id(78)}.json").read_bytes()
    assert listed(root / LAB / "Data/files/other") == []
    assert any("without its content" in line for line in errors(root))


# Servers that answer badly


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"kind": "garbage"}, errno.EIO),
        ({"kind": "status", "status": 403}, errno.EACCES),
    ],
)
def test_a_server_that_fails_is_an_error_with_a_reason_and_not_for_ever(
    user: Machine, lab: Lab, fault: Json, expected: int
) -> None:
    root = user.mount()
    known = root / DOCUMENTS / f"subject/{ndi_id(1)}.json"
    data = known.read_bytes()
    lab.add_document(50, "late")
    fresh = root / LAB / "Data/dataset.json"
    lab.sandbox.fault("GET /datasets/{id}", count=-1, **fault)
    assert failure(fresh.read_bytes) == expected
    assert known.read_bytes() == data
    (line,) = errors(root)
    assert "Data/dataset.json: NDI Cloud at 127.0.0.1" in line
    lab.sandbox.clear_faults()
    assert fresh.read_bytes()


def test_one_bad_moment_of_the_server_is_not_seen(user: Machine, lab: Lab) -> None:
    path = lab.add_file(7, "data.bin", LARGE)
    for kind in ("garbage", "drop", "truncate"):
        lab.sandbox.fault("*", kind, skip=3)
    root = user.mount()
    assert (root / path).read_bytes() == LARGE
    assert len(listed(root / DOCUMENTS / "subject")) == 5
    assert errors(root) == []


def test_a_bad_object_store_is_eio_and_never_other_bytes(user: Machine, lab: Lab) -> None:
    path = lab.add_file(7, "data.bin", LARGE)
    root = user.mount()
    assert listed((root / path).parent) == ["data.bin"]
    with (root / path).open("rb", buffering=0) as file:
        assert file.read(10) == LARGE[:10]
        lab.sandbox.fault(OBJECTS, "short", count=-1, bytes=100)
        file.seek(2 * MIB)
        assert failure(lambda: file.read(10)) == errno.EIO
        lab.sandbox.clear_faults()
        assert file.read(10) == LARGE[2 * MIB :][:10]
    assert any("object store" in line and path in line for line in errors(root))


def test_urls_that_expire_while_a_file_is_open_are_renewed(user: Machine, lab: Lab) -> None:
    path = lab.add_file(7, "data.bin", LARGE)
    root = user.mount()
    with (root / path).open("rb") as file:
        assert file.read(10) == LARGE[:10]
        lab.sandbox.expire(urls=True)
        assert file.read() == LARGE[10:]
    assert errors(root) == []


def test_random_reads_fetch_little(user: Machine, lab: Lab) -> None:
    source = os.urandom(16 * MIB)
    path = lab.add_file(7, "huge.bin", source)
    root = user.mount()
    with (root / path).open("rb", buffering=0) as file:
        lab.sandbox.clear_log()
        places = random.Random(1).sample(range(4096, len(source), 4096), 50)
        for place in places:
            file.seek(place)
            assert file.read(4096) == source[place : place + 4096]
        fetched = sum(entry["response_bytes"] for entry in lab.sandbox.log(OBJECTS))
    assert fetched <= len(places) * 128 * 1024


# Accounts


def test_a_token_that_ends_is_renewed_where_there_are_credentials(user: Machine, lab: Lab) -> None:
    root = user.mount()
    lab.sandbox.expire(tokens=True)
    assert len(listed(root / DOCUMENTS / "subject")) == 5
    assert errors(root) == []


def test_the_end_of_a_token_without_credentials_is_eacces_and_said(user: Machine, lab: Lab) -> None:
    user.account = lab.token
    root = user.mount()
    known = root / DOCUMENTS / f"subject/{ndi_id(1)}.json"
    data = known.read_bytes()
    lab.sandbox.expire(tokens=True)
    assert failure((root / LAB / "Data/dataset.json").read_bytes) == errno.EACCES
    assert failure(lambda: listed(root / ("0" * 24))) == errno.EACCES
    assert known.read_bytes() == data
    assert all("renew NDI_CLOUD_TOKEN" in line for line in errors(root))
    assert errors(root)


def test_nobody_in_particular_sees_what_is_published_and_no_more(user: Machine, lab: Lab) -> None:
    published = lab.api.dataset(lab.organization_id, name="Public")
    lab.api.document(published, body(1))
    with login(lab.sandbox) as administrator:
        administrator.post(f"/datasets/{published}/publish")
    lab.sandbox.idle()
    user.account = {"NDI_CLOUD_URL": lab.sandbox.url}
    root = user.mount()
    assert listed(root) == [".ndicloudfs", "published"]
    assert listed(root / "published") == ["Public"]
    assert (root / f"published/Public/documents/subject/{ndi_id(1)}.json").read_bytes()
    for hidden in (lab.dataset, f"published/{lab.dataset}", lab.organization_id, LAB):
        assert failure(lambda path=hidden: listed(root / path)) == errno.ENOENT  # type: ignore[misc]


def test_two_users_who_share_a_cache_folder_do_not_see_each_others_drafts(
    lab: Lab, tmp_path: Path
) -> None:
    lab.sandbox.add_user("other@example.org", PASSWORD, "Other Lab")
    other = {**lab.account, "NDI_CLOUD_USERNAME": "other@example.org"}
    path = lab.add_file(7, "data.bin", SMALL)
    shared = ("--cache-dir", str(tmp_path / "cache"))
    with (
        machine(tmp_path / "a", lab.account, *shared) as mine,
        machine(tmp_path / "b", other, *shared) as theirs,
    ):
        my_root, their_root = mine.mount(), theirs.mount()
        assert (my_root / path).read_bytes() == SMALL
        assert listed(their_root) == [".ndicloudfs", "Other Lab", "published"]
        for hidden in (path, LAB, lab.dataset, f"{lab.dataset}/files/.uid/uid 7"):
            assert failure(lambda path=hidden: (their_root / path).stat()) == errno.ENOENT  # type: ignore[misc]
        assert lab.dataset not in theirs.log()


# Networks


def test_what_is_cached_is_there_while_the_server_is_away_and_the_rest_fails_fast(
    user: Machine, lab: Lab
) -> None:
    path, cold = lab.add_file(7, "data.bin", LARGE), lab.add_file(8, "cold.bin", SMALL)
    root = user.mount()
    known = root / DOCUMENTS / f"subject/{ndi_id(1)}.json"
    before = {
        file: file.read_bytes() for file in (known, root / path, root / LAB / "Data/dataset.json")
    }
    names = listed(root / DOCUMENTS / "subject")
    assert (root / cold).stat().st_size == len(SMALL)
    lab.sandbox.stop()
    for _ in range(2):
        assert {file: file.read_bytes() for file in before} == before
        assert listed(root / DOCUMENTS / "subject") == names
        assert listed(root) == sorted([".ndicloudfs", LAB, "published"])
    assert failure((root / cold).read_bytes) == errno.ENETUNREACH
    assert failure(lambda: listed(root / LAB / "Data/documents/other")) == errno.ENOENT
    started = time.monotonic()
    for number in range(1000):
        assert failure((root / f"{number:024x}").stat) == errno.ENETUNREACH
    assert time.monotonic() - started < 20
    assert any("cannot be reached" in line for line in errors(root))
    assert len(errors(root)) < 20
    user.umount(root)
    root = user.mount()
    assert known.read_bytes() == before[known]
    lab.sandbox.restart()
    until(lambda: reads_again(root / cold))


def reads_again(file: Path) -> bool:
    try:
        return file.read_bytes() == SMALL
    except OSError:
        return False


# Secrets


def test_no_secret_is_written_anywhere(user: Machine, lab: Lab) -> None:
    path = lab.add_file(7, "data.bin", LARGE)
    user.arguments = ("--verbose",)
    said = [user.run("mount", user.home / "nowhere").stderr]
    root = user.mount()
    for kind in ("status", "drop"):
        lab.sandbox.fault(OBJECTS, kind, status=403, body=f"<Message>{lab.api.token}</Message>")
    echo = {"message": f"password {PASSWORD} token {lab.api.token} ?X-Amz-Signature=abc"}
    lab.sandbox.fault("GET /datasets/{id}", "status", count=-1, status=400, body=echo)
    assert failure((root / LAB / "Data/dataset.json").read_bytes) == errno.EINVAL
    assert (root / path).read_bytes() == LARGE
    lab.sandbox.expire(tokens=True, urls=True)
    listed(root / DOCUMENTS / "subject")
    written = [(root / ".ndicloudfs" / name).read_text() for name in ("status.json", "errors.log")]
    lab.sandbox.stop()
    assert failure((root / ("0" * 24)).stat) == errno.ENETUNREACH
    written += [(root / ".ndicloudfs" / name).read_text() for name in ("status.json", "errors.log")]
    user.umount(root)
    user.account = {**lab.account, "NDI_CLOUD_USERNAME": "other@example.org"}
    said.append(user.run("mount", root).stderr)  # of whom nothing is remembered
    assert "cannot be reached" in said[-1]
    written += [*said, user.log()]
    text = "\n".join(written)
    assert EMAIL in text
    assert "GET /datasets/{dataset_id}" in user.log()
    for secret in (PASSWORD, lab.api.token, "X-Amz-Signature", "X-Amz-Credential", "eyJ", "Bearer"):
        assert secret not in text
