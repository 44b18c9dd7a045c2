"""Sections 5.1 - 5.5, 5.7: documents one by one, and their lists."""

from __future__ import annotations

import json

import pytest
import requests

from tests.sandbox.raw import TIMEOUT, UNKNOWN_ID, Api, body, fetch, file_body, ndi_id, ok, upload
from tests.support.sandbox import Sandbox


def path(dataset: str, document: str = "") -> str:
    return f"/datasets/{dataset}/documents" + (f"/{document}" if document else "")


class TestList:
    def test_row_is_a_summary(self, api: Api, dataset: str) -> None:
        document = api.document(dataset, body(1))
        assert ok(api.get(path(dataset))) == {
            "documents": [
                {
                    "id": document,
                    "ndiId": ndi_id(1),
                    "name": "name 1",
                    "className": "subject",
                    "datasetId": dataset,
                }
            ],
            "totalNumber": 1,
            "page": 1,
            "pageSize": 20,
        }

    def test_what_the_body_does_not_say_is_absent(self, api: Api, dataset: str) -> None:
        document = api.document(dataset, {"anything": 1})
        (row,) = ok(api.get(path(dataset)))["documents"]
        assert row == {"id": document, "datasetId": dataset}

    def test_pages(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        made = [api.document(dataset, body(n)) for n in range(23)]

        def ids(**query: object) -> list[str]:
            return [row["id"] for row in ok(api.get(path(dataset), **query))["documents"]]

        assert ids() == made[:20]
        assert ids(page=2) == made[20:]
        assert ids(page=3, pageSize=10) == made[20:]
        assert ids(page=4, pageSize=10) == []
        assert ok(api.get(path(dataset), pageSize=5000))["pageSize"] == 1000
        sandbox.set(document_order="reversed", document_list_total=False)
        assert ids(pageSize=5) == made[:-6:-1]
        assert set(ok(api.get(path(dataset)))) == {"documents"}

    def test_is_open_when_published(self, nobody: Api, dataset: str, published: str) -> None:
        assert ok(nobody.get(path(published)))["documents"] == []
        assert nobody.get(path(dataset)).status_code == 403


class TestOne:
    def test_body_is_hoisted(self, api: Api, dataset: str) -> None:
        document = api.document(dataset, body())
        assert ok(api.get(path(dataset, document))) == {"id": document, **body()}

    def test_location_of_a_file_becomes_a_url(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        document = api.document(dataset, file_body(1, "uid"))
        before = ok(api.get(path(dataset, document)))
        assert before == {"id": document, **file_body(1, "uid")}
        upload(sandbox, api, dataset, "uid", b"12345")
        place = ok(api.get(path(dataset, document)))["files"]["file_info"]["locations"]
        assert fetch(place.pop("location")).content == b"12345"
        assert place == {"uid": "uid", "location_type": "file", "ingest": 1}

    def test_unknown_id(self, api: Api, dataset: str) -> None:
        assert api.get(path(dataset, UNKNOWN_ID)).status_code == 404

    def test_ndi_id_is_a_cast_error(self, api: Api, dataset: str) -> None:
        api.document(dataset, body(1))
        answer = api.get(path(dataset, ndi_id(1)))
        assert answer.status_code == 500
        assert "Cast to ObjectId failed" in answer.json()["message"]

    def test_of_another_dataset(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        document = api.document(dataset, body())
        elsewhere = api.dataset(sandbox.organization_id)
        assert api.get(path(elsewhere, document)).status_code == 404

    def test_is_hidden_with_its_dataset(self, nobody: Api, api: Api, dataset: str) -> None:
        document = api.document(dataset, body())
        assert nobody.get(path(dataset, document)).status_code == 403


class TestAdd:
    def test_ndi_ids_need_not_be_unique(self, api: Api, dataset: str) -> None:
        first, second = api.document(dataset, body(1)), api.document(dataset, body(1))
        assert first != second
        rows = ok(api.get(path(dataset)))["documents"]
        assert [row["ndiId"] for row in rows] == [ndi_id(1)] * 2

    def test_status_may_be_201(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        sandbox.set(create_status=201)
        assert api.post(path(dataset), body()).status_code == 201

    def test_non_finite_numbers_come_back_as_sentinels(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        text = '{"a":[NaN,Infinity,-Infinity,1e999,null,1.5]}'
        headers = {"Authorization": f"Bearer {api.token}", "Content-Type": "application/json"}
        url = sandbox.url + path(dataset)
        answer = requests.post(url, data=text, headers=headers, timeout=TIMEOUT)
        stored = api.get(path(dataset, ok(answer)["id"]))
        assert json.loads(stored.text, parse_constant=pytest.fail)["a"] == [
            "__NDI__NaN__",
            "__NDI__Infinity__",
            "__NDI__-Infinity__",
            "__NDI__Infinity__",
            None,
            1.5,
        ]

    def test_any_text_survives(self, api: Api, dataset: str) -> None:
        odd = {"text": 'ä€😀 "\\\n\u0000 \ud83d', "": [[], {}, [[1]]], "files": "odd"}
        document = api.document(dataset, odd)
        assert ok(api.get(path(dataset, document))) == {"id": document, **odd}

    def test_id_beside_the_blocks_is_dropped(self, api: Api, dataset: str) -> None:
        document = api.document(dataset, {"id": "mine", **body()})
        assert ok(api.get(path(dataset, document)))["id"] == document

    @pytest.mark.parametrize("text", [b"[1]", b"{", b'"text"', b'{"a": "\xff"}'])
    def test_what_is_no_object_is_400(
        self, sandbox: Sandbox, api: Api, dataset: str, text: bytes
    ) -> None:
        headers = {"Authorization": f"Bearer {api.token}"}
        url = sandbox.url + path(dataset)
        assert requests.post(url, text, headers=headers, timeout=TIMEOUT).status_code == 400

    def test_what_the_gateway_does_not_take_is_413(self, api: Api, dataset: str) -> None:
        assert api.post(path(dataset), {"text": "x" * 11_000_000}).status_code == 413

    def test_needs_the_right(self, nobody: Api, other: Api, dataset: str, published: str) -> None:
        assert nobody.post(path(published), body()).status_code == 401
        assert other.post(path(published), body()).status_code == 403
        assert other.post(path(dataset), body()).status_code == 403


class TestUpdate:
    def test_replaces_the_body(self, api: Api, dataset: str) -> None:
        document = api.document(dataset, body(1, subject={"a": 1}))
        ok(api.post(path(dataset, document), body(2, "element")))
        assert ok(api.get(path(dataset, document))) == {"id": document, **body(2, "element")}
        (row,) = ok(api.get(path(dataset)))["documents"]
        assert (row["ndiId"], row["className"]) == (ndi_id(2), "element")

    def test_unknown_id(self, api: Api, dataset: str) -> None:
        assert api.post(path(dataset, UNKNOWN_ID), body()).status_code == 404
        assert api.post(path(dataset, ndi_id(1)), body()).status_code == 500


class TestDelete:
    def test_hides_at_once_and_lists_as_deleted(self, api: Api, dataset: str) -> None:
        document = api.document(dataset, body(1))
        assert "message" in ok(api.delete(path(dataset, document), when="1d"))
        assert api.get(path(dataset, document)).status_code == 404
        assert ok(api.get(path(dataset)))["documents"] == []
        (row,) = ok(api.get(path(dataset, "deleted")))["documents"]
        assert (row["id"], row["ndiId"]) == (document, ndi_id(1))
        assert api.delete(path(dataset, document)).status_code == 404

    def test_now_is_final(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        document = api.document(dataset, body(1))
        ok(api.delete(path(dataset, document), when="now"))
        sandbox.idle()
        assert ok(api.get(path(dataset, "deleted")))["documents"] == []

    def test_status_may_be_204(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        sandbox.set(delete_status=204)
        document = api.document(dataset, body(1))
        assert api.delete(path(dataset, document)).status_code == 204

    def test_deleted_list_is_for_the_owner(self, nobody: Api, other: Api, published: str) -> None:
        assert nobody.get(path(published, "deleted")).status_code == 401
        assert other.get(path(published, "deleted")).status_code == 403
