"""Servers, networks and accounts that fail: nothing lost, nothing doubled, the rest goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import Unreachable, WrongCredentials
from ndicloudfs.writeback import State, Timing, WriteBack, fingerprint
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.writeback.worlds import Lab, body_of, data_of, laboratory

ADD = "POST /datasets/{id}/documents"
UPDATE = "POST /datasets/{id}/documents/{docId}"
FETCH = "POST /datasets/{id}/documents/bulk-fetch"
DELETE = "POST /datasets/{id}/documents/bulk-delete"
UPLOAD = "POST /datasets/{id}/documents/bulk-upload"
QUERY = "POST /ndiquery"
DETAIL = "GET /datasets/{id}"
FILE_DETAIL = "GET /datasets/{id}/files/{uid}/detail"
FILE_URL = "GET /datasets/{orgId}/{id}/files/{uid}"
FILES_URL = "GET /datasets/{orgId}/{id}/files/bulk"
JOB = "GET /bulk-uploads/{jobId}"
PUT = "PUT /objects"

FAILS: list[dict[str, Any]] = [
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 504},
    {"kind": "drop"},
    {"kind": "after"},
]
ODD: list[dict[str, Any]] = [*FAILS, {"kind": "garbage"}]


# A server without delays needs little patience.
QUICK = replace(Timing().scaled(0.02), silence=0.3, longest_open=5.0)


@pytest.fixture
def lab(sandbox: Sandbox, state: Path) -> Iterator[Lab]:
    """A dataset on a sandbox and a write-back that sends to it."""
    with laboratory(sandbox, state, QUICK) as made:
        yield made


def cases(*routes: tuple[str, list[dict[str, Any]]]) -> list[Any]:
    """A case for each fault of each route."""
    return [
        pytest.param(route, fault, id=" ".join([route, *map(str, fault.values())]))
        for route, faults in routes
        for fault in faults
    ]


def insist(lab: Lab) -> None:
    """Sync again until everything is there."""
    until(lambda: lab.back.sync().entries == 0, 60)
    assert lab.back.queue() == []
    lab.sandbox.clear_faults()
    lab.sandbox.idle()


@pytest.mark.parametrize(
    ("route", "fault"),
    cases(
        (ADD, ODD),
        (UPDATE, FAILS),
        (DELETE, FAILS),
        (QUERY, ODD),
        (FETCH, [*ODD, {"kind": "omit"}, {"kind": "hollow"}, {"kind": "stale", "seconds": 1}]),
    ),
)
def test_a_few_documents_arrive_once(lab: Lab, route: str, fault: dict[str, Any]) -> None:
    changed, deleted = lab.existing(text="old"), lab.existing(text="old")
    base = fingerprint(body_of(changed, text="old"))
    lab.sandbox.fault(route, count=2, **fault)
    new = [lab.place() for _ in range(3)]
    for where in new:
        lab.write(where, text="new")
    lab.back.commit_document(changed, data_of(changed, text="new"), base)
    lab.back.commit_deletion(deleted, base="")
    insist(lab)
    assert lab.documents() == {
        where.ndi_id: body_of(where, text="new") for where in (*new, changed)
    }


@pytest.mark.parametrize(
    ("route", "fault"),
    cases(
        (UPLOAD, ODD),
        (PUT, [*FAILS, {"kind": "status", "status": 403}]),
        (QUERY, [*FAILS, {"kind": "omit", "documents": 3}]),
    ),
)
def test_a_zip_of_documents_arrives_once(lab: Lab, route: str, fault: dict[str, Any]) -> None:
    lab.sandbox.set(document_import=0.1)
    lab.sandbox.fault(route, count=2, **fault)
    places = [lab.place() for _ in range(30)]
    for where in places:
        lab.write(where, text="new")
    insist(lab)
    assert lab.documents() == {where.ndi_id: body_of(where, text="new") for where in places}


@pytest.mark.parametrize("result", ["partial", "lost"])
def test_a_zip_that_is_imported_only_in_part_is_finished(lab: Lab, result: str) -> None:
    lab.sandbox.set(document_zip=result)
    places = [lab.place() for _ in range(30)]
    for where in places:
        lab.write(where, text="new")
    insist(lab)
    assert lab.documents() == {where.ndi_id: body_of(where, text="new") for where in places}


def test_a_zip_that_comes_after_all_patience_is_no_double(sandbox: Sandbox, state: Path) -> None:
    sandbox.set(document_import=2.5)
    with laboratory(sandbox, state, replace(QUICK, patience=2.0)) as lab:
        places = [lab.place() for _ in range(30)]
        for where in places:
            lab.write(where, text="new")
        until(lambda: sandbox.count(PUT) >= 1)
        sandbox.set(document_import=0.0)
        insist(lab)
        assert lab.documents() == {where.ndi_id: body_of(where, text="new") for where in places}
        assert len(lab.told.stored) == 30


@pytest.mark.parametrize("text", ["changed", None])
def test_what_is_done_to_a_document_that_was_sent_twice_is_not_taken_for_done(
    sandbox: Sandbox, state: Path, text: str | None
) -> None:
    """The second copy is there, and the first might still come, when the mount ends."""
    with laboratory(sandbox, state, replace(QUICK, patience=2.0)) as lab:
        sandbox.fault(ADD, "status", status=504)
        where = lab.place()
        lab.write(where, text="first")
        until(lambda: sandbox.count(ADD) == 2 and where.ndi_id in lab.documents())
        lab.back.close()
        lab.back = WriteBack(lab.cloud, sandbox.email, lab.options, lab.told)
        if text is None:
            lab.back.commit_deletion(where, fingerprint(body_of(where, text="first")))
        else:
            lab.write(where, text=text)
        lab.back.start()
        insist(lab)
        expected = {} if text is None else {where.ndi_id: body_of(where, text=text)}
        assert lab.documents() == expected


@pytest.mark.parametrize(
    ("route", "fault"),
    cases(
        (FILES_URL, FAILS),
        (FILE_URL, FAILS),
        (PUT, [*FAILS, {"kind": "status", "status": 403}]),
        (JOB, FAILS),
        (DETAIL, FAILS),
        (FILE_DETAIL, FAILS),
    ),
)
def test_files_arrive_before_their_document(lab: Lab, route: str, fault: dict[str, Any]) -> None:
    where, other = lab.existing(text="many"), lab.existing(text="one")
    lab.sandbox.fault(route, count=2, **fault)
    for number in range(10):
        lab.attach(where, f"{number}.bin", b"bytes %d" % number)
    lab.attach(other, "x.bin", b"x" * 9_000_000)
    insist(lab)
    check_files(lab, where.ndi_id, {f"{number}.bin": b"bytes %d" % number for number in range(10)})
    check_files(lab, other.ndi_id, {"x.bin": b"x" * 9_000_000})


@pytest.mark.parametrize(
    "settings",
    [
        {"file_zip": "partial"},
        {"file_zip": "failed"},
        {"file_zip": "stuck"},
        {"file_jobs": False, "file_extraction": 0.3},
        {"file_jobs": False, "file_extraction": 0.3, "early_uploaded": True},
        {"file_detail_size": False},
        {"missing_object_status": 403, "file_registration": 0.2},
    ],
    ids=str,
)
def test_zips_of_files_that_end_badly_are_finished(
    sandbox: Sandbox, state: Path, settings: dict[str, Any]
) -> None:
    timing = replace(QUICK, patience=1.0, job_patience=0.5)
    with laboratory(sandbox, state, timing) as lab:
        sandbox.set(**settings)
        where = lab.existing(text="files")
        files = {f"{number}.bin": b"bytes %d" % number for number in range(10)}
        for name, data in files.items():
            lab.attach(where, name, data)
        insist(lab)
        check_files(lab, where.ndi_id, files)


def check_files(lab: Lab, ndi_id: str, files: dict[str, bytes]) -> None:
    """The document names exactly these files, and each can be read."""
    infos = lab.documents()[ndi_id]["files"]["file_info"]
    named = {info["name"]: info["locations"][0]["uid"] for info in infos}
    assert len(named) == len(infos)
    assert {name: lab.object(uid) for name, uid in named.items()} == files


def test_tokens_may_expire(lab: Lab) -> None:
    lab.write(lab.place())
    lab.sync()
    lab.sandbox.expire(tokens=True)
    lab.write(lab.place())
    lab.sync()
    assert len(lab.documents()) == 2


def test_it_goes_on_by_itself_when_the_server_is_back(lab: Lab) -> None:
    lab.sandbox.stop()
    places = [lab.place() for _ in range(30)]
    for where in places:
        lab.write(where)
    remaining = lab.back.sync()
    assert remaining.entries == 30
    assert isinstance(remaining.outage, Unreachable)
    assert lab.back.totals() == {State.PENDING: 30}
    lab.sandbox.restart()
    until(lambda: lab.back.queue() == [])
    assert set(lab.documents()) == {where.ndi_id for where in places}


def test_a_server_killed_after_it_has_taken_a_zip(lab: Lab) -> None:
    lab.sandbox.set(document_import=0.5)
    places = [lab.place() for _ in range(30)]
    for where in places:
        lab.write(where)
    until(lambda: lab.sandbox.count(PUT) >= 1)
    lab.sandbox.restart()
    insist(lab)
    assert set(lab.documents()) == {where.ndi_id for where in places}


def test_wrong_credentials_pause_it_and_lose_nothing(sandbox: Sandbox, state: Path) -> None:
    with laboratory(sandbox, state) as lab:
        lab.back.close()
        wrong = NdiCloud(CloudConfig(sandbox.url, sandbox.email, "Wr0ng-password"))
        right, lab.cloud = lab.cloud, wrong
        lab.begin()
        where = lab.place()
        lab.write(where)
        remaining = lab.back.sync()
        assert isinstance(remaining.outage, WrongCredentials)
        logins = sandbox.count("POST /auth/login")
        lab.back.sync()
        assert sandbox.count("POST /auth/login") <= logins + 1
        lab.back.close()
        wrong.close()
        lab.cloud = right
        lab.begin()
        lab.sync()
        assert set(lab.documents()) == {where.ndi_id}


def test_what_is_refused_for_good_is_kept_aside_and_the_rest_goes_on(lab: Lab) -> None:
    lab.sandbox.fault(ADD, "status", status=400, body={"error": "not like this"})
    places = [lab.place() for _ in range(3)]
    for where in places:
        lab.write(where, text="new")
    remaining = lab.back.sync()
    assert remaining.entries == 0
    (entry,) = lab.back.queue()
    assert entry.state is State.REJECTED
    assert "not like this" in entry.reason
    (kept,) = lab.back.rejected()
    assert json.loads(kept.path.read_bytes())["base"]["id"] == entry.ndi_id
    assert len(lab.documents()) == 2

    lab.back.retry([entry.generation])
    lab.sync()
    assert lab.back.rejected() == []
    assert set(lab.documents()) == {where.ndi_id for where in places}


def test_a_document_that_fails_for_ever_holds_up_no_other(lab: Lab) -> None:
    stuck = lab.existing(text="old")
    lab.sandbox.fault(UPDATE, "status", -1, status=500)
    base = fingerprint(body_of(stuck, text="old"))
    lab.back.commit_document(stuck, data_of(stuck, text="new"), base)
    where = lab.place()
    lab.write(where)
    until(lambda: where.ndi_id in lab.documents())
    remaining = lab.back.sync()
    assert remaining.entries == 1
    lab.sandbox.clear_faults()
    insist(lab)
    assert lab.documents()[stuck.ndi_id] == body_of(stuck, text="new")


def test_a_process_that_stops_leaves_the_queue_to_the_next(lab: Lab) -> None:
    lab.sandbox.set(document_import=0.5)
    places = [lab.place() for _ in range(30)]
    for where in places:
        lab.write(where)
    until(lambda: lab.sandbox.count(PUT) >= 1)
    lab.back.close()
    lab.begin()
    lab.sync()
    lab.sandbox.idle()
    assert set(lab.documents()) == {where.ndi_id for where in places}


def test_a_dataset_that_is_gone_parks_what_was_written_to_it(lab: Lab) -> None:
    lab.cloud.datasets.delete(lab.dataset_id, "now")
    lab.sandbox.idle()
    where = lab.place()
    lab.write(where, text="homeless")
    until(lambda: [entry.state for entry in lab.back.queue()] == [State.REJECTED])
    (kept,) = lab.back.rejected()
    assert json.loads(kept.path.read_bytes()) == body_of(where, text="homeless")
    assert lab.back.outage is None


def test_rights_that_are_lacking_for_a_moment_are_no_refusal(lab: Lab) -> None:
    lab.sandbox.fault(ADD, "status", status=403)
    where = lab.place()
    lab.write(where)
    insist(lab)
    assert set(lab.documents()) == {where.ndi_id}
