"""Sections 5.6, 5.8 - 5.10: bulk-fetch, bulk-download, bulk-upload, bulk-delete."""

from __future__ import annotations

import json

import pytest

from tests.sandbox.raw import (
    UNKNOWN_ID,
    Api,
    Json,
    body,
    fetch,
    file_body,
    ndi_id,
    ok,
    put,
    unzipped,
    upload,
    zipped,
)
from tests.support.sandbox import Sandbox


def bulk(dataset: str, verb: str) -> str:
    return f"/datasets/{dataset}/documents/bulk-{verb}"


def ndi_ids(api: Api, dataset: str) -> list[str]:
    documents = ok(api.get(f"/datasets/{dataset}/documents", pageSize=1000))["documents"]
    return [row.get("ndiId", "") for row in documents]


class TestFetch:
    def fetched(self, api: Api, dataset: str, ids: list[str]) -> list[Json]:
        answer = ok(api.post(bulk(dataset, "fetch"), {"documentIds": ids}))
        assert set(answer) == {"documents"}
        documents: list[Json] = answer["documents"]
        return documents

    def test_body_is_wrapped(self, api: Api, dataset: str) -> None:
        document = api.document(dataset, body(1))
        assert self.fetched(api, dataset, [document]) == [
            {
                "id": document,
                "ndiId": ndi_id(1),
                "name": "name 1",
                "className": "subject",
                "datasetId": dataset,
                "data": body(1),
            }
        ]

    def test_location_of_a_file_becomes_a_url(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        there, missing = (
            api.document(dataset, file_body(1, "there")),
            api.document(dataset, file_body(2, "missing")),
        )
        upload(sandbox, api, dataset, "there", b"12345")
        bodies = {row["id"]: row["data"] for row in self.fetched(api, dataset, [there, missing])}
        assert bodies[missing] == file_body(2, "missing")
        place = bodies[there]["files"]["file_info"]["locations"]
        assert fetch(place["location"]).content == b"12345"

    def test_omits_silently_what_is_not_there(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        kept, deleted = api.document(dataset, body(1)), api.document(dataset, body(2))
        api.delete(f"/datasets/{dataset}/documents/{deleted}")
        foreign = api.document(api.dataset(sandbox.organization_id), body(3))
        asked = [UNKNOWN_ID, foreign, deleted, kept, kept]
        assert [row["id"] for row in self.fetched(api, dataset, asked)] == [kept]

    @pytest.mark.parametrize(
        "asked", [[], "one", None, ["not-hex"], [ndi_id(1)], [1], [UNKNOWN_ID] * 501]
    )
    def test_bad_requests(self, api: Api, dataset: str, asked: object) -> None:
        assert api.post(bulk(dataset, "fetch"), {"documentIds": asked}).status_code == 400

    def test_at_most_500(self, api: Api, dataset: str) -> None:
        assert self.fetched(api, dataset, [UNKNOWN_ID] * 500) == []

    def test_is_open_when_published(self, nobody: Api, dataset: str, published: str) -> None:
        assert self.fetched(nobody, published, [UNKNOWN_ID]) == []
        sent = {"documentIds": [UNKNOWN_ID]}
        assert nobody.post(bulk(dataset, "fetch"), sent).status_code == 403


class TestDownload:
    def downloaded(self, sandbox: Sandbox, api: Api, dataset: str, sent: Json) -> list[Json]:
        url = ok(api.post(bulk(dataset, "download"), sent))["url"]
        sandbox.idle()
        return unzipped(fetch(url).content)

    def test_zip_is_there_later(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        sandbox.set(bulk_download=3600)
        url = ok(api.post(bulk(dataset, "download"), {"documentIds": []}))["url"]
        assert fetch(url).status_code == 404
        sandbox.set(missing_object_status=403)
        assert fetch(url).status_code == 403

    def test_bodies_have_their_cloud_id_and_no_urls(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        upload(sandbox, api, dataset, "uid", b"12345")
        ids = [api.document(dataset, body(1)), api.document(dataset, file_body(2, "uid"))]
        expected = [{"id": ids[0], **body(1)}, {"id": ids[1], **file_body(2, "uid")}]
        assert self.downloaded(sandbox, api, dataset, {"documentIds": []}) == expected
        assert self.downloaded(sandbox, api, dataset, {"documentIds": ids[1:]}) == expected[1:]

    def test_id_named_twice_comes_twice(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        document = api.document(dataset, body(1))
        asked = {"documentIds": [document, UNKNOWN_ID, document]}
        assert len(self.downloaded(sandbox, api, dataset, asked)) == 2

    def test_without_ids_bodies_may_be_hollow(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        document = api.document(dataset, body(1))
        assert self.downloaded(sandbox, api, dataset, {})[0]["base"]
        sandbox.set(bulk_download_all="hollow")
        assert self.downloaded(sandbox, api, dataset, {}) == [
            {"id": document, "document_class": {"class_name": "subject"}}
        ]

    @pytest.mark.parametrize("asked", ["one", [""], [ndi_id(1)]])
    def test_bad_requests(self, api: Api, dataset: str, asked: object) -> None:
        assert api.post(bulk(dataset, "download"), {"documentIds": asked}).status_code == 400

    def test_status_may_be_201(self, sandbox: Sandbox, nobody: Api, published: str) -> None:
        sandbox.set(url_status=201)
        assert nobody.post(bulk(published, "download"), {"documentIds": []}).status_code == 201


class TestUpload:
    def url(self, api: Api, dataset: str) -> str:
        answer = ok(api.post(bulk(dataset, "upload")))
        assert set(answer) == {"url"}
        return str(answer["url"])

    def test_array_in_one_member(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        content = zipped({"x.json": json.dumps([body(1), body(2), {"a": float("nan")}])})
        assert put(self.url(api, dataset), content).status_code == 200
        sandbox.idle()
        assert ndi_ids(api, dataset) == [ndi_id(1), ndi_id(2), ""]
        assert api.detail(dataset)["documentCount"] == 3

    def test_document_per_member(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        content = zipped({f"{n}.json": json.dumps(body(n)) for n in range(3)})
        put(self.url(api, dataset), content)
        sandbox.idle()
        assert ndi_ids(api, dataset) == [ndi_id(0), ndi_id(1), ndi_id(2)]

    def test_duplicates_are_not_suppressed(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        content = zipped({"x.json": json.dumps([body(1)])})
        for _ in range(2):
            put(self.url(api, dataset), content)
        sandbox.idle()
        assert ndi_ids(api, dataset) == [ndi_id(1)] * 2

    def test_more_documents_than_are_stored_at_once(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        put(self.url(api, dataset), zipped({"x.json": json.dumps([body(n) for n in range(1203)])}))
        sandbox.idle()
        assert ok(api.get(f"/datasets/{dataset}/document-count"))["count"] == 1203

    def test_nothing_comes_before_its_time(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        sandbox.set(document_import=3600)
        put(self.url(api, dataset), zipped({"x.json": json.dumps([body(1)])}))
        assert ndi_ids(api, dataset) == []

    def test_broken_zip_leaves_nothing(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        assert put(self.url(api, dataset), b"no zip").status_code == 200
        sandbox.idle()
        assert ndi_ids(api, dataset) == []

    def test_needs_the_right(self, nobody: Api, other: Api, published: str) -> None:
        assert nobody.post(bulk(published, "upload")).status_code == 401
        assert other.post(bulk(published, "upload")).status_code == 403


class TestDelete:
    def test_hides_many(self, api: Api, dataset: str) -> None:
        ids = [api.document(dataset, body(n)) for n in range(3)]
        ok(api.post(bulk(dataset, "delete"), {"documentIds": [*ids[:2], UNKNOWN_ID]}))
        assert ndi_ids(api, dataset) == [ndi_id(2)]
        deleted = ok(api.get(f"/datasets/{dataset}/documents/deleted"))["documents"]
        assert [row["id"] for row in deleted] == ids[:2]

    def test_now_is_final(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        sent = {"documentIds": [api.document(dataset, body(1))], "when": "now"}
        ok(api.post(bulk(dataset, "delete"), sent))
        sandbox.idle()
        assert ok(api.get(f"/datasets/{dataset}/documents/deleted"))["documents"] == []

    def test_ids_must_be_an_array(self, api: Api, dataset: str) -> None:
        document = api.document(dataset, body(1))
        sent = {"documentIds": document}
        assert api.post(bulk(dataset, "delete"), sent).status_code == 400
        assert ndi_ids(api, dataset) == [ndi_id(1)]

    def test_bad_ids_are_refused_or_ignored(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        sent = {"documentIds": [ndi_id(1), api.document(dataset, body(1))]}
        assert api.post(bulk(dataset, "delete"), sent).status_code == 400
        sandbox.set(bulk_delete_bad_ids="ignored")
        ok(api.post(bulk(dataset, "delete"), sent))
        assert ndi_ids(api, dataset) == []
