"""The token goes to the API host and nowhere else; no message, log or traceback shows a secret."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest
import requests

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import BadAnswer, CloudError, Refused, ServerFault
from ndicloudfs.cloud.redaction import one_line
from tests.cloud.local_server import FakeTime, LocalServer, Reply, client, reply, token

DATASET = "65f0c0ffee0000000000d001"
TOKEN = token(exp=4e9, email="a@b.org")
SECRET = "X-Amz-Signature=deadbeef"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_api_call_follows_no_redirect(
    server: LocalServer, elsewhere: LocalServer, status: int
) -> None:
    elsewhere.plays(reply({"count": 1}))
    server.plays(reply({}, status, Location=f"{elsewhere.origin}/v1/?{SECRET}"))
    with pytest.raises(Refused, match="correct NDI_CLOUD_URL"):
        client(server.origin, token=TOKEN).datasets.document_count(DATASET)
    assert server.received[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert len(server.received) == 1
    assert elsewhere.received == []


def test_an_object_gets_no_token_even_on_the_host_of_the_api(server: LocalServer) -> None:
    server.plays(Reply(206, b"abc", {"Content-Range": "bytes 0-2/3"}))
    cloud = client(server.origin, token=TOKEN)
    assert cloud.objects.read(f"{server.origin}/o?{SECRET}", 0, 3).data == b"abc"
    assert "Authorization" not in server.received[0].headers


def test_netrc_is_not_read(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password geheim\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.plays(reply({"count": 1}))
    cloud = client(server.origin)
    assert cloud.datasets.document_count(DATASET) == 1
    server.plays(
        Reply(302, headers={"Location": f"{server.origin}/there"}),
        Reply(206, b"a", {"Content-Range": "bytes 0-0/1"}),
    )
    cloud.objects.read(f"{server.origin}/o", 0, 1)
    requests.get(server.origin, timeout=5)  # what would have happened
    *ours, theirs = server.received
    assert all("Authorization" not in each.headers for each in ours)
    assert "Authorization" in theirs.headers


def test_the_proxy_of_the_environment_is_used(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.origin)
    monkeypatch.setenv("no_proxy", "")
    server.plays(reply({"count": 5}))
    assert client("http://ndi.invalid").datasets.document_count(DATASET) == 5
    assert server.received[0].target.startswith("http://ndi.invalid/v1/datasets/")


def test_cookies_are_not_kept(server: LocalServer) -> None:
    server.plays(reply({"count": 1}, Set_Cookie="session=1; Path=/"))
    cloud = client(server.origin)
    for _ in range(2):
        cloud.datasets.document_count(DATASET)
    assert all("Cookie" not in each.headers for each in server.received)


@pytest.mark.parametrize(
    "url",
    ["ftp://h/o", "file:///etc/passwd", "//h/o", "o", "", "http://me:pw@h/o", "http://[::1/o"],
)
def test_a_download_url_of_another_kind_is_refused(server: LocalServer, url: str) -> None:
    cloud = client(server.origin)
    with pytest.raises(BadAnswer, match="not safe to open"):
        cloud.objects.read(f"{url}?{SECRET}", 0, 1)
    server.plays(reply({"uid": "u", "downloadUrl": f"{url}?{SECRET}"}))
    with pytest.raises(BadAnswer, match="not safe to open") as caught:
        cloud.files.detail(DATASET, "u")
    assert "deadbeef" not in str(caught.value)


def test_plain_http_is_for_a_plain_http_api_only() -> None:
    with NdiCloud(CloudConfig("https://h/v1")) as cloud:
        cloud.objects.check("https://bucket/o")
        with pytest.raises(BadAnswer):
            cloud.objects.check("http://bucket/o")
    with NdiCloud(CloudConfig("http://127.0.0.1:1/v1")) as cloud:
        cloud.objects.check("http://bucket/o")


def test_a_redirect_of_an_object_is_held_to_the_same_rule(server: LocalServer) -> None:
    server.plays(Reply(302, headers={"Location": "ftp://elsewhere/o"}))
    with pytest.raises(BadAnswer, match="not safe to open"):
        client(server.origin).objects.read(f"{server.origin}/o", 0, 1)


def breakages(origin: str) -> list[tuple[str, Reply | None]]:
    """URLs that fail in different ways, with the answer that makes them."""
    range_of_3 = {"Content-Range": "bytes 0-2/3"}
    return [
        ("http://127.0.0.1:1/o", None),
        ("http://nowhere.invalid/o", None),
        (f"{origin}/o", Reply(206, b"ab", range_of_3, length=3)),
        (f"{origin}/o", Reply(206, b"ab", range_of_3)),
        (f"{origin}/o", Reply(500, f"<Error><Code>a</Code> ?{SECRET}</Error>".encode())),
        (f"{origin}/o", Reply(403, f"no: {origin}/o?{SECRET}".encode())),
        (f"{origin}/o", Reply(400, f"{TOKEN} geheim".encode())),
        (f"{origin}/o", Reply(302, headers={"Location": f"ftp://h/o?{SECRET}"})),
        (f"{origin}/o", Reply(404, b"", {"Location": "x", "Bad Header": f"?{SECRET}"}, length=9)),
    ]


@pytest.mark.parametrize("number", range(9))
def test_no_traceback_shows_a_signature(
    server: LocalServer, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url, answer = breakages(server.origin)[number]
    if answer is not None:
        server.plays(answer)
    signed = f"{url}?{SECRET}"
    with pytest.raises(CloudError) as caught:
        client(server.origin, token=TOKEN).objects.read(signed, 0, 3)
    shown = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert "deadbeef" not in shown
    assert TOKEN not in shown
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_urllib3_logs_no_query_string(
    server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.plays(Reply(206, b"a", {"Content-Range": "bytes 0-0/1"}))
    client(server.origin).objects.read(f"{server.origin}/path?{SECRET}", 0, 1)
    logging.getLogger("urllib3.connectionpool").warning("Failed (url=%s)", f"http://h/o?{SECRET}")
    assert "GET /path?[...]" in caplog.text
    assert "deadbeef" not in caplog.text


def test_a_server_that_echoes_secrets_is_not_quoted(server: LocalServer, time: FakeTime) -> None:
    server.plays(reply({"error": f"bad token Bearer {TOKEN} in {TOKEN} at /x?{SECRET}"}, 503))
    with pytest.raises(ServerFault, match=r"bad token \[token\] in \[...\] at /x\?") as caught:
        client(server.origin, time, token=TOKEN).datasets.document_count(DATASET)
    assert TOKEN not in str(caught.value)
    assert "deadbeef" not in str(caught.value)


def test_a_sign_in_that_fails_does_not_quote_the_password(
    server: LocalServer, time: FakeTime
) -> None:
    server.plays(reply({"error": "cannot log in a@b.org with geheim"}, 500))
    with pytest.raises(ServerFault, match=r"with \[...\]") as caught:
        client(server.origin, time, email="a@b.org", password="geheim").account.sign_in()
    assert "geheim" not in str(caught.value)


def test_a_session_from_outside_is_used_and_sends_no_more(server: LocalServer) -> None:
    http = requests.Session()
    http.headers["X-Mine"] = "yes"
    server.plays(reply({"count": 1}))
    with NdiCloud(CloudConfig(f"{server.origin}/v1"), http=http) as cloud:
        assert cloud.datasets.document_count(DATASET) == 1
    assert server.received[0].headers["X-Mine"] == "yes"


def test_a_message_is_one_short_line() -> None:
    assert one_line("a\r\n\tb\x1b[31m\u2028c") == "a b [31m c"
    assert len(one_line("x" * 1000)) == 200
