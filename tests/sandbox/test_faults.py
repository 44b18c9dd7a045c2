"""Section 12 and what else can go wrong: faults that are ordered."""

from __future__ import annotations

import http.client
import json
import threading
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox.raw import Api, body, fetch, ndi_id, ok, put, unzipped, upload
from tests.support.sandbox import Sandbox

ME = "GET /users/me"
FETCH = "POST /datasets/{id}/documents/bulk-fetch"
CONTENT = b"0123456789"


@pytest.fixture
def url(sandbox: Sandbox, api: Api, dataset: str) -> str:
    """Where CONTENT is to be had."""
    upload(sandbox, api, dataset, "uid", CONTENT)
    return str(ok(api.file_detail(dataset, "uid"))["downloadUrl"])


def test_count_and_skip(sandbox: Sandbox, api: Api) -> None:
    sandbox.fault(ME, "status", count=2, skip=1, status=503)
    assert [api.get("/users/me").status_code for _ in range(4)] == [200, 503, 503, 200]


def test_for_ever_until_cleared(sandbox: Sandbox, api: Api) -> None:
    sandbox.fault("*", "status", count=-1, status=429)
    assert {api.get("/users/me").status_code for _ in range(5)} == {429}
    assert sandbox.control("GET", "/faults")["faults"][0]["count"] == -1
    sandbox.clear_faults()
    ok(api.get("/users/me"))


def test_only_the_route_that_was_chosen(sandbox: Sandbox, api: Api, dataset: str) -> None:
    sandbox.fault("GET /datasets/{datasetId}", "status", status=504)
    ok(api.get(f"/datasets/{dataset}/documents"))
    assert api.get(f"/datasets/{dataset}").status_code == 504


def test_status_with_a_body(sandbox: Sandbox, api: Api) -> None:
    gateway = {"message": "Endpoint request timed out"}
    sandbox.fault(ME, "status", status=504, body=gateway)
    sandbox.fault(ME, "status", status=502, body="Bad Gateway")
    first, second = api.get("/users/me"), api.get("/users/me")
    assert (first.status_code, first.json()) == (504, gateway)
    assert (second.status_code, second.text) == (502, "Bad Gateway")


def test_drop(sandbox: Sandbox, api: Api, url: str) -> None:
    for route in (ME, "GET /objects"):
        sandbox.fault(route, "drop")
    with pytest.raises(requests.ConnectionError):
        api.get("/users/me")
    with pytest.raises(requests.ConnectionError):
        fetch(url)
    ok(api.get("/users/me"))
    assert fetch(url).content == CONTENT
    assert [entry["status"] for entry in sandbox.log(ME)] == [None, 200]


def test_after_acts_and_then_drops(sandbox: Sandbox, api: Api, dataset: str, url: str) -> None:
    path = f"/datasets/{dataset}/documents"
    sandbox.fault("POST /datasets/{id}/documents", "after")
    with pytest.raises(requests.ConnectionError):
        api.post(path, body(1))
    assert [row["ndiId"] for row in ok(api.get(path))["documents"]] == [ndi_id(1)]
    upload_url = api.upload_url(dataset, "after")
    sandbox.fault("PUT /objects", "after")
    with pytest.raises(requests.ConnectionError):
        put(upload_url, b"there")
    sandbox.idle()
    assert fetch(ok(api.file_detail(dataset, "after"))["downloadUrl"]).content == b"there"


def test_truncate(sandbox: Sandbox, api: Api, url: str) -> None:
    sandbox.fault(ME, "truncate", bytes=10)
    sandbox.fault("GET /objects", "truncate", bytes=4)
    for target, headers, length in (
        (sandbox.url + "/users/me", {"Authorization": f"Bearer {api.token}"}, 10),
        (url, {}, 4),
    ):
        parts = urlsplit(target)
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        assert answer.status == 200
        with pytest.raises(http.client.IncompleteRead) as broken:
            answer.read()
        assert len(broken.value.partial) == length
        connection.close()


def test_hang_until_cleared(sandbox: Sandbox, api: Api) -> None:
    sandbox.fault(ME, "hang")
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(api.get("/users/me").status_code))
    asking.start()
    sandbox.eventually(lambda: sandbox.count(ME) == 1)
    assert answers == []
    sandbox.clear_faults()
    asking.join(30)
    assert answers == [200]


