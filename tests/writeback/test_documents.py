"""Documents reach the server, once, with few calls."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ndicloudfs.writeback import Kind, State, fingerprint
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.writeback.worlds import QUICK, Lab, body_of, data_of, laboratory

UPLOAD = "POST /datasets/{id}/documents/bulk-upload"
ADD = "POST /datasets/{id}/documents"


def test_a_handful_of_documents_goes_by_single_calls(lab: Lab) -> None:
    places = [lab.place() for _ in range(3)]
    for where in places:
        lab.write(where, text="new")
    lab.sync()
    assert lab.documents() == {where.ndi_id: body_of(where, text="new") for where in places}
    assert lab.sandbox.count(ADD) == 3
    assert lab.back.queue() == []
    assert {document.summary.ndi_id for _, document in lab.told.stored} == set(lab.documents())


def test_two_thousand_documents_cost_few_calls(sandbox: Sandbox, state: Path) -> None:
    sandbox.set(document_import=0.2)
    timing = replace(QUICK, silence=2.0, longest_open=30.0, first_look=0.1)
    with laboratory(sandbox, state, timing) as lab:
        places = [lab.place() for _ in range(2000)]
        sandbox.clear_log()
        for where in places:
            lab.write(where, text="x" * 500)
        lab.sync()
        calls = sandbox.log(port="api")
        assert len(calls) <= 10, [call["route"] for call in calls]
        assert set(lab.documents()) == {where.ndi_id for where in places}


def test_a_batch_closes_by_itself(lab: Lab) -> None:
    where = lab.place()
    lab.write(where, text="new")
    until(lambda: lab.back.queue() == [])
    assert where.ndi_id in lab.documents()


def test_a_changed_document_is_replaced(lab: Lab) -> None:
    where = lab.existing(text="old")
    base = fingerprint(body_of(where, text="old"))
    lab.back.commit_document(where, data_of(where, text="new"), base)
    lab.sync()
    assert lab.documents()[where.ndi_id] == body_of(where, text="new")


def test_somebody_elses_change_is_not_overwritten(lab: Lab) -> None:
    where = lab.existing(text="theirs")
    base = fingerprint(body_of(where, text="what was seen"))
    lab.back.commit_document(where, data_of(where, text="mine"), base)
    lab.back.sync()
    (entry,) = lab.back.queue()
    assert entry.state is State.CONFLICT
    assert lab.documents()[where.ndi_id] == body_of(where, text="theirs")
    (kept,) = lab.back.conflicts()
    assert json.loads(kept.path.read_bytes()) == body_of(where, text="mine")
    assert "Somebody else" in kept.reason

    lab.back.resolve(entry.generation, mine=True)
    lab.sync()
    assert lab.documents()[where.ndi_id] == body_of(where, text="mine")
    assert lab.back.conflicts() == []


def test_keeping_theirs_drops_the_version_here(lab: Lab) -> None:
    where = lab.existing(text="theirs")
    lab.back.commit_document(where, data_of(where, text="mine"), "something else")
    lab.back.sync()
    (entry,) = lab.back.queue()
    lab.back.resolve(entry.generation, mine=False)
    assert lab.back.queue() == []
    assert lab.documents()[where.ndi_id] == body_of(where, text="theirs")


def test_the_same_document_made_elsewhere_is_no_second_one(lab: Lab) -> None:
    same, other = lab.existing(text="same"), lab.existing(text="other")
    lab.write(lab.place(same.ndi_id), text="same")
    lab.write(lab.place(other.ndi_id), text="mine")
    lab.back.sync()
    (entry,) = lab.back.queue()
    assert (entry.ndi_id, entry.state) == (other.ndi_id, State.CONFLICT)
    assert "same id" in entry.reason
    assert lab.documents()[other.ndi_id] == body_of(other, text="other")


def test_deletions_go_together(lab: Lab) -> None:
    places = [lab.existing(number=number) for number in range(5)]
    for where in places[:4]:
        lab.back.commit_deletion(where, "")
    lab.sync()
    assert set(lab.documents()) == {places[4].ndi_id}
    assert lab.sandbox.count("POST /datasets/{id}/documents/bulk-delete") == 1
    assert {id_ for _, id_ in lab.told.deleted} == {where.document_id for where in places[:4]}


def test_a_changed_document_is_not_deleted(lab: Lab) -> None:
    where = lab.existing(text="theirs")
    lab.back.commit_deletion(where, fingerprint(body_of(where, text="what was seen")))
    lab.back.sync()
    (entry,) = lab.back.queue()
    assert (entry.kind, entry.state) == (Kind.DELETION, State.CONFLICT)
    assert where.ndi_id in lab.documents()


def test_a_document_in_a_zip_can_be_deleted_before_it_is_seen(lab: Lab) -> None:
    lab.sandbox.set(document_import=0.5)
    places = [lab.place() for _ in range(30)]
    for where in places:
        lab.write(where)
    until(lambda: lab.sandbox.count("PUT /objects") >= 1)
    lab.back.commit_deletion(places[0], "")
    lab.sync()
    lab.sandbox.idle()
    assert set(lab.documents()) == {where.ndi_id for where in places[1:]}


def test_an_edit_of_a_document_that_is_on_its_way_arrives_last(lab: Lab) -> None:
    lab.sandbox.set(document_import=0.5)
    places = [lab.place() for _ in range(30)]
    for where in places:
        lab.write(where, text="first")
    until(lambda: lab.sandbox.count("PUT /objects") >= 1)
    first = fingerprint(body_of(places[0], text="first"))
    lab.back.commit_document(places[0], data_of(places[0], text="second"), first)
    lab.sync()
    assert lab.documents()[places[0].ndi_id] == body_of(places[0], text="second")
    assert len(lab.documents()) == 30


def test_a_document_deleted_and_made_again_is_the_new_one(lab: Lab) -> None:
    where = lab.existing(text="old")
    lab.back.commit_deletion(where, "")
    lab.write(lab.place(where.ndi_id), text="new")
    lab.sync()
    assert lab.documents() == {where.ndi_id: body_of(where, text="new")}


def test_the_name_a_document_was_written_under_goes_on_resolving(lab: Lab) -> None:
    where = lab.place()
    lab.write(where)
    lab.sync()
    known = lab.back.alias(lab.dataset_id, "subject", where.name)
    assert known is not None
    assert known[0] == where.ndi_id
    assert lab.cloud.documents.get(lab.dataset_id, known[1]).summary.ndi_id == where.ndi_id


def test_a_document_renamed_while_it_is_sent_keeps_its_new_name(lab: Lab) -> None:
    lab.sandbox.set(document_import=0.5)
    places = [lab.place() for _ in range(30)]
    entries = [lab.write(where) for where in places]
    until(lambda: lab.sandbox.count("PUT /objects") >= 1)
    assert lab.back.commit_document_name(entries[0].generation, "renamed") is not None
    lab.sync()
    known = lab.back.alias(lab.dataset_id, "subject", "renamed")
    assert known is not None
    assert known[0] == places[0].ndi_id
    assert lab.back.alias(lab.dataset_id, "subject", places[0].name) is None


@pytest.mark.parametrize("attached", [False, True])
def test_what_somebody_else_deleted_and_is_made_again_here_survives_a_failure(
    lab: Lab, attached: bool
) -> None:
    where = lab.place()
    lab.write(where, text="first")
    lab.sync()
    known = lab.back.alias(lab.dataset_id, "subject", where.name)
    assert known is not None
    lab.cloud.documents.bulk_delete(lab.dataset_id, [known[1]], "now")
    lab.sandbox.fault(ADD, "status", status=503)
    lab.write(where, text="second")
    lab.back.sync()
    if attached:
        lab.attach(where, "a.bin", b"a recording")
    lab.sync()
    assert lab.back.queue() == []
    (found,) = lab.documents().values()
    assert found["subject"] == {"text": "second"}
    assert ("files" in found) is attached


def test_a_change_that_was_refused_is_mended_and_sent(lab: Lab) -> None:
    lab.sandbox.fault("POST /datasets/{id}/documents/{docId}", "status", status=422)
    where = lab.existing(text="old")
    base = fingerprint(body_of(where, text="old"))
    refused = lab.back.commit_document(where, data_of(where, text="refused"), base)
    lab.back.sync()
    shown = lab.back.document(where)
    assert shown is not None
    assert (shown.generation, shown.state) == (refused.generation, State.REJECTED)
    base = fingerprint(body_of(where, text="refused"))
    lab.back.commit_document(where, data_of(where, text="mended"), base)
    lab.sync()
    assert lab.documents() == {where.ndi_id: body_of(where, text="mended")}
    assert lab.back.document(where) is None


def test_a_new_document_that_was_refused_can_be_deleted(lab: Lab) -> None:
    lab.sandbox.fault(ADD, "status", status=422)
    where = lab.place()
    lab.write(where, text="refused")
    lab.back.sync()
    lab.back.commit_deletion(where, "")
    lab.sync()
    assert lab.back.document(where) is None
    assert lab.documents() == {}


def test_a_new_document_that_was_refused_is_mended_and_sent(lab: Lab) -> None:
    lab.sandbox.fault(ADD, "status", status=422)
    where = lab.place()
    lab.write(where, text="refused")
    lab.back.sync()
    assert [entry.state for entry in lab.back.queue()] == [State.REJECTED]
    base = fingerprint(body_of(where, text="refused"))
    lab.back.commit_document(where, data_of(where, text="mended"), base)
    lab.sync()
    assert lab.documents() == {where.ndi_id: body_of(where, text="mended")}
    assert lab.back.queue() == []
    assert len(lab.back.rejected()) == 1  # its bytes are the user's
