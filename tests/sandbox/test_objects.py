"""Section 6.5: the object port."""

from __future__ import annotations

import http.client
import time
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox.raw import TIMEOUT, Api, fetch, ok, put, upload
from tests.support.sandbox import Sandbox

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def url(sandbox: Sandbox, api: Api, dataset: str) -> str:
    """Where CONTENT is to be had."""
    upload(sandbox, api, dataset, "uid", CONTENT)
    return str(ok(api.file_detail(dataset, "uid"))["downloadUrl"])


def code(answer: requests.Response) -> str:
    assert answer.headers["Content-Type"].startswith("application/xml")
    return answer.text.partition("<Code>")[2].partition("</Code>")[0]


def test_whole_object(url: str) -> None:
    answer = fetch(url)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert "Content-Encoding" not in answer.headers


def test_nothing_is_compressed_for_who_offers_it(url: str) -> None:
    answer = requests.get(url, headers={"Accept-Encoding": "gzip"}, timeout=TIMEOUT)
    assert "Content-Encoding" not in answer.headers
    assert answer.content == CONTENT


@pytest.mark.parametrize("bandwidth", [0, 1e9])
@pytest.mark.parametrize(
    ("range_", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=100-199", 100, 199),
        ("bytes=10000-", 10000, 10239),
        ("bytes=10239-99999", 10239, 10239),
        ("bytes=-5", 10235, 10239),
        ("bytes=-99999", 0, 10239),
    ],
)
def test_range(
    sandbox: Sandbox, url: str, bandwidth: float, range_: str, first: int, last: int
) -> None:
    sandbox.set(object_bandwidth=bandwidth)
    answer = fetch(url, range_)
    assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
    assert answer.headers["Content-Range"] == f"bytes {first}-{last}/{len(CONTENT)}"
    assert answer.headers["Content-Length"] == str(last - first + 1)


@pytest.mark.parametrize("range_", ["bytes=10240-", "bytes=10240-10250", "bytes=-0"])
def test_range_behind_the_end(url: str, range_: str) -> None:
    answer = fetch(url, range_)
    assert (answer.status_code, code(answer)) == (416, "InvalidRange")
    assert answer.headers["Content-Range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("range_", ["bytes=5-4", "lines=1-2", "bytes=0-1,4-5", "bytes=-", ""])
def test_range_that_cannot_be_read_is_ignored(url: str, range_: str) -> None:
    answer = fetch(url, range_)
    assert (answer.status_code, answer.content) == (200, CONTENT)


def test_empty_object(sandbox: Sandbox, api: Api, dataset: str) -> None:
    upload(sandbox, api, dataset, "empty", b"")
    url = ok(api.file_detail(dataset, "empty"))["downloadUrl"]
    assert (fetch(url).status_code, fetch(url).content) == (200, b"")
    assert fetch(url, "bytes=0-0").status_code == 416


def test_url_is_named_as_s3_names_it(url: str) -> None:
    names = {pair.partition("=")[0] for pair in urlsplit(url).query.split("&")}
    assert {"X-Amz-Date", "X-Amz-Expires", "X-Amz-Signature"} <= names


class TestSignature:
    def test_is_needed(self, url: str) -> None:
        answer = fetch(url.partition("?")[0])
        assert (answer.status_code, code(answer)) == (403, "AccessDenied")

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("X-Amz-Expires=3600", "X-Amz-Expires=9999"),
            ("X-Amz-Date=2", "X-Amz-Date=3"),
            ("X-Amz-Signature=", "X-Amz-Signature=0"),
            ("/ndi-sandbox/", "/ndi-sandbox/0"),
        ],
    )
    def test_binds_everything(self, url: str, old: str, new: str) -> None:
        assert old in url
        answer = fetch(url.replace(old, new))
        assert (answer.status_code, code(answer)) == (403, "SignatureDoesNotMatch")

    def test_binds_the_method(self, sandbox: Sandbox, api: Api, dataset: str, url: str) -> None:
        assert put(url, b"x").status_code == 403
        assert fetch(api.upload_url(dataset, "uid")).status_code == 403
        assert requests.delete(url, timeout=TIMEOUT).status_code == 403
        assert fetch(url).content == CONTENT

    def test_head_on_a_url_for_get(self, sandbox: Sandbox, url: str) -> None:
        assert requests.head(url, timeout=TIMEOUT).status_code == 403
        sandbox.set(head_on_get_url=200)
        answer = requests.head(url, timeout=TIMEOUT)
        assert answer.status_code == 200
        assert answer.headers["Content-Length"] == str(len(CONTENT))

    def test_expires(self, sandbox: Sandbox, api: Api, dataset: str, url: str) -> None:
        sandbox.set(url_life=0)
        expired = fetch(ok(api.file_detail(dataset, "uid"))["downloadUrl"])
        assert (expired.status_code, code(expired)) == (403, "AccessDenied")
        assert "Request has expired" in expired.text
        sandbox.set(expired_url="ExpiredToken")
        expired = fetch(ok(api.file_detail(dataset, "uid"))["downloadUrl"])
        assert (expired.status_code, code(expired)) == (400, "ExpiredToken")
        assert fetch(url).status_code == 200

    def test_urls_can_be_made_to_expire_at_once(
        self, sandbox: Sandbox, api: Api, dataset: str, url: str
    ) -> None:
        sandbox.expire(urls=True)
        assert "Request has expired" in fetch(url).text
        assert fetch(ok(api.file_detail(dataset, "uid"))["downloadUrl"]).status_code == 200

    def test_does_not_go_with_an_authorization_header(self, api: Api, url: str) -> None:
        answer = fetch(url, Authorization=f"Bearer {api.token}")
        assert (answer.status_code, code(answer)) == (400, "InvalidArgument")


