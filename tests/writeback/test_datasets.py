"""Datasets that are made, changed and deleted here reach the server once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ndicloudfs.cloud.values import DatasetRow
from ndicloudfs.writeback import State
from tests.support.system import until
from tests.writeback.worlds import Lab, body_of, data_of, held

CREATE = "POST /organizations/{orgId}/datasets"
CHANGE = "POST /datasets/{id}"
REMOVE = "DELETE /datasets/{id}"
FAILS: list[dict[str, Any]] = [
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 504},
    {"kind": "drop"},
    {"kind": "after"},
]


def named(lab: Lab, name: str) -> list[DatasetRow]:
    """The datasets of the organization with a name."""
    rows = lab.cloud.datasets.of_organization(lab.sandbox.organization_id)
    return [row for row in rows if row.name == name]


def insist(lab: Lab) -> None:
    """Sync again until everything is there."""
    until(lambda: lab.back.sync().entries == 0, 60)
    lab.sandbox.clear_faults()


@pytest.mark.parametrize("fault", FAILS, ids=str)
def test_a_dataset_is_made_once_with_what_was_written_into_it(
    lab: Lab, fault: dict[str, Any]
) -> None:
    lab.cloud.datasets.create(lab.sandbox.organization_id, {"name": "twin"})
    lab.sandbox.fault(CREATE, count=2, **fault)
    made = lab.back.create_dataset(lab.sandbox.organization_id, "twin")
    assert [entry.name for entry in lab.back.datasets(lab.sandbox.organization_id)] == ["twin"]
    where = replace(lab.place(), dataset_id=made.dataset_id)
    lab.back.commit_document(where, data_of(where, text="inside"), "")
    insist(lab)
    assert len(named(lab, "twin")) == 2  # the one that was there, and ours
    dataset_id = lab.back.dataset_id(made.dataset_id)
    assert dataset_id in lab.told.datasets
    assert held(lab.cloud, dataset_id) == {where.ndi_id: body_of(where, text="inside")}
    assert lab.back.datasets(lab.sandbox.organization_id) == []


def test_the_id_that_a_dataset_had_here_goes_on_meaning_it(lab: Lab) -> None:
    made = lab.back.create_dataset(lab.sandbox.organization_id, "new")
    lab.sync()
    where = replace(lab.place(), dataset_id=made.dataset_id)  # a program that had it open
    lab.back.commit_document(where, data_of(where), "")
    assert [entry.ndi_id for entry in lab.back.documents(made.dataset_id, "subject")]
    lab.sync()
    lab.back.close()
    lab.begin()
    assert set(held(lab.cloud, lab.back.dataset_id(made.dataset_id))) == {where.ndi_id}


@pytest.mark.parametrize("fault", FAILS, ids=str)
def test_fields_are_changed(lab: Lab, fault: dict[str, Any]) -> None:
    lab.sandbox.fault(CHANGE, count=2, **fault)
    lab.back.change_dataset(lab.dataset_id, {"abstract": "new"}, {})
    insist(lab)
    fields = lab.cloud.datasets.detail(lab.dataset_id).fields
    assert (fields["abstract"], fields["name"]) == ("new", "written")


def test_a_field_that_somebody_else_has_changed_is_not_overwritten(lab: Lab) -> None:
    lab.cloud.datasets.update(lab.dataset_id, {"abstract": "theirs"})
    lab.back.change_dataset(lab.dataset_id, {"abstract": "mine"}, {"abstract": "before"})
    lab.back.sync()
    (entry,) = lab.back.queue()
    assert entry.state is State.CONFLICT
    assert lab.cloud.datasets.detail(lab.dataset_id).fields["abstract"] == "theirs"
    lab.back.resolve(entry.generation, mine=True)
    lab.sync()
    assert lab.cloud.datasets.detail(lab.dataset_id).fields["abstract"] == "mine"


@pytest.mark.parametrize("fault", FAILS, ids=str)
def test_a_dataset_is_deleted_and_can_be_had_back(lab: Lab, fault: dict[str, Any]) -> None:
    lab.sandbox.fault(REMOVE, count=2, **fault)
    lab.back.delete_dataset(lab.dataset_id, lab.sandbox.organization_id)
    insist(lab)
    assert named(lab, "written") == []
    lab.cloud.datasets.undelete(lab.dataset_id)
    lab.sandbox.idle()
    assert len(named(lab, "written")) == 1
