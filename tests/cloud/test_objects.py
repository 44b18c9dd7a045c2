"""Ranges of objects are exactly what was asked for, or an error (sections 6.5 and 12)."""

from __future__ import annotations

import gzip
import io
import re

import pytest

from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    ObjectMissing,
    Refused,
    ServerFault,
    Unreachable,
    UrlExpired,
)
from ndicloudfs.cloud.transport import SEND
from tests.cloud.local_server import FakeTime, LocalServer, Received, Reply, client

DATA = bytes(range(256)) * 1024  # 256 KiB


def store(received: Received) -> Reply:
    """What an object store answers that holds DATA."""
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", received.headers["Range"])
    assert match
    start, last = int(match[1]), min(int(match[2]), len(DATA) - 1)
    if start >= len(DATA):
        return Reply(416, b"<Error/>", {"Content-Range": f"bytes */{len(DATA)}"})
    part = DATA[start : last + 1]
    return Reply(206, part, {"Content-Range": f"bytes {start}-{last}/{len(DATA)}"})


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 1), (0, len(DATA)), (1000, 70_000), (len(DATA) - 5, 5), (262_000, 999)],
)
def test_a_range_is_read(server: LocalServer, start: int, length: int) -> None:
    server.answer = store
    part = client(server.origin).objects.read(f"{server.origin}/o?sig=1", start, length)
    assert (part.data, part.start, part.total) == (DATA[start : start + length], start, len(DATA))
    (received,) = server.received
    assert received.headers["Accept-Encoding"] == "identity"
    assert received.target == "/o?sig=1"


@pytest.mark.parametrize("start", [len(DATA), len(DATA) + 7])
def test_behind_the_end_there_is_only_the_total(server: LocalServer, start: int) -> None:
    server.answer = store
    part = client(server.origin).objects.read(f"{server.origin}/o", start, 10)
    assert (part.data, part.start, part.total) == (b"", start, len(DATA))


def test_the_total_may_be_in_the_words_of_s3_only(server: LocalServer) -> None:
    xml = b"<Error><Code>InvalidRange</Code><ActualObjectSize>0</ActualObjectSize></Error>"
    server.plays(Reply(416, xml))
    part = client(server.origin).objects.read(f"{server.origin}/o", 0, 10)
    assert (part.data, part.total) == (b"", 0)


@pytest.mark.parametrize(
    "wrong",
    [
        Reply(206, b"abc"),
        Reply(206, b"abc", {"Content-Range": "bytes 0-2/*"}),
        Reply(206, b"abc", {"Content-Range": "bytes 1-3/9"}),
        Reply(206, b"ab", {"Content-Range": "bytes 0-1/9"}),
        Reply(206, b"abcd", {"Content-Range": "bytes 0-3/9"}),
        Reply(206, b"ab", {"Content-Range": "bytes 0-2/9"}),
        Reply(206, b"abcd", {"Content-Range": "bytes 0-2/9"}),
        Reply(206, b"ab", {"Content-Range": "bytes 0-2/9"}, length=3),
        Reply(206, b"ab", {"Content-Range": "bytes 0-2/9"}, length=-1),
        Reply(416, b"", {"Content-Range": "bytes */9"}),
        Reply(416, b""),
        Reply(200, gzip.compress(b"abcdef"), {"Content-Encoding": "gzip"}),
        Reply(200, b"abc", length=9),
        Reply(204),
        Reply(302),
    ],
)
def test_other_bytes_than_asked_for_are_tried_again_and_then_an_error(
    server: LocalServer, time: FakeTime, wrong: Reply
) -> None:
    cloud = client(server.origin, time)
    server.plays(wrong, Reply(206, b"abc", {"Content-Range": "bytes 0-2/9"}))
    assert cloud.objects.read(f"{server.origin}/o", 0, 3).data == b"abc"
    server.plays(wrong)
    with pytest.raises(BadAnswer):
        cloud.objects.read(f"{server.origin}/o", 0, 3)
    assert len(server.received) == 2 + 4


@pytest.mark.parametrize("length", [None, -1])
@pytest.mark.parametrize(
    ("start", "size"), [(0, 100), (0, 5000), (60_000, 5000), (len(DATA) - 10, 10)]
)
def test_a_store_that_ignores_ranges_is_cut_while_it_costs_little(
    server: LocalServer, length: int | None, start: int, size: int
) -> None:
    server.plays(Reply(200, DATA, length=length))
    cloud = client(server.origin)
    if start < 65536 and length is None:
        part = cloud.objects.read(f"{server.origin}/o", start, size)
        assert (part.data, part.total) == (DATA[start : start + size], len(DATA))
    else:
        with pytest.raises(BadAnswer, match="the whole object instead of a part"):
            cloud.objects.read(f"{server.origin}/o", start, size)


@pytest.mark.parametrize("length", [None, -1])
def test_a_small_object_may_come_whole(server: LocalServer, length: int | None) -> None:
    server.plays(Reply(200, b"abcdef", length=length))
    cloud = client(server.origin)
    part = cloud.objects.read(f"{server.origin}/o", 2, 1000)
    assert (part.data, part.start, part.total) == (b"cdef", 2, 6)
    assert cloud.objects.read(f"{server.origin}/o", 6, 1).data == b""
    server.plays(Reply(200, b""))
    assert cloud.objects.read(f"{server.origin}/o", 0, 9).total == 0