class TestMissing:
    def test_object(self, sandbox: Sandbox, dataset: str, url: str) -> None:
        sandbox.plant(dataset, remove_objects=["uid"])
        assert (fetch(url).status_code, code(fetch(url))) == (404, "NoSuchKey")
        sandbox.set(missing_object_status=403)
        assert (fetch(url).status_code, code(fetch(url))) == (403, "AccessDenied")


class TestPut:
    def test_large_body_is_stored_whole(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        content = CONTENT * 1000
        upload(sandbox, api, dataset, "large", content)
        assert fetch(ok(api.file_detail(dataset, "large"))["downloadUrl"]).content == content

    def test_answer_is_empty(self, api: Api, dataset: str) -> None:
        answer = put(api.upload_url(dataset, "uid"), b"1")
        assert (answer.status_code, answer.content) == (200, b"")

    def test_length_is_needed(self, api: Api, dataset: str) -> None:
        chunks = iter([b"12", b"34"])
        answer = requests.put(api.upload_url(dataset, "uid"), data=chunks, timeout=TIMEOUT)
        assert (answer.status_code, code(answer)) == (411, "MissingContentLength")

    def test_what_breaks_off_leaves_nothing(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        parts = urlsplit(api.upload_url(dataset, "uid"))
        connection = http.client.HTTPConnection(parts.netloc, timeout=TIMEOUT)
        connection.putrequest("PUT", f"{parts.path}?{parts.query}")
        connection.putheader("Content-Length", "1000")
        connection.endheaders(b"too little")
        connection.close()
        sandbox.eventually(lambda: list((sandbox.data / "incoming").iterdir()) == [])
        sandbox.idle()
        assert api.file_detail(dataset, "uid").status_code == 404


def test_bandwidth_is_kept(sandbox: Sandbox, url: str) -> None:
    sandbox.set(object_bandwidth=len(CONTENT) / 0.1)
    started = time.monotonic()
    assert fetch(url).content == CONTENT
    assert time.monotonic() - started >= 0.1


def test_latency_is_kept(sandbox: Sandbox, url: str) -> None:
    sandbox.set(object_latency=0.05)
    started = time.monotonic()
    assert fetch(url, "bytes=0-0").status_code == 206
    assert time.monotonic() - started >= 0.05
