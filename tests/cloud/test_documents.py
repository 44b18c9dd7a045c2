"""Documents: what is asked for is compared with what comes (sections 5 and 12)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from ndicloudfs.cloud.errors import BadAnswer, ServerFault
from ndicloudfs.cloud.values import Fetched, Json
from tests.cloud.local_server import FakeTime, LocalServer, Received, Reply, client, reply

DATASET = "65f0c0ffee0000000000d001"


def cloud_id(number: int) -> str:
    return f"{number:024x}"


def ndi_id(number: int) -> str:
    return f"{number:016x}_{number:016x}"


def body(number: int) -> Json:
    return {"base": {"id": ndi_id(number)}, "document_class": {"class_name": "subject"}}


def wrapped(number: int, data: object = None) -> Json:
    return {
        "id": cloud_id(number),
        "ndiId": ndi_id(number),
        "className": "subject",
        "data": body(number) if data is None else data,
    }


HOLLOW = {"document_class": {"class_name": "subject"}}


def test_a_page_tells_truthfully_what_came(server: LocalServer) -> None:
    rows = [{"id": cloud_id(1), "ndiId": ndi_id(1)}, {}, None, {"_id": cloud_id(2)}]
    server.plays(reply({"documents": rows, "totalNumber": 743}))
    page = client(server.origin).documents.page(DATASET, 3, 4)
    assert [each.id for each in page.documents] == [cloud_id(1), cloud_id(2)]
    assert [each.class_name for each in page.documents] == ["unknown", "unknown"]
    assert (page.rows, page.total) == (4, 743)
    assert server.received[0].query == {"page": "3", "pageSize": "4"}
    server.plays(reply({"documents": []}))
    assert client(server.origin).documents.page(DATASET, 4).total is None


@pytest.mark.parametrize("key", ["number_matches", "totalItems", "totalNumber"])
def test_a_query_counts_its_matches_under_several_names(server: LocalServer, key: str) -> None:
    server.plays(reply({"documents": [wrapped(1)], key: 5, "page": 1, "pageSize": 20}))
    condition = [{"operation": "isa", "param1": "base"}]
    page = client(server.origin).documents.query(DATASET, condition, 2, 10)
    assert (page.rows, page.total, page.documents[0].class_name) == (1, 5, "subject")
    (received,) = server.received
    assert received.json == {"scope": DATASET, "searchstructure": condition}
    assert received.query == {"page": "2", "pageSize": "10"}


def test_a_query_may_answer_with_ids(server: LocalServer) -> None:
    server.plays(reply({"ids": [cloud_id(1), "x"]}))
    page = client(server.origin).documents.query("public", [])
    assert [each.id for each in page.documents] == [cloud_id(1)]


def test_fetch_gives_only_what_was_asked_for_and_once(server: LocalServer) -> None:
    rows = [wrapped(2), wrapped(9), wrapped(1), wrapped(2, {"base": {"id": "other"}}), {}, None]
    server.plays(reply({"documents": rows}))
    ids = [cloud_id(1), cloud_id(2), cloud_id(3), cloud_id(1)]
    found = client(server.origin).documents.fetch(DATASET, ids)
    assert found.hollow == ()
    assert [(each.summary.id, each.body) for each in found.documents] == [
        (cloud_id(2), body(2)),
        (cloud_id(1), body(1)),
    ]
    assert server.received[0].json == {"documentIds": [cloud_id(1), cloud_id(2), cloud_id(3)]}


def test_hollow_bodies_are_asked_for_once_more(server: LocalServer) -> None:
    documents = client(server.origin).documents
    ids = [cloud_id(1), cloud_id(2), cloud_id(3)]
    server.plays(
        reply({"documents": [wrapped(1), wrapped(2, HOLLOW), wrapped(3, HOLLOW)]}),
        reply({"documents": [wrapped(2), wrapped(3, HOLLOW)]}),
    )
    found = documents.fetch(DATASET, ids)
    assert [each.summary.id for each in found.documents] == [cloud_id(1), cloud_id(2)]
    assert found.hollow == (cloud_id(3),)
    assert server.received[1].json == {"documentIds": [cloud_id(2), cloud_id(3)]}
    assert len(server.received) == 2


def test_a_whole_body_wins_over_a_hollow_one(server: LocalServer) -> None:
    server.plays(reply({"documents": [wrapped(1, HOLLOW), wrapped(1)]}))
    (found,) = client(server.origin).documents.fetch(DATASET, [cloud_id(1)]).documents
    assert found.body == body(1)
    assert len(server.received) == 1


def test_a_document_that_never_had_an_ndi_id_is_not_hollow(server: LocalServer) -> None:
    row = {"id": cloud_id(1), "data": {"note": {"text": "no base"}}}
    server.plays(reply({"documents": [row]}))
    (found,) = client(server.origin).documents.fetch(DATASET, [cloud_id(1)]).documents
    assert found.body == {"note": {"text": "no base"}}


@pytest.mark.parametrize("count", [0, 501])
def test_fetch_takes_1_to_500_ids(server: LocalServer, count: int) -> None:
    documents = client(server.origin).documents
    with pytest.raises(ValueError, match="1 to 500"):
        documents.fetch(DATASET, [cloud_id(number) for number in range(count)])
    server.plays(reply({"documents": []}))
    assert documents.fetch(DATASET, [cloud_id(number % 500) for number in range(2000)]) == Fetched(
        ()
    )
    assert len(server.received[0].json["documentIds"]) == 500


@pytest.mark.parametrize("broken", [{}, [], {"documents": "x"}, None])
def test_a_fetch_without_documents_is_broken(server: LocalServer, broken: object) -> None:
    server.plays(Reply(body=json.dumps(broken).encode()))
    with pytest.raises(BadAnswer):
        client(server.origin).documents.fetch(DATASET, [cloud_id(1)])


@pytest.mark.parametrize(
    "text",
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1" * 400 + ".0", "-" + "1" * 400 + ".0"],
)
def test_a_number_that_json_has_not_becomes_its_sentinel(server: LocalServer, text: str) -> None:
    raw = f'{{"id": "{cloud_id(1)}", "base": {{"id": "x"}}, "v": [{text}, 1.5, 1e3]}}'
    server.plays(Reply(body=raw.encode()))
    found = client(server.origin).documents.get(DATASET, cloud_id(1))
    sign = "-" if text.startswith("-") else ""
    name = "NaN" if text == "NaN" else f"{sign}Infinity"
    assert found.body["v"] == [f"__NDI__{name}__", 1.5, 1000.0]
    json.dumps(found.body, allow_nan=False)


def test_half_a_surrogate_pair_becomes_a_question_mark(server: LocalServer) -> None:
    raw = r'{"id": "%s", "base": {"id": "x"}, "k\ud800": ["\udfff!", "\ud83d\ude00"]}'
    server.plays(Reply(body=(raw % cloud_id(1)).encode()))
    found = client(server.origin).documents.get(DATASET, cloud_id(1))
    assert found.body == {"base": {"id": "x"}, "k?": ["?!", "\U0001f600"]}


def test_a_number_too_long_for_python_is_a_broken_answer(server: LocalServer) -> None:
    raw = f'{{"id": "{cloud_id(1)}", "v": {"1" * 5000}}}'
    server.plays(Reply(body=raw.encode()))
    with pytest.raises(BadAnswer, match="not JSON"):
        client(server.origin).documents.get(DATASET, cloud_id(1))


def test_one_document_is_checked_to_be_the_one(server: LocalServer) -> None:
    documents = client(server.origin).documents
    for answer in ({"id": cloud_id(1), **body(1)}, body(1), {"_id": cloud_id(1), "data": body(1)}):
        server.plays(reply(answer))
        assert documents.get(DATASET, cloud_id(1)).body == body(1)
    others: list[object] = [{"id": cloud_id(2), **body(2)}, {"id": cloud_id(1)}, {"id": 5}, []]
    for wrong in others:
        server.plays(reply(wrong))
        with pytest.raises(BadAnswer):
            documents.get(DATASET, cloud_id(1))


def test_changes(server: LocalServer) -> None:
    server.plays(reply({"id": cloud_id(7)}, 201))
    documents = client(server.origin).documents
    assert documents.add(DATASET, body(7)) == cloud_id(7)
    documents.update(DATASET, cloud_id(7), body(8))
    documents.delete(DATASET, cloud_id(7), "now")
    added, updated, deleted = server.received
    assert (added.method, added.json) == ("POST", body(7))
    assert (updated.method, updated.json) == ("POST", body(8))
    assert deleted.path.endswith("/documents/bulk-delete")
    assert deleted.json == {"documentIds": [cloud_id(7)], "when": "now"}


def test_a_body_that_is_not_strict_json_is_not_sent(server: LocalServer) -> None:
    documents = client(server.origin).documents
    with pytest.raises(ValueError, match="JSON"):
        documents.add(DATASET, {"v": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        documents.bulk_upload(DATASET, [{"v": float("inf")}])
    assert server.received == []


def test_many_documents_are_deleted_1000_at_a_time(server: LocalServer) -> None:
    server.plays(Reply(204))
    ids = [cloud_id(number) for number in range(2500)]
    client(server.origin).documents.bulk_delete(DATASET, ids + ids)
    assert [len(each.json["documentIds"]) for each in server.received] == [1000, 1000, 500]
    assert [each.json["when"] for each in server.received] == ["7d"] * 3


def test_deleted_documents_are_listed(server: LocalServer) -> None:
    server.plays(reply({"documents": [{"id": cloud_id(1)}]}))
    page = client(server.origin).documents.deleted(DATASET)
    assert [each.id for each in page.documents] == [cloud_id(1)]
    assert server.paths() == [f"/v1/datasets/{DATASET}/documents/deleted"]


def uploading(server: LocalServer, put: Reply) -> Any:
    def answer(received: Received) -> Reply:
        if received.method == "PUT":
            return put
        return reply({"url": f"{server.origin}/bucket/key?sig=1"}, 201)

    return answer


def test_bodies_are_uploaded_as_one_array_in_a_zip(server: LocalServer) -> None:
    server.answer = uploading(server, Reply())
    bodies = [{**body(number), "v": "__NDI__NaN__", "s": "ä"} for number in range(100)]

    def one_by_one() -> Iterator[Json]:
        yield from bodies

    assert client(server.origin, token="t").documents.bulk_upload(DATASET, one_by_one()) == 100
    asked, put = server.received
    assert (asked.method, asked.body) == ("POST", b"")
    assert "Authorization" not in put.headers
    assert put.headers["Content-Length"] == str(len(put.body))
    with zipfile.ZipFile(io.BytesIO(put.body)) as archive:
        (member,) = archive.namelist()
        assert json.loads(archive.read(member)) == bodies


def test_an_upload_is_never_tried_again(server: LocalServer, time: FakeTime) -> None:
    server.answer = uploading(server, Reply(503))
    with pytest.raises(ServerFault):
        client(server.origin, time).documents.bulk_upload(DATASET, [body(1)])
    assert [each.method for each in server.received] == ["POST", "PUT"]
    assert time.slept == []


def test_no_bodies_are_no_upload(server: LocalServer) -> None:
    assert client(server.origin).documents.bulk_upload(DATASET, []) == 0
    assert server.received == []


def test_a_download_names_its_ids_once_each(server: LocalServer) -> None:
    server.plays(reply({"url": "https://bucket/zip?sig=1"}))
    documents = client(server.origin).documents
    url = documents.bulk_download_url(DATASET, [cloud_id(1), cloud_id(2), cloud_id(1)])
    assert url == "https://bucket/zip?sig=1"
    assert server.received[0].json == {"documentIds": [cloud_id(1), cloud_id(2)]}
    with pytest.raises(ValueError, match="no ids"):
        documents.bulk_download_url(DATASET, [])
    server.plays(reply({}))
    with pytest.raises(BadAnswer, match="no url"):
        documents.bulk_download_url(DATASET, [cloud_id(1)])