def test_stored_gzip_is_delivered_as_stored(server: LocalServer) -> None:
    packed = gzip.compress(b"abc")
    headers = {"Content-Encoding": "gzip", "Content-Range": f"bytes 0-{len(packed) - 1}/999"}
    server.plays(Reply(206, packed, headers))
    part = client(server.origin).objects.read(f"{server.origin}/o", 0, len(packed))
    assert part.data == packed


ERROR = "<Error><Code>{}</Code><Message>Request has {}</Message></Error>"


@pytest.mark.parametrize(
    ("status", "body", "kind", "tries"),
    [
        (403, ERROR.format("AccessDenied", "expired"), UrlExpired, 1),
        (403, "", UrlExpired, 1),
        (400, ERROR.format("ExpiredToken", "x"), UrlExpired, 1),
        (400, "the token is expired", UrlExpired, 1),
        (400, ERROR.format("InvalidArgument", "x"), Refused, 1),
        (404, ERROR.format("NoSuchKey", "x"), ObjectMissing, 1),
        (503, ERROR.format("SlowDown", "x"), ServerFault, 4),
        (500, "", ServerFault, 4),
        (429, "", ServerFault, 4),
    ],
)
def test_the_errors_of_the_store(
    server: LocalServer, status: int, body: str, kind: type[CloudError], tries: int
) -> None:
    server.plays(Reply(status, body.encode(), {"x-amz-request-id": "S3ID"}))
    with pytest.raises(kind) as caught:
        client(server.origin).objects.read(f"{server.origin}/o?X-Amz=1", 0, 3)
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.request_id) == (status, "S3ID")
    assert len(server.received) == tries


def test_an_expired_url_can_be_retried_with_another() -> None:
    assert UrlExpired.retryable
    assert not ObjectMissing.retryable


def test_redirects_are_followed_with_the_range(server: LocalServer, elsewhere: LocalServer) -> None:
    elsewhere.answer = store
    server.plays(Reply(307, headers={"Location": f"{elsewhere.origin}/there"}))
    assert client(server.origin).objects.read(f"{server.origin}/o", 5, 3).data == DATA[5:8]


def test_redirects_end_somewhere(server: LocalServer) -> None:
    server.plays(Reply(302, headers={"Location": "/o"}))
    with pytest.raises(BadAnswer, match="no proper answer"):
        client(server.origin, budget=0.5).objects.read(f"{server.origin}/o", 0, 3)


@pytest.mark.parametrize(("start", "length"), [(-1, 1), (0, 0), (0, -5)])
def test_an_empty_range_is_a_mistake_of_the_caller(
    server: LocalServer, start: int, length: int
) -> None:
    with pytest.raises(ValueError, match="no range"):
        client(server.origin).objects.read(f"{server.origin}/o", start, length)


def test_an_object_is_written_with_its_length(server: LocalServer) -> None:
    server.plays(Reply())
    told: list[int] = []
    data = DATA * (3 * SEND // len(DATA))
    cloud = client(server.origin, token="t")
    cloud.objects.put(
        f"{server.origin}/o?sig=1", io.BytesIO(data + b"more"), len(data), progress=told.append
    )
    (received,) = server.received
    assert (received.method, received.body) == ("PUT", data)
    assert received.headers["Content-Length"] == str(len(data))
    assert received.headers["Content-Type"] == "application/octet-stream"
    assert "Authorization" not in received.headers
    assert "Transfer-Encoding" not in received.headers
    assert sum(told) == len(data)
    assert len(told) > 1


def test_an_empty_object_is_written_with_length_zero(server: LocalServer) -> None:
    server.plays(Reply())
    client(server.origin).objects.put(f"{server.origin}/o", io.BytesIO(), 0, "text/plain")
    (received,) = server.received
    assert received.headers["Content-Length"] == "0"
    assert received.headers["Content-Type"] == "text/plain"
    assert "Transfer-Encoding" not in received.headers


@pytest.mark.parametrize(
    ("status", "kind"),
    [(403, UrlExpired), (503, ServerFault), (302, BadAnswer), (404, ObjectMissing)],
)
def test_a_failed_write_is_not_tried_again(
    server: LocalServer, status: int, kind: type[CloudError]
) -> None:
    server.plays(Reply(status))
    with pytest.raises(kind) as caught:
        client(server.origin).objects.put(f"{server.origin}/o", io.BytesIO(DATA), len(DATA))
    assert caught.value.request_id
    assert len(server.received) == 1


def test_a_write_to_nowhere_says_so() -> None:
    cloud = client("http://127.0.0.1:1")
    with pytest.raises(Unreachable, match=r"The object store at 127\.0\.0\.1:1") as caught:
        cloud.objects.put("http://127.0.0.1:1/o", io.BytesIO(b"a"), 1)
    assert caught.value.request_id


def test_a_file_that_shrank_is_not_passed_off_as_whole(server: LocalServer) -> None:
    server.plays(Reply())
    with pytest.raises(ValueError, match="7 bytes before"):
        client(server.origin).objects.put(f"{server.origin}/o", io.BytesIO(b"abc"), 10)