def test_hang_for_a_while(sandbox: Sandbox, api: Api) -> None:
    sandbox.fault(ME, "hang", seconds=0.05)
    ok(api.get("/users/me"))


def test_sandbox_ends_although_something_hangs(sandbox: Sandbox, api: Api) -> None:
    sandbox.fault(ME, "hang")
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(api.get("/users/me").status_code)
        except requests.ConnectionError as error:
            answers.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    sandbox.eventually(lambda: sandbox.count(ME) == 1)
    sandbox.stop()
    asking.join(30)
    assert len(answers) == 1


def test_hollow(sandbox: Sandbox, api: Api, dataset: str) -> None:
    document = api.document(dataset, body(1))
    cut = {"document_class": {"class_name": "subject"}}
    sandbox.fault(FETCH, "hollow")
    sent = {"documentIds": [document]}
    path = f"/datasets/{dataset}/documents"
    (fetched,) = ok(api.post(f"{path}/bulk-fetch", sent))["documents"]
    assert fetched["data"] == cut
    assert fetched["ndiId"] == ndi_id(1)
    sandbox.fault("GET /datasets/{id}/documents/{docId}", "hollow")
    assert ok(api.get(f"{path}/{document}")) == {"id": document, **cut}
    sandbox.fault("POST /datasets/{id}/documents/bulk-download", "hollow")
    url = ok(api.post(f"{path}/bulk-download", sent))["url"]
    sandbox.idle()
    assert unzipped(fetch(url).content) == [{"id": document, **cut}]


def test_omit(sandbox: Sandbox, api: Api, dataset: str) -> None:
    sent = {"documentIds": [api.document(dataset, body(n)) for n in range(5)]}
    sandbox.fault(FETCH, "omit", documents=3)
    path = f"/datasets/{dataset}/documents/bulk-fetch"
    assert [len(ok(api.post(path, sent))["documents"]) for _ in range(2)] == [2, 5]


def test_stale(sandbox: Sandbox, api: Api, dataset: str, url: str) -> None:
    document = api.document(dataset, body(1))
    base = f"/datasets/{dataset}"
    sandbox.fault("*", "stale", count=-1, seconds=3600)
    organization = f"/organizations/{sandbox.organization_id}/datasets"
    assert ok(api.get(organization))["datasets"] == []
    assert ok(api.get(f"{base}/documents"))["documents"] == []
    assert ok(api.get(f"{base}/document-count"))["count"] == 0
    fetched = ok(api.post(f"{base}/documents/bulk-fetch", {"documentIds": [document]}))
    assert fetched == {"documents": []}
    assert api.get(f"{base}/documents/{document}").status_code == 404
    assert api.get(base).status_code == 404
    assert "downloadUrl" not in ok(api.file_detail(dataset, "uid"))
    sandbox.clear_faults()
    sandbox.fault("*", "stale", count=-1, seconds=0)
    assert len(ok(api.get(f"{base}/documents"))["documents"]) == 1


def test_garbage(sandbox: Sandbox, api: Api) -> None:
    sandbox.fault(ME, "garbage")
    answer = api.get("/users/me")
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.text)


def test_no_range(sandbox: Sandbox, url: str) -> None:
    sandbox.fault("GET /objects", "no_range")
    answer = fetch(url, "bytes=2-3")
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "Content-Range" not in answer.headers


def test_short(sandbox: Sandbox, url: str) -> None:
    sandbox.fault("GET /objects", "short", bytes=2)
    answer = fetch(url, "bytes=2-7")
    assert (answer.status_code, answer.content) == (206, CONTENT[2:4])
    assert answer.headers["Content-Range"] == "bytes 2-3/10"


@pytest.mark.parametrize(
    "order", [{}, {"route": "*"}, {"route": "*", "kind": "odd"}, {"kind": "drop", "count": 1}]
)
def test_bad_orders(sandbox: Sandbox, order: dict[str, object]) -> None:
    with pytest.raises(requests.HTTPError, match="400"):
        sandbox.control("POST", "/faults", order)
