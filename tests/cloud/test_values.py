"""Values tolerate whatever JSON a server may send (section 11)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndicloudfs.cloud.values import (
    BulkJob,
    DatasetDetail,
    DatasetRow,
    Document,
    FileDetail,
    Organization,
    Summary,
    User,
    as_size,
    as_text,
)

KEYS = st.sampled_from(
    [
        *("id", "_id", "jobId", "name", "files", "uid", "size", "uploaded", "data", "base"),
        *("ndiId", "document_class", "organizations", "className", "state", "downloadUrl"),
    ]
)
ANY_TEXT = st.text(st.characters(exclude_categories=()))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS | ANY_TEXT, inner, max_size=6),
    max_leaves=20,
)

READERS: list[Callable[[Any], Any]] = [
    Organization.from_json,
    User.from_json,
    DatasetRow.from_json,
    DatasetDetail.from_json,
    Summary.from_json,
    Document.from_json,
    BulkJob.from_json,
    lambda value: FileDetail.from_json(value, "uid"),
]


@given(ANY_JSON)
def test_any_json_is_read_by_every_value(value: Any) -> None:
    for read in READERS:
        read(value)


@given(st.dictionaries(KEYS, ANY_JSON), st.text("0123456789abcdef", min_size=24, max_size=24))
def test_any_object_with_an_id_is_a_row(fields: dict[str, Any], identity: str) -> None:
    for read in (DatasetRow.from_json, DatasetDetail.from_json, Summary.from_json):
        assert read({**fields, "id": identity}) is not None


@given(ANY_TEXT)
def test_text_can_always_be_encoded(text: str) -> None:
    assert as_text(text) == text.encode("utf-8", "replace").decode("utf-8")


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (0, 0),
        (48000, 48000),
        (48000.0, 48000),
        (2**63 - 1, 2**63 - 1),
        (2**63, None),
        (1e300, None),
        (-1, None),
        (1.5, None),
        (float("inf"), None),
        (float("nan"), None),
        (True, None),
        ("12", None),
        (None, None),
    ],
)
def test_a_size_is_a_whole_number_that_a_file_can_have(value: object, size: int | None) -> None:
    assert as_size(value) == size


def test_a_wrapped_and_a_hoisted_document_are_the_same() -> None:
    body = {"base": {"id": "a" * 16 + "_" + "b" * 16}, "document_class": {"class_name": "subject"}}
    wrapped = Document.from_json({"id": "1" * 24, "datasetId": "2" * 24, "data": body})
    hoisted = Document.from_json({"_id": "1" * 24, "data": {}, **json.loads(json.dumps(body))})
    assert wrapped == hoisted
    assert wrapped is not None
    assert wrapped.body == body
    assert wrapped.summary.class_name == "subject"
    assert wrapped.summary.ndi_id == "a" * 16 + "_" + "b" * 16


def test_detail_keeps_one_entry_per_uid() -> None:
    files = [
        {"uid": "a", "size": 1, "uploaded": True},
        {"uid": "a", "size": 2},
        {"size": 3},
        {"uid": "b", "uploaded": "yes"},
    ]
    detail = DatasetDetail.from_json({"_id": "1" * 24, "files": files, "documents": ["x"]})
    assert detail is not None
    assert [(entry.uid, entry.size, entry.uploaded) for entry in detail.files] == [
        ("a", 1, True),
        ("b", None, None),
    ]
    assert set(detail.fields) == {"_id"}


def test_a_single_file_or_organization_is_a_list_of_one() -> None:
    detail = DatasetDetail.from_json({"id": "1" * 24, "files": {"uid": "a"}})
    assert detail is not None
    assert [entry.uid for entry in detail.files] == ["a"]
    user = User.from_json({"id": "1" * 24, "organizations": {"id": "2" * 24, "name": "lab"}})
    assert [organization.name for organization in user.organizations] == ["lab"]


def test_a_job_has_its_id_under_either_name() -> None:
    job = BulkJob.from_json(
        {"jobId": "j", "state": "complete", "filesExtracted": 12, "error": None}
    )
    assert job == BulkJob("j", "complete", 12, None, "")
    assert BulkJob.from_json({"id": "j"}) == BulkJob("j", "", None, None, "")
    assert BulkJob.from_json({"state": "complete"}) is None
