"""What is tried again and when, and which error an answer is."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest

from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    NotFound,
    NotSignedIn,
    PermissionDenied,
    Refused,
    ServerFault,
    TimedOut,
    Unreachable,
)
from ndicloudfs.cloud.values import Fetched
from tests.cloud.local_server import FakeTime, LocalServer, Received, Reply, client, reply

DATASET = "65f0c0ffee0000000000d001"
COUNT = reply({"datasetId": DATASET, "count": 743})


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_read_is_tried_again_three_times(
    server: LocalServer, time: FakeTime, status: int
) -> None:
    server.plays(reply({}, status), reply({}, status), reply({}, status), COUNT)
    assert client(server.origin, time).datasets.document_count(DATASET) == 743
    assert time.slept == [0.25, 0.5, 1.0]


def test_the_fourth_failure_is_the_answer(server: LocalServer, time: FakeTime) -> None:
    server.plays(reply({"message": "Endpoint request timed out"}, 504))
    with pytest.raises(ServerFault, match=r"504: Endpoint request timed out\); try again later"):
        client(server.origin, time).datasets.document_count(DATASET)
    assert len(server.received) == 4


def test_retries_of_one_call_share_its_request_id(server: LocalServer) -> None:
    server.plays(reply({}, 503))
    with pytest.raises(ServerFault) as caught:
        client(server.origin).datasets.document_count(DATASET)
    sent = {each.headers["X-Request-ID"] for each in server.received}
    assert sent == {caught.value.request_id}
    assert uuid.UUID(caught.value.request_id).version == 4


def test_jitter_adds_up_to_as_much_again(server: LocalServer, time: FakeTime) -> None:
    server.plays(reply({}, 503))
    with pytest.raises(ServerFault):
        client(server.origin, time, jitter=1.0).datasets.document_count(DATASET)
    assert time.slept == [0.5, 1.0, 2.0]


def test_a_write_is_not_tried_again(server: LocalServer, time: FakeTime) -> None:
    server.plays(reply({}, 503))
    with pytest.raises(ServerFault):
        client(server.origin, time).documents.add(DATASET, {"base": {}})
    assert len(server.received) == 1


def test_posts_that_only_read_are_tried_again(server: LocalServer) -> None:
    server.plays(reply({}, 500), reply({"documents": []}))
    cloud = client(server.origin)
    assert cloud.documents.fetch(DATASET, ["1" * 24]) == Fetched(())
    server.plays(reply({}, 500), reply({"documents": []}))
    assert cloud.documents.query("public", [{"operation": "isa", "param1": "base"}]).rows == 0


@pytest.mark.parametrize(("wish", "pause"), [("3", 3.0), ("9999", 20.0), ("0", 0.25), ("?", 0.25)])
def test_retry_after_is_honoured_within_bounds(
    server: LocalServer, time: FakeTime, wish: str, pause: float
) -> None:
    server.plays(reply({}, 429, Retry_After=wish), COUNT)
    client(server.origin, time).datasets.document_count(DATASET)
    assert time.slept == [pause]


def test_retry_after_may_be_a_date(server: LocalServer, time: FakeTime) -> None:
    server.plays(reply({}, 503, Retry_After=formatdate(time.now + 7, usegmt=True)), COUNT)
    client(server.origin, time).datasets.document_count(DATASET)
    assert time.slept == [7.0]


def test_no_retry_begins_when_the_budget_is_spent(server: LocalServer, time: FakeTime) -> None:
    server.plays(reply({}, 429, Retry_After="15"))
    with pytest.raises(ServerFault):
        client(server.origin, time, budget=40.0).datasets.document_count(DATASET)
    assert time.slept == [15.0, 15.0]


def test_silence_is_a_time_out(server: LocalServer) -> None:
    heard = threading.Event()

    def silence(received: Received) -> Reply:
        heard.wait(30)
        return COUNT

    server.answer = silence
    cloud = client(server.origin, read_timeout=0.05, budget=1.0)
    with pytest.raises(TimedOut, match=r"did not answer GET /datasets/.*/document-count in time"):
        cloud.datasets.document_count(DATASET)
    assert len(server.received) == 3  # and a pause of 1 s would have been beyond the budget
    heard.set()


def test_a_try_waits_no_longer_than_the_budget(time: FakeTime) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts, never answers
        cloud = client(f"http://127.0.0.1:{mute.getsockname()[1]}", time, budget=0.05)
        with pytest.raises(TimedOut):
            cloud.datasets.document_count(DATASET)


def test_a_trickle_does_not_outlast_the_budget(server: LocalServer, time: FakeTime) -> None:
    class Hurried(FakeTime):
        def __call__(self) -> float:
            self.now += 7
            return self.now

    server.plays(Reply(body=b" " * 4_000_000))
    with pytest.raises(TimedOut):
        client(server.origin, Hurried()).datasets.document_count(DATASET)
    assert len(server.received) == 1


def test_a_refused_connection_says_what_to_do() -> None:
    with pytest.raises(Unreachable) as caught:
        client("http://127.0.0.1:1").datasets.published()
    assert str(caught.value) == (
        "NDI Cloud at 127.0.0.1:1 cannot be reached: connection refused; "
        "check the network or NDI_CLOUD_URL"
    )
    assert caught.value.request_id


def test_an_answer_cut_short_is_tried_again(server: LocalServer) -> None:
    short = Reply(body=b'{"count": 7', length=14)
    server.plays(short, COUNT)
    assert client(server.origin).datasets.document_count(DATASET) == 743
    server.plays(short)
    with pytest.raises(BadAnswer, match="ended before it was complete"):
        client(server.origin).datasets.document_count(DATASET)


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"", "nothing"),
        (b"{", "something that is not JSON"),
        (b"<!DOCTYPE html><html><body>Sign in</body></html>", "an HTML page"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b'{"total": 3}', "no count"),
        (b'{"count": -1}', "no count"),
        (b"\xff\xfe\xfa", "something that is not JSON"),
        (b"[" * 100_000, "something that is not JSON"),
    ],
)
def test_a_broken_answer_says_what_it_is(server: LocalServer, body: bytes, what: str) -> None:
    server.plays(Reply(body=body))
    with pytest.raises(BadAnswer, match=f"answered GET /datasets/.* with {what}; try again"):
        client(server.origin).datasets.document_count(DATASET)
    assert len(server.received) == 4


def test_json_is_asked_for_and_unpacked_from_gzip(server: LocalServer) -> None:
    packed = gzip.compress(b'{"count": 7}')
    server.plays(Reply(body=packed, headers={"Content-Encoding": "gzip"}))
    assert client(server.origin).datasets.document_count(DATASET) == 7
    assert server.received[0].headers["Accept"] == "application/json"
    assert server.received[0].headers["Accept-Encoding"] == "gzip"
    server.plays(Reply(body=packed[:-5], headers={"Content-Encoding": "gzip"}))
    with pytest.raises(BadAnswer, match="cannot be unpacked"):
        client(server.origin).datasets.document_count(DATASET)


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, {"errors": "Unauthorized"}, NotSignedIn, "Unauthorized"),
        (403, {"message": "Forbidden"}, PermissionDenied, "Forbidden"),
        (404, {"message": {"error": "Dataset not found"}}, NotFound, "Dataset not found"),
        (400, {"errors": "no upload right", "code": "X"}, Refused, "no upload right"),
        (409, {"error": {"message": "conflict"}}, Refused, "conflict"),
        (422, {"detail": [{"message": "bad field"}]}, Refused, "bad field"),
        (418, "I am a\nteapot", Refused, "I am a teapot"),
    ],
)
def test_a_refusal_carries_the_words_of_the_server(
    server: LocalServer, status: int, body: object, kind: type[CloudError], words: str
) -> None:
    plain = isinstance(body, str)
    server.plays(Reply(status, str(body).encode()) if plain else reply(body, status))
    with pytest.raises(kind, match=rf"\({status}: {words}\)") as caught:
        client(server.origin).datasets.document_count(DATASET)
    assert type(caught.value) is kind
    assert caught.value.status == status
    assert len(server.received) == 1


@pytest.mark.parametrize("body", [b"", b"<html><pre>Cannot GET /</pre></html>", b"{}", b'{"a":1}'])
def test_a_refusal_without_words_is_still_a_sentence(server: LocalServer, body: bytes) -> None:
    server.plays(Reply(404, body))
    with pytest.raises(NotFound, match=r"document-count \(404\); it is gone"):
        client(server.origin).datasets.document_count(DATASET)


def test_a_cast_error_is_a_missing_thing_and_final(server: LocalServer) -> None:
    server.plays(reply({"error": 'CastError: Cast to ObjectId failed for value "x"'}, 500))
    with pytest.raises(NotFound, match="check the id"):
        client(server.origin).datasets.document_count("x")
    assert len(server.received) == 1


@pytest.mark.parametrize("identity", ["", ".", ".."])
def test_an_id_that_no_path_can_hold_is_not_sent(server: LocalServer, identity: str) -> None:
    with pytest.raises(NotFound):
        client(server.origin).files.detail(DATASET, identity)
    assert server.received == []


def test_an_id_stays_one_part_of_the_path(server: LocalServer) -> None:
    server.plays(reply({"uid": "a/../b ?#%"}))
    client(server.origin).files.detail(DATASET, "a/../b ?#%")
    assert server.paths() == [f"/v1/datasets/{DATASET}/files/a%2F..%2Fb%20%3F%23%25/detail"]


def test_connections_are_used_again(server: LocalServer) -> None:
    server.plays(COUNT)
    cloud = client(server.origin)
    for _ in range(5):
        cloud.datasets.document_count(DATASET)
    assert server.connections == 1


def test_64_threads_at_once(server: LocalServer) -> None:
    server.plays(COUNT)
    cloud = client(server.origin)
    with ThreadPoolExecutor(64) as pool:
        counts = list(pool.map(lambda _: cloud.datasets.document_count(DATASET), range(256)))
    assert counts == [743] * 256


def test_each_call_is_one_line_in_the_log(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.plays(COUNT)
    with caplog.at_level(logging.DEBUG, "ndicloudfs"):
        client(server.origin).datasets.document_count(DATASET)
    (line,) = [each for each in caplog.records if each.name.startswith("ndicloudfs")]
    assert line.getMessage().startswith("GET /datasets/{dataset_id}/document-count 200 0 ms ")
    assert line.getMessage().endswith(server.received[0].headers["X-Request-ID"])
