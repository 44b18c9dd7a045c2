"""The bytes of files reach the server before the document that names them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from ndicloudfs.writeback import Limits, State, fingerprint
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.writeback.worlds import QUICK, Lab, Told, body_of, data_of, laboratory

BULK = "GET /datasets/{orgId}/{id}/files/bulk"
URL = "GET /datasets/{orgId}/{id}/files/{uid}"
UPDATE = "POST /datasets/{id}/documents/{docId}"


def named(body: dict[str, Any]) -> dict[str, str]:
    """The files that a body names: name -> uid."""
    infos = body["files"]["file_info"]
    return {info["name"]: info["locations"][0]["uid"] for info in infos}


def test_a_file_is_attached_after_its_bytes_have_arrived(lab: Lab) -> None:
    where = lab.existing(text="has a file")
    entry = lab.attach(where, "x.bin", b"the bytes")
    lab.sync()
    body = lab.documents()[where.ndi_id]
    assert named(body) == {"x.bin": entry.uid}
    assert body["files"]["file_list"] == ["x.bin"]
    assert lab.object(entry.uid) == b"the bytes"
    assert lab.told.files == {entry.uid: b"the bytes"}
    assert lab.back.staged(entry.uid) is None
    routes = [call["route"] for call in lab.sandbox.log()]
    assert routes.index("PUT /objects") < routes.index(UPDATE)


def test_files_of_one_document_are_one_zip_and_one_update(lab: Lab) -> None:
    where = lab.existing(text="has files")
    uids = {
        f"{number}.bin": lab.attach(where, f"{number}.bin", b"%d" % number).uid
        for number in range(20)
    }
    lab.sync()
    assert named(lab.documents()[where.ndi_id]) == uids
    assert all(lab.object(uid) == name.removesuffix(".bin").encode() for name, uid in uids.items())
    assert lab.sandbox.count(BULK) == 1
    assert lab.sandbox.count(URL) == 0
    assert lab.sandbox.count(UPDATE) == 1


def test_a_new_document_travels_with_its_files(lab: Lab) -> None:
    places = [lab.place() for _ in range(30)]
    for where in places:
        lab.write(where, text="new")
        lab.attach(where, "x.bin", where.ndi_id.encode())
    lab.sync()
    for ndi_id, body in lab.documents().items():
        assert lab.object(named(body)["x.bin"]) == ndi_id.encode()
    assert lab.sandbox.count(UPDATE) == 0


def test_many_small_files_cost_few_calls_and_bytes(sandbox: Sandbox, state: Path) -> None:
    sandbox.set(file_extraction=0.2)
    timing = replace(QUICK, silence=2.0, longest_open=30.0, first_look=0.1)
    with laboratory(sandbox, state, timing) as lab:
        where = lab.existing(text="has files")
        sandbox.clear_log()
        for number in range(500):
            lab.attach(where, f"{number}.bin", number.to_bytes(4, "big") * 25600)
        lab.sync()
        calls = sandbox.log(port="api")
        assert len(calls) <= 20, [call["route"] for call in calls]
        sent = sum(call["request_bytes"] for call in sandbox.log())
        assert sent <= 1.05 * 500 * 102_400
        assert len(named(lab.documents()[where.ndi_id])) == 500


def test_a_large_file_goes_by_itself(sandbox: Sandbox, state: Path) -> None:
    with laboratory(sandbox, state, limits=Limits(small_file=1000)) as lab:
        where = lab.existing(text="has files")
        small = [lab.attach(where, f"{number}.bin", b"small") for number in range(2)]
        large = lab.attach(where, "large.bin", b"x" * 5000)
        lab.sync()
        assert sandbox.count(URL) == 1
        assert lab.object(large.uid) == b"x" * 5000
        assert [lab.object(entry.uid) for entry in small] == [b"small", b"small"]


def test_a_document_does_not_wait_until_the_cache_has_its_large_file(
    sandbox: Sandbox, state: Path
) -> None:
    copied, go_on = threading.Event(), threading.Event()

    class Slow(Told):
        def file_stored(self, dataset_id: str, uid: str, size: int, path: Path) -> None:
            go_on.wait(30)
            super().file_stored(dataset_id, uid, size, path)
            copied.set()

    with laboratory(sandbox, state, limits=Limits(small_file=1000)) as lab:
        lab.back.close()
        lab.told = Slow()
        lab.begin()
        where = lab.existing(text="has a file")
        entry = lab.attach(where, "x.bin", b"x" * 5000)
        try:
            lab.sync()
            assert named(lab.documents()[where.ndi_id]) == {"x.bin": entry.uid}
            assert not copied.is_set()
        finally:
            go_on.set()
        assert copied.wait(30)
        assert lab.told.files == {entry.uid: b"x" * 5000}
        drafts = lab.back.folder / "staging" / "drafts"
        until(lambda: list(drafts.iterdir()) == [])


def test_replacing_a_file_keeps_its_place_and_what_else_is_there(lab: Lab) -> None:
    where = lab.existing(text="has files")
    first = lab.attach(where, "a.bin", b"first")
    lab.attach(where, "b.bin", b"other")
    lab.sync()
    second = lab.attach(where, "a.bin", b"second", replaces=first.uid)
    lab.sync()
    body = lab.documents()[where.ndi_id]
    assert list(named(body)) == ["a.bin", "b.bin"]
    assert named(body)["a.bin"] == second.uid
    assert lab.object(second.uid) == b"second"
    assert body["subject"] == {"text": "has files"}


def test_renaming_and_removing_files_of_the_server(lab: Lab) -> None:
    where = lab.existing(text="has files")
    kept, gone = lab.attach(where, "a.bin", b"kept"), lab.attach(where, "b.bin", b"gone")
    lab.sync()
    lab.back.commit_file_name(where, kept.uid, "c.bin", 4)
    lab.back.commit_detachment(where, "b.bin", gone.uid)
    lab.sync()
    assert named(lab.documents()[where.ndi_id]) == {"c.bin": kept.uid}
    assert lab.object(kept.uid) == b"kept"


def test_files_are_merged_into_the_newest_body(lab: Lab) -> None:
    where = lab.existing(text="old")
    document = lab.cloud.documents.get(lab.dataset_id, where.document_id)
    lab.cloud.documents.update(
        lab.dataset_id, where.document_id, {**document.body, "subject": {"text": "theirs"}}
    )
    entry = lab.attach(where, "a.bin", b"mine")
    lab.sync()
    body = lab.documents()[where.ndi_id]
    assert body["subject"] == {"text": "theirs"}
    assert named(body) == {"a.bin": entry.uid}


def test_a_body_edited_without_its_new_files_does_not_lose_them(lab: Lab) -> None:
    """An editor that was open while a file was attached saves the body as it was before."""
    where = lab.existing(text="old")
    entry = lab.attach(where, "a.bin", b"bytes")
    lab.sync()
    base = fingerprint(body_of(where, text="old"))
    lab.back.commit_document(where, data_of(where, text="new"), base)
    lab.sync()
    body = lab.documents()[where.ndi_id]
    assert body["subject"] == {"text": "new"}
    assert named(body) == {"a.bin": entry.uid}


def test_a_file_whose_bytes_vanish_is_told_and_nothing_points_at_it(lab: Lab) -> None:
    where = lab.existing(text="has files")
    lab.sandbox.fault(BULK, "status", -1, status=503)
    lab.sandbox.fault(URL, "status", -1, status=503)
    entry = lab.attach(where, "a.bin", b"bytes")
    path = lab.back.staged(entry.uid)
    assert path is not None
    path.unlink()
    lab.sandbox.clear_faults()
    until(lambda: [one.state for one in lab.back.queue()] == [State.REJECTED])
    assert "files" not in lab.documents()[where.ndi_id]
