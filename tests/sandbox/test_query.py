"""Sections 5.11, 5.12: ndiquery and the searches that know no caller."""

from __future__ import annotations

import pytest

from tests.sandbox.raw import UNKNOWN_ID, Api, Json, body, ndi_id, ok
from tests.support.sandbox import Sandbox

SUPERCLASS = {"superclasses": {"definition": "$NDIDOCUMENTPATH/data/measurement.json"}}


def numbers(api: Api, scope: str, *structure: Json) -> list[int]:
    """Which of the numbered bodies match."""
    sent = {"scope": scope, "searchstructure": list(structure)}
    found = ok(api.post("/ndiquery", sent, pageSize=1000))
    assert found["number_matches"] == len(found["documents"])
    return [int(row["name"].removeprefix("name ")) for row in found["documents"]]


def is_a(name: str) -> Json:
    return {"operation": "isa", "param1": name}


def on(field: str, operation: str, param1: object = None, param2: object = "") -> Json:
    return {"field": field, "operation": operation, "param1": param1, "param2": param2}


@pytest.fixture
def study(api: Api, dataset: str) -> str:
    """A dataset of four documents, numbered 0 to 3."""
    rat: Json = {"name": "Rat", "weight": 250, "tags": ["a", "b"], "note": None}
    api.document(dataset, body(0, "subject", subject=rat))
    dependency = {"name": "subject_id", "value": ndi_id(0)}
    first = body(1, "element", depends_on=dependency)
    first["document_class"].update(SUPERCLASS)
    api.document(dataset, first)
    several = [{"name": "subject_id", "value": ""}, {"name": "element_id", "value": ndi_id(1)}]
    api.document(dataset, body(2, "element", depends_on=several, element={"weight": -1.5}))
    people = [{"first": "Ann", "last": "Alpha"}, {"first": "Bob", "last": "Beta"}]
    api.document(dataset, body(3, "paper", paper={"people": people, "title": "the RAT"}))
    return dataset


CASES: list[tuple[list[int], Json]] = [
    ([1, 2], is_a("element")),
    ([1], is_a("measurement")),
    ([0, 1, 2, 3], is_a("base")),
    ([0, 1, 2, 3], is_a("ndi_document")),
    ([0, 3], {"operation": "~isa", "param1": "element", "field": ""}),
    ([1], {"operation": "depends_on", "param1": "subject_id", "param2": ndi_id(0)}),
    ([2], {"operation": "depends_on", "param1": "*", "param2": ndi_id(1)}),
    ([1, 2], {"operation": "depends_on", "param1": "*", "param2": [ndi_id(0), ndi_id(1)]}),
    ([], {"operation": "depends_on", "param1": "element_id", "param2": ndi_id(0)}),
    ([0, 2, 3], {"operation": "~depends_on", "param1": "*", "param2": ndi_id(0)}),
    ([0], on("subject.name", "exact_string", "Rat")),
    ([], on("subject.name", "exact_string", "rat")),
    ([1, 2, 3], on("subject.name", "~exact_string", "Rat")),
    ([0], on("subject.name", "exact_string_anycase", "rAT")),
    ([3], on("paper.title", "contains_string", "rat")),
    ([3], on("paper.title", "regexp", "^the r.t$")),
    ([2], on("base.id", "exact_string", ndi_id(2))),
    ([0], on("subject.weight", "exact_number", 250)),
    ([0], on("subject.weight", "greaterthan", 249)),
    ([], on("subject.weight", "greaterthan", 250)),
    ([0], on("subject.weight", "greaterthaneq", 250)),
    ([2], on("element.weight", "lessthan", 0)),
    ([2], on("element.weight", "lessthaneq", -1.5)),
    ([0], on("subject.note", "hasfield")),
    ([1, 2, 3], on("subject.note", "~hasfield")),
    ([0], on("subject.tags", "hasmember", "b")),
    ([0], on("subject.tags", "exact_string", "a")),
    ([3], on("paper.people", "hasanysubfield_exact_string", "last", "Beta")),
    ([], on("paper.people", "hasanysubfield_exact_string", "last", "beta")),
    ([3], on("paper.people", "hasanysubfield_contains_string", "first", "AN")),
    ([], on("paper.people", "hasanysubfield_exact_string", ["first", "last"], ["Ann", "Beta"])),
    ([3], on("paper.people.first", "exact_string", "Bob")),
    ([], on("document_class.class_name", "exact_string", "element")),
    (
        [0, 2],
        {
            "operation": "or",
            "param1": [is_a("subject")],
            "param2": on("base.name", "contains_string", "2"),
        },
    ),
]


