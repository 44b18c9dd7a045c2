"""A body as a file: the same bytes whichever call brought it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndicloudfs.cache.rendering import FileLink, Rendered, iso_to_ns, presigned_urls, render
from ndicloudfs.cloud.values import Document, Json

DATASET = "65f0c0ffee0000000000d001"
CLOUD_ID = "65f0c0ffee0000000000e001"
SIGNED = "https://bucket.example/key?X-Amz-Signature=abc"

BODY: Json = {
    "base": {"id": "41269430c7aed0aa_40c0a675929cea61", "datestamp": "2026-01-02T03:04:05.006Z"},
    "document_class": {"class_name": "generic_file", "superclasses": {"definition": "base.json"}},
    "files": {
        "file_list": "generic_file.ext",
        "file_info": {
            "name": "generic_file.ext",
            "locations": {"uid": "u1", "location": SIGNED, "location_type": "file"},
        },
    },
    "generic_file": {"filename": "Notizen \u00fcber Rig 2.pdf", "value": "__NDI__NaN__"},
}


def rendered(answer: Json) -> Rendered:
    document = Document.from_json(answer)
    assert document is not None
    return render(document, DATASET)


def test_hoisted_and_wrapped_answers_give_the_same_bytes() -> None:
    wrapped = rendered(
        {"id": CLOUD_ID, "ndiId": "x", "className": "generic_file", "data": BODY, "name": ""}
    )
    hoisted = rendered({"id": CLOUD_ID, **BODY})
    with_empty_data = rendered({"id": CLOUD_ID, **BODY, "data": {}})
    assert wrapped.data == hoisted.data == with_empty_data.data


def test_presigned_urls_become_ndic_uris_and_nothing_else_changes() -> None:
    result = rendered({"id": CLOUD_ID, "data": BODY})
    expected = json.loads(json.dumps(BODY))
    expected["files"]["file_info"]["locations"]["location"] = f"ndic://{DATASET}/u1"
    assert json.loads(result.data) == expected
    assert b"X-Amz" not in result.data
    assert result.data == json.dumps(expected, indent=2, ensure_ascii=False).encode() + b"\n"


def test_only_a_signed_url_beside_a_uid_counts_as_that_of_the_object() -> None:
    places = [
        {"uid": "u1", "location": SIGNED},
        {"uid": "u2", "location": "https://lab.example/data.bin"},
        {"uid": "u3", "location": "/home/rig/data.bin"},
        {"location": SIGNED},
    ]
    files = {"file_info": [{"name": "a", "locations": place} for place in places]}
    document = Document.from_json({"id": CLOUD_ID, "data": {**BODY, "files": files}})
    assert document is not None
    assert list(presigned_urls(document)) == [("u1", SIGNED)]


def test_a_generic_file_shows_its_own_name() -> None:
    assert rendered({"id": CLOUD_ID, "data": BODY}).files == (
        FileLink("Notizen \u00fcber Rig 2.pdf", "u1"),
    )


def test_keys_of_files_that_are_not_understood_stay() -> None:
    body = {"files": {"series_info": {"name": "seg", "count": 3}, "file_info": []}}
    assert json.loads(rendered({"id": CLOUD_ID, "data": body}).data) == body


@pytest.mark.parametrize(
    ("files", "links"),
    [
        ([], ()),
        ("", ()),
        ({"file_info": {}}, ()),
        ({"file_info": {"name": "a", "locations": []}}, (FileLink("a", ""),)),
        ({"file_info": [{"name": "a", "locations": {"uid": "u"}}]}, (FileLink("a", "u"),)),
        ({"file_info": [{"locations": [{}, {"uid": "u"}]}]}, (FileLink("", "u"),)),
        ([{"filename": "old.bin", "signedUrl": SIGNED, "uid": "u"}], (FileLink("old.bin", "u"),)),
    ],
)
def test_files_in_every_shape_that_was_seen(files: object, links: tuple[FileLink, ...]) -> None:
    assert rendered({"id": CLOUD_ID, "data": {"base": {}, "files": files}}).files == links


def test_a_lone_surrogate_stays_an_escape() -> None:
    result = rendered({"id": CLOUD_ID, "data": {"base": {"name": "\ud800"}}})
    assert b"\\ud800" in result.data
    assert json.loads(result.data) == {"base": {"name": "\ud800"}}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False).filter(lambda number: abs(number) != float("inf")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values, min_size=1, max_size=5))
def test_any_body_is_strict_json_that_says_the_same(body: Json) -> None:
    if not (set(body) - {"files"}):
        return
    result = rendered({"id": CLOUD_ID, "data": body})
    body.pop("files", None)
    found = json.loads(result.data, parse_constant=pytest.fail)
    found.pop("files", None)
    assert found == body


def test_times_are_exact_nanoseconds() -> None:
    assert iso_to_ns("2026-01-02T03:04:05.006Z") == 1767323045006000000
    assert iso_to_ns("2026-01-02T03:04:05.006+01:00") == 1767319445006000000
    assert iso_to_ns("2026-01-02") == 1767312000000000000
    assert iso_to_ns("yesterday") is None
    assert iso_to_ns("") is None
