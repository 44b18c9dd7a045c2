"""Sections 4.1 - 4.5, 4.8, 4.9: lists, detail, create, update, branches, bookmarks, counts."""

from __future__ import annotations

import re

import pytest

from tests.sandbox.raw import UNKNOWN_ID, Api, body, ok, upload
from tests.support.sandbox import Sandbox

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ALWAYS = {
    "id",
    "name",
    "organizationId",
    "createdAt",
    "updatedAt",
    "branchName",
    "isPublished",
    "isSubscribed",
    "isDeleted",
    "contributors",
    "correspondingAuthors",
    "funding",
    "totalSize",
    "documentCount",
}


def rows(api: Api, path: str, **query: object) -> list[str]:
    return [row["id"] for row in ok(api.get(path, **query))["datasets"]]


def of_organization(sandbox: Sandbox) -> str:
    return f"/organizations/{sandbox.organization_id}/datasets"


class TestCreate:
    def test_answer_is_201_with_id(self, sandbox: Sandbox, api: Api) -> None:
        sent = {"name": "Example", "species": "Mus musculus", "numberOfSubjects": 3, "no": "such"}
        answer = api.post(of_organization(sandbox), sent)
        assert answer.status_code == 201
        made = answer.json()
        assert re.fullmatch("[0-9a-f]{24}", made["id"])
        assert "_id" not in made
        detail = api.detail(made["id"])
        assert (detail["species"], detail["numberOfSubjects"]) == ("Mus musculus", 3)
        assert "no" not in detail

    def test_name_is_required(self, sandbox: Sandbox, api: Api) -> None:
        assert api.post(of_organization(sandbox), {}).status_code == 400

    def test_in_somebody_elses_organization(self, sandbox: Sandbox, other: Api) -> None:
        assert other.post(of_organization(sandbox), {"name": "x"}).status_code == 403

    def test_unknown_organization(self, api: Api) -> None:
        answer = api.post(f"/organizations/{UNKNOWN_ID}/datasets", {"name": "x"})
        assert answer.status_code == 404