@pytest.mark.parametrize(("expected", "entry"), CASES, ids=lambda case: str(case)[:60])
def test_operation(api: Api, study: str, expected: list[int], entry: Json) -> None:
    assert numbers(api, study, entry) == expected


def test_entries_are_anded(api: Api, study: str) -> None:
    assert numbers(api, study, is_a("element"), on("element.weight", "lessthan", 0)) == [2]
    assert numbers(api, study) == [0, 1, 2, 3]


def test_answer_is_a_page_of_summaries(api: Api, study: str) -> None:
    sent = {"scope": study, "searchstructure": [is_a("element")]}
    found = ok(api.post("/ndiquery", sent, page=2, pageSize=1))
    (row,) = found.pop("documents")
    assert found == {"number_matches": 2, "page": 2, "pageSize": 1}
    assert set(row) == {"id", "ndiId", "name", "className", "datasetId"}
    assert row["ndiId"] == ndi_id(2)
    sent["searchstructure"] = [on("base.name", "contains_string", "name")]
    found = ok(api.post("/ndiquery", sent, page=3, pageSize=1))
    assert (found["number_matches"], found["documents"][0]["ndiId"]) == (4, ndi_id(2))


@pytest.mark.parametrize(
    "structure",
    [
        None,
        {},
        "isa",
        ["isa"],
        [{"operation": "~or", "param1": [], "param2": []}],
        [{"operation": "no_such"}],
        [on("a", "regexp", "(")],
        [on("", "exact_string", "a")],
        [on("a", "exact_number", "many")],
    ],
)
def test_bad_structures(api: Api, dataset: str, structure: object) -> None:
    sent = {"scope": dataset, "searchstructure": structure}
    assert api.post("/ndiquery", sent).status_code == 400


@pytest.mark.parametrize("scope", ["", "everything", "123", None])
def test_bad_scopes(api: Api, scope: object) -> None:
    assert api.post("/ndiquery", {"scope": scope, "searchstructure": []}).status_code == 400


class TestScope:
    @pytest.fixture(autouse=True)
    def documents(self, sandbox: Sandbox, api: Api, dataset: str, published: str) -> None:
        api.document(dataset, body(1))
        api.document(published, body(2))

    def test_words(self, api: Api) -> None:
        assert numbers(api, "private") == [1]
        assert numbers(api, "public") == [2]
        assert numbers(api, "all") == [1, 2]

    def test_stranger_sees_what_is_public(self, other: Api) -> None:
        assert numbers(other, "private") == []
        assert numbers(other, "public") == numbers(other, "all") == [2]

    def test_inaccessible_ids_are_dropped(self, other: Api, dataset: str, published: str) -> None:
        assert numbers(other, f"{dataset},{published},{UNKNOWN_ID}") == [2]

    def test_without_a_token_nothing_is_found(
        self, sandbox: Sandbox, nobody: Api, published: str
    ) -> None:
        assert numbers(nobody, published) == []
        sandbox.set(anonymous_query="real")
        assert numbers(nobody, published) == numbers(nobody, "all") == [2]

    def test_document_search_ignores_the_token(self, sandbox: Sandbox, api: Api) -> None:
        sent = {"searchstructure": [is_a("base")]}
        for token in (api.token, "garbage", ""):
            with Api(sandbox.url, token) as caller:
                found = ok(caller.post("/documents/search", sent))
                assert [row["ndiId"] for row in found["documents"]] == [ndi_id(2)]

    def test_dataset_search_ignores_the_token(
        self, sandbox: Sandbox, api: Api, published: str
    ) -> None:
        for token in (api.token, "garbage", ""):
            with Api(sandbox.url, token) as caller:
                found = ok(caller.post("/datasets/search", {"query": "PUBLI"}))
                assert [row["id"] for row in found["datasets"]] == [published]
                assert ok(caller.post("/datasets/search", {"query": "no"}))["datasets"] == []


def test_deleted_documents_are_not_found(api: Api, dataset: str) -> None:
    document = api.document(dataset, body(1))
    ok(api.delete(f"/datasets/{dataset}/documents/{document}"))
    assert numbers(api, dataset) == []


def test_updated_body_is_found_as_it_is_now(api: Api, dataset: str) -> None:
    depends_on = [{"name": "subject_id", "value": "x"}]
    document = api.document(dataset, body(1, depends_on=depends_on))
    ok(api.post(f"/datasets/{dataset}/documents/{document}", body(2, "element")))
    assert numbers(api, dataset, {"operation": "depends_on", "param1": "*", "param2": "x"}) == []
    assert numbers(api, dataset, is_a("element")) == [2]
