"""Lists, counts and detail of datasets, from servers that answer in many ways (section 4)."""

from __future__ import annotations

from typing import Any

import pytest

from ndicloudfs.cloud.errors import BadAnswer, ServerFault
from tests.cloud.local_server import LocalServer, Received, Reply, client, reply

ORGANIZATION = "65f0c0ffee0000000000b001"
DATASET = "65f0c0ffee0000000000d001"


def row(number: int) -> dict[str, Any]:
    return {"id": f"{number:024x}", "name": f"Dataset: {number}"}


def paged(rows: list[Any], cap: int = 1000, **envelope: object) -> Any:
    """A server with ``rows`` that gives at most ``cap`` in a page."""

    def answer(received: Received) -> Reply:
        size = min(int(received.query["pageSize"]), cap)
        start = (int(received.query["page"]) - 1) * size
        return reply({"datasets": rows[start : start + size], **envelope})

    return answer


def test_all_pages_are_read_in_the_order_of_the_server(server: LocalServer) -> None:
    rows = [row(number) for number in range(249, 0, -1)]
    server.answer = paged(rows, totalNumber=249)
    found = client(server.origin).datasets.of_organization(ORGANIZATION)
    assert [each.id for each in found] == [each["id"] for each in rows]
    assert [each.query for each in server.received] == [
        {"page": str(page), "pageSize": "100"} for page in (1, 2, 3)
    ]
    assert server.paths()[0] == f"/v1/organizations/{ORGANIZATION}/datasets"


def test_a_server_that_caps_the_page_size_is_read_to_the_end(server: LocalServer) -> None:
    rows = [row(number) for number in range(45)]
    server.answer = paged(rows, cap=20, totalNumber=45)
    assert len(client(server.origin).datasets.published()) == 45
    assert len(server.received) == 3
    server.answer = paged(rows, cap=20)  # and without a total, one more
    assert len(client(server.origin).datasets.published()) == 45
    assert len(server.received) == 3 + 4


def test_the_page_size_can_be_set(server: LocalServer) -> None:
    server.answer = paged([row(number) for number in range(5)], totalNumber=5)
    assert len(client(server.origin).datasets.published(page_size=2)) == 5
    assert len(server.received) == 3


def test_a_server_that_repeats_its_page_comes_to_an_end(server: LocalServer) -> None:
    server.plays(reply({"datasets": [row(1), row(2)], "totalNumber": 99}))
    assert len(client(server.origin).datasets.published()) == 2
    assert len(server.received) == 2


def test_a_server_without_end_is_left_after_1000_pages(server: LocalServer) -> None:
    server.answer = lambda received: reply({"datasets": [row(int(received.query["page"]))]})
    assert len(client(server.origin).datasets.published()) == 1000


def test_odd_rows_are_left_out_and_no_id_comes_twice(server: LocalServer) -> None:
    rows = [row(1), {}, None, 7, "x", {"id": None}, {"_id": "f" * 24}, row(1), {"id": 3}]
    server.plays(reply({"datasets": rows, "totalNumber": 9}))
    found = client(server.origin).datasets.published()
    assert [each.id for each in found] == [row(1)["id"], "f" * 24]
    assert len(server.received) == 1


@pytest.mark.parametrize("nothing", [None, "", [], {}])
def test_nothing_is_an_empty_list(server: LocalServer, nothing: object) -> None:
    server.plays(reply({"datasets": nothing}))
    assert client(server.origin).datasets.published() == []


@pytest.mark.parametrize("broken", [{}, [], [{"id": "1"}], {"datasets": "soon"}, "text", 3])
def test_an_answer_without_list_is_broken(server: LocalServer, broken: object) -> None:
    server.plays(reply(broken))
    with pytest.raises(BadAnswer):
        client(server.origin).datasets.published()


def test_detail_is_checked_to_be_the_dataset(server: LocalServer) -> None:
    datasets = client(server.origin).datasets
    server.plays(reply({"_id": DATASET, "name": "n", "files": [{"uid": "u", "size": 3}]}))
    detail = datasets.detail(DATASET)
    assert (detail.row.name, detail.files[0].size) == ("n", 3)
    for other in ({"_id": "1" * 24}, {"name": "n"}):
        server.plays(reply(other))
        with pytest.raises(BadAnswer, match=r"another dataset|no dataset"):
            datasets.detail(DATASET)


def test_counts(server: LocalServer) -> None:
    datasets = client(server.origin).datasets
    server.plays(reply({"classCounts": {"element": 20, "unknown": 1, "odd": "many"}}))
    assert datasets.class_counts(DATASET) == {"element": 20, "unknown": 1}
    server.plays(reply({"count": 3}))
    assert datasets.document_count(DATASET, include_deleted=True) == 3
    assert server.received[-1].query == {"includeDeleted": "true"}
    server.plays(reply({"classCounts": []}))
    with pytest.raises(BadAnswer, match="no classCounts"):
        datasets.class_counts(DATASET)


@pytest.mark.parametrize("shape", ["datasets", "branches", "list"])
def test_branches_come_in_three_shapes(server: LocalServer, shape: str) -> None:
    rows = [row(1), row(2), {}]
    server.plays(reply(rows if shape == "list" else {shape: rows}))
    found = client(server.origin).datasets.branches(DATASET)
    assert [each.id for each in found] == [row(1)["id"], row(2)["id"]]


def test_a_delete_that_times_out_at_the_gateway_has_happened(server: LocalServer) -> None:
    datasets = client(server.origin).datasets
    server.plays(reply({}, 504))
    datasets.delete(DATASET, "now")
    (received,) = server.received
    assert (received.method, received.query) == ("DELETE", {"when": "now"})
    server.plays(reply({}, 500))
    with pytest.raises(ServerFault):
        datasets.delete(DATASET)


@pytest.mark.parametrize("answer", [Reply(204), Reply(200, b"OK"), reply({"message": "started"})])
def test_the_answer_to_a_change_may_be_anything(server: LocalServer, answer: Reply) -> None:
    server.plays(answer)
    datasets = client(server.origin).datasets
    datasets.update(DATASET, {"name": "new"})
    assert server.received[0].json == {"name": "new"}
    for act in (datasets.undelete, datasets.submit, datasets.publish, datasets.unpublish):
        act(DATASET)
    datasets.bookmark(DATASET)
    datasets.unbookmark(DATASET)
    assert [(each.method, each.path.rsplit("/", 1)[1]) for each in server.received[1:]] == [
        ("POST", "undelete"),
        ("POST", "submit"),
        ("POST", "publish"),
        ("POST", "unpublish"),
        ("POST", "bookmark"),
        ("DELETE", "bookmark"),
    ]


@pytest.mark.parametrize("key", ["id", "_id"])
def test_a_new_dataset_has_its_id_under_either_name(server: LocalServer, key: str) -> None:
    datasets = client(server.origin).datasets
    server.plays(reply({key: DATASET}, 201))
    assert datasets.create(ORGANIZATION, {"name": "n"}) == DATASET
    assert datasets.branch(DATASET, "main") == DATASET
    assert server.received[1].json == {"branchName": "main"}
    server.plays(reply({"message": "ok"}))
    assert datasets.branch(DATASET, "main") == ""
    with pytest.raises(BadAnswer, match="no id"):
        datasets.create(ORGANIZATION, {"name": "n"})