class TestLists:
    def test_row_has_the_fields_that_are_defined_and_no_others(
        self, sandbox: Sandbox, api: Api
    ) -> None:
        bare = api.dataset(sandbox.organization_id, name="bare")
        api.dataset(
            sandbox.organization_id,
            name="full",
            abstract="a",
            doi="d",
            license="CC-BY-4.0",
            species="not in a row",
            description="neither",
        )
        first, second = ok(api.get(of_organization(sandbox)))["datasets"]
        assert first["id"] == bare
        assert set(first) == ALWAYS
        assert set(second) == ALWAYS | {"abstract", "doi", "license"}
        assert TIME.fullmatch(first["createdAt"])
        assert (first["isPublished"], first["totalSize"], first["documentCount"]) == (False, 0, 0)

    def test_uploaded_at_comes_with_the_first_file(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        upload(sandbox, api, dataset, "uid", b"12345")
        (row,) = ok(api.get(of_organization(sandbox)))["datasets"]
        assert TIME.fullmatch(row["uploadedAt"])
        assert row["totalSize"] == 5

    def test_pages(self, sandbox: Sandbox, api: Api) -> None:
        made = [api.dataset(sandbox.organization_id, name=str(n)) for n in range(23)]
        path = of_organization(sandbox)
        envelope = ok(api.get(path))
        assert (envelope["totalNumber"], envelope["page"], envelope["pageSize"]) == (23, 1, 20)
        assert len(envelope["datasets"]) == 20
        assert rows(api, path, page=2) == made[20:]
        assert rows(api, path, page=3, pageSize=10) == made[20:]
        assert rows(api, path, page=4, pageSize=10) == []
        sandbox.set(dataset_order="reversed", list_echo_page=False, max_dataset_page_size=5)
        envelope = ok(api.get(path, pageSize=100))
        assert set(envelope) == {"totalNumber", "datasets"}
        assert [row["id"] for row in envelope["datasets"]] == made[:-6:-1]

    def test_published_is_for_everybody_and_echoes_no_page(
        self, nobody: Api, dataset: str, published: str
    ) -> None:
        envelope = ok(nobody.get("/datasets/published", pageSize=100))
        assert set(envelope) == {"totalNumber", "datasets"}
        assert [row["id"] for row in envelope["datasets"]] == [published]

    def test_published_ignores_the_token(self, sandbox: Sandbox, published: str) -> None:
        with Api(sandbox.url, "garbage") as caller:
            assert rows(caller, "/datasets/published") == [published]

    def test_unpublished_is_the_review_queue(
        self, api: Api, other: Api, dataset: str, published: str
    ) -> None:
        assert rows(api, "/datasets/unpublished") == []
        ok(api.post(f"/datasets/{dataset}/submit"))
        assert rows(api, "/datasets/unpublished") == [dataset]
        assert rows(other, "/datasets/unpublished") == []

    def test_organization_list_is_filtered_by_what_the_caller_may_see(
        self, sandbox: Sandbox, api: Api, other: Api, dataset: str, published: str
    ) -> None:
        assert rows(api, of_organization(sandbox)) == [dataset, published]
        assert rows(other, of_organization(sandbox)) == [published]

    @pytest.mark.parametrize("name", ["unpublished", "deleted", f"user/{UNKNOWN_ID}/bookmarks"])
    def test_lists_that_need_a_token(self, nobody: Api, name: str) -> None:
        assert nobody.get(f"/datasets/{name}").status_code == 401

    def test_organization_list_needs_a_token(self, sandbox: Sandbox, nobody: Api) -> None:
        assert nobody.get(of_organization(sandbox)).status_code == 401


class TestDetail:
    def test_is_the_raw_document(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        document = api.document(dataset, body())
        upload(sandbox, api, dataset, "uid", b"12345")
        detail = api.detail(dataset)
        assert (detail["_id"], detail["__v"]) == (dataset, 0)
        assert "id" not in detail
        assert detail["documents"] == [document]
        assert detail["files"] == [
            {"uid": "uid", "uploaded": True, "size": 5, "sourceDatasetId": dataset}
        ]
        assert detail["publishProgress"] == {"total": 0, "completed": 0, "failed": 0}
        assert (detail["isPublishing"], detail["isUnpublishing"]) == (False, False)

    def test_documents_may_be_empty_although_there_are_some(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        api.document(dataset, body())
        sandbox.set(detail_documents=False)
        assert api.detail(dataset)["documents"] == []

    def test_is_open_when_published(self, nobody: Api, published: str) -> None:
        assert nobody.detail(published)["isPublished"] is True

    def test_draft_is_hidden_from_strangers(
        self, sandbox: Sandbox, nobody: Api, other: Api, dataset: str
    ) -> None:
        for caller in (nobody, other):
            for status in (401, 403, 404):
                sandbox.set(private_status=status)
                assert caller.get(f"/datasets/{dataset}").status_code == status

    def test_unknown_and_malformed_ids(self, api: Api) -> None:
        assert api.get(f"/datasets/{UNKNOWN_ID}").status_code == 404
        assert api.get("/datasets/not-a-valid-id").status_code == 500

    def test_stored_document_counter_drifts(self, api: Api, dataset: str) -> None:
        document = api.document(dataset, body())
        api.delete(f"/datasets/{dataset}/documents/{document}")
        assert api.detail(dataset)["documentCount"] == 1
        assert ok(api.get(f"/datasets/{dataset}/document-count"))["count"] == 0


class TestUpdate:
    def test_changes_what_is_sent(self, api: Api, dataset: str) -> None:
        before = api.detail(dataset)
        answer = ok(api.post(f"/datasets/{dataset}", {"name": "New", "neurons": 4, "files": []}))
        assert answer["id"] == dataset
        after = api.detail(dataset)
        assert (after["name"], after["neurons"]) == ("New", 4)
        assert after["branchName"] == before["branchName"]
        assert after["updatedAt"] >= before["updatedAt"]

    def test_withdraws_a_submission(self, api: Api, dataset: str) -> None:
        ok(api.post(f"/datasets/{dataset}/submit"))
        ok(api.post(f"/datasets/{dataset}", {"isSubmitted": False}))
        assert api.detail(dataset)["isSubmitted"] is False

    def test_needs_the_right(self, nobody: Api, other: Api, dataset: str, published: str) -> None:
        assert nobody.post(f"/datasets/{dataset}", {"name": "x"}).status_code == 401
        assert other.post(f"/datasets/{dataset}", {"name": "x"}).status_code == 403
        assert other.post(f"/datasets/{published}", {"name": "x"}).status_code == 403

    def test_published_may_be_read_only(self, sandbox: Sandbox, api: Api, published: str) -> None:
        ok(api.post(f"/datasets/{published}", {"name": "x"}))
        sandbox.set(published_read_only=True)
        assert api.post(f"/datasets/{published}", {"name": "y"}).status_code == 403

    def test_documents_may_leave_updated_at_alone(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        sandbox.set(documents_touch_dataset=False)
        before = api.detail(dataset)["updatedAt"]
        api.document(dataset, body())
        assert api.detail(dataset)["updatedAt"] == before


class TestBranches:
    def test_shares_objects_with_its_origin(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        api.document(dataset, body())
        upload(sandbox, api, dataset, "uid", b"12345")
        branch = ok(api.post(f"/datasets/{dataset}/branch", {"branchName": "b"}))["id"]
        detail = api.detail(branch)
        assert (detail["branchName"], detail["branchOf"]) == ("b", dataset)
        assert detail["files"][0]["sourceDatasetId"] == dataset
        assert len(detail["documents"]) == 1
        assert detail["documents"] != api.detail(dataset)["documents"]
        assert ok(api.file_detail(branch, "uid"))["downloadUrl"]

    def test_name_is_optional(self, api: Api, dataset: str) -> None:
        assert ok(api.post(f"/datasets/{dataset}/branch"))["id"] != dataset

    def test_list(self, sandbox: Sandbox, api: Api, nobody: Api, published: str) -> None:
        branch = ok(api.post(f"/datasets/{published}/branch", {"branchName": "b"}))["id"]
        path = f"/datasets/{published}/branches"
        assert [row["id"] for row in ok(api.get(path))["datasets"]] == [branch]
        assert ok(nobody.get(path)) == {"datasets": []}
        sandbox.set(branches_shape="branches")
        assert [row["branchName"] for row in ok(api.get(path))["branches"]] == ["b"]
        sandbox.set(branches_shape="list")
        assert [row["id"] for row in api.get(path).json()] == [branch]


def test_bookmarks(sandbox: Sandbox, api: Api, other: Api, published: str) -> None:
    me = ok(other.get("/users/me"))["id"]
    path = f"/datasets/user/{me}/bookmarks"
    ok(other.post(f"/datasets/{published}/bookmark"))
    assert ok(other.get("/users/me"))["bookmarkedDatasetIds"] == [published]
    assert rows(other, path) == [published]
    sandbox.set(bookmarks_shape="list")
    assert [row["id"] for row in other.get(path).json()] == [published]
    ok(other.delete(f"/datasets/{published}/bookmark"))
    assert other.get(path).json() == []
    mine = ok(api.get("/users/me"))["id"]
    assert other.get(f"/datasets/user/{mine}/bookmarks").status_code == 403


class TestCounts:
    def test_document_count(self, api: Api, nobody: Api, dataset: str, published: str) -> None:
        first, _ = api.document(dataset, body(1)), api.document(dataset, body(2))
        api.delete(f"/datasets/{dataset}/documents/{first}")
        path = f"/datasets/{dataset}/document-count"
        assert ok(api.get(path)) == {"datasetId": dataset, "count": 1}
        assert ok(api.get(path, includeDeleted="true"))["count"] == 2
        assert nobody.get(path).status_code == 403
        assert ok(nobody.get(f"/datasets/{published}/document-count"))["count"] == 0

    def test_class_counts(self, api: Api, dataset: str) -> None:
        for number, name in enumerate(["element", "element", "subject", ""]):
            api.document(dataset, body(number, name))
        api.document(dataset, {})
        deleted = api.document(dataset, body(9, "element"))
        api.delete(f"/datasets/{dataset}/documents/{deleted}")
        assert ok(api.get(f"/datasets/{dataset}/document-class-counts")) == {
            "datasetId": dataset,
            "totalDocuments": 5,
            "classCounts": {"element": 2, "subject": 1, "unknown": 2},
        }


def test_routes_that_are_not_there(api: Api) -> None:
    assert api.get("/nothing/here").status_code == 404
    assert api.call("PUT", "/datasets/published").status_code == 404


def test_json_is_compressed_for_who_asks_for_it(sandbox: Sandbox, api: Api) -> None:
    for number in range(5):
        api.dataset(sandbox.organization_id, name=f"{number}" * 200)
    path = of_organization(sandbox)
    compressed = api.call("GET", path, headers={"Accept-Encoding": "gzip"})
    plain = api.call("GET", path, headers={"Accept-Encoding": "identity"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert compressed.json() == plain.json()


def test_answers_may_be_too_large(sandbox: Sandbox, api: Api, dataset: str) -> None:
    sandbox.set(answer_limit=100)
    assert api.get(f"/datasets/{dataset}").status_code == 502
