"""Signing in: when, how often, with what, and who waits for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.errors import (
    BadAnswer,
    NotSignedIn,
    Refused,
    ServerFault,
    TimedOut,
    Unreachable,
    WrongCredentials,
)
from tests.cloud.local_server import FakeTime, LocalServer, Received, Reply, client, reply, token

EMAIL, PASSWORD = "a@b.org", "geheim"
USER = {
    "id": "65f0c0ffee0000000000a001",
    "email": EMAIL,
    "name": "A. Person",
    "organizations": {"id": "65f0c0ffee0000000000b001", "name": "lab", "canUploadDataset": True},
}


class Cloud:
    """Sign-in and ``/users/me`` of an NDI Cloud whose tokens live for an hour of ``time``."""

    def __init__(self, server: LocalServer, time: FakeTime) -> None:
        self.time = time
        self.logins = 0
        self.valid: set[str] = set()
        self.login_reply: Reply | None = None
        self.server = server
        server.answer = self.answer

    def answer(self, received: Received) -> Reply:
        if received.path == "/v1/auth/login":
            self.logins += 1
            if self.login_reply is not None:
                return self.login_reply
            assert received.json == {"email": EMAIL, "password": PASSWORD}
            assert "Authorization" not in received.headers
            fresh = token(exp=self.time.now + 3600, iat=self.time.now, email=EMAIL, n=self.logins)
            self.valid = {fresh}
            return reply({"token": fresh, "user": USER})
        sent = received.headers.get("Authorization", "").removeprefix("Bearer ")
        if received.path == "/v1/auth/logout":
            self.valid.discard(sent)
            return reply({})
        if received.path == "/v1/datasets/published":
            return reply({"datasets": [], "totalNumber": 0})
        if sent not in self.valid:
            return reply({"errors": "Unauthorized"}, 401)
        return reply(USER) if received.path == "/v1/users/me" else reply({"id": "1" * 24})

    def client(self, **settings: Any) -> NdiCloud:
        return client(self.server.origin, self.time, **settings)

    def account(self) -> NdiCloud:
        return self.client(email=EMAIL, password=PASSWORD)


@pytest.fixture
def cloud(server: LocalServer, time: FakeTime) -> Cloud:
    return Cloud(server, time)


def test_the_first_call_signs_in_and_the_token_is_kept(cloud: Cloud) -> None:
    account = cloud.account().account
    assert not account.anonymous
    user = account.user()
    assert (user.email, user.organizations[0].name) == (EMAIL, "lab")
    assert account.user() == user
    assert cloud.server.paths() == ["/v1/auth/login", "/v1/users/me", "/v1/users/me"]
    assert account.token_expires == cloud.time.now + 3600


def test_signing_in_gives_the_user(cloud: Cloud) -> None:
    ndi = cloud.account()
    assert ndi.account.sign_in().name == "A. Person"
    ndi.account.user()
    assert cloud.logins == 1


def test_a_token_is_replaced_a_minute_before_its_end(cloud: Cloud) -> None:
    account = cloud.account().account
    account.user()
    cloud.time.now += 3539
    account.user()
    assert cloud.logins == 1
    cloud.time.now += 1
    account.user()
    assert cloud.logins == 2


def test_the_clocks_need_not_agree(cloud: Cloud, server: LocalServer, time: FakeTime) -> None:
    here = FakeTime()
    here.now += 7200  # two hours ahead: every new token looks expired
    ndi = client(server.origin, here, email=EMAIL, password=PASSWORD)
    for _ in range(3):
        ndi.account.user()
    assert cloud.logins == 1


def test_a_401_signs_in_again_and_repeats_even_a_write(cloud: Cloud) -> None:
    ndi = cloud.account()
    ndi.account.user()
    cloud.valid.clear()
    assert ndi.documents.add("2" * 24, {"base": {}}) == "1" * 24
    assert cloud.logins == 2
    assert cloud.server.paths()[2:] == [
        f"/v1/datasets/{'2' * 24}/documents",
        "/v1/auth/login",
        f"/v1/datasets/{'2' * 24}/documents",
    ]


def test_64_threads_that_meet_a_401_share_one_login(cloud: Cloud) -> None:
    ndi = cloud.account()
    ndi.account.user()
    cloud.valid.clear()
    together = threading.Barrier(64)

    def ask(_: int) -> str:
        together.wait(30)
        return ndi.account.user().email

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(ask, range(64))) == [EMAIL] * 64
    assert cloud.logins == 2


def test_64_threads_without_token_share_one_login(cloud: Cloud) -> None:
    ndi = cloud.account()
    with ThreadPoolExecutor(64) as pool:
        users = list(pool.map(lambda _: ndi.account.user().email, range(64)))
    assert users == [EMAIL] * 64
    assert cloud.logins == 1


def test_a_failed_login_fails_for_all_that_wait(cloud: Cloud) -> None:
    cloud.login_reply = reply({"message": "down"}, 503)
    ndi = cloud.account()
    kinds = []

    def ask(_: int) -> None:
        try:
            ndi.account.user()
        except (ServerFault, TimedOut) as error:
            kinds.append(type(error))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert kinds == [ServerFault] * 8


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_wrong_credentials_are_remembered_for_30_seconds(cloud: Cloud, status: int) -> None:
    cloud.login_reply = reply({"errors": "Unable to login"}, status)
    account = cloud.account().account
    for _ in range(3):
        with pytest.raises(WrongCredentials, match="check NDI_CLOUD_USERNAME") as caught:
            account.user()
        assert PASSWORD not in str(caught.value)
    assert cloud.logins == 1
    cloud.login_reply = None
    cloud.time.now += 31
    assert account.user().email == EMAIL


def test_a_server_in_trouble_is_no_wrong_password(cloud: Cloud) -> None:
    cloud.login_reply = reply({}, 302, Location="/elsewhere")
    with pytest.raises(Refused):
        cloud.account().account.user()
    with pytest.raises(Unreachable):
        client("http://127.0.0.1:1", email=EMAIL, password=PASSWORD).account.user()


def test_a_401_that_a_new_token_does_not_cure_costs_one_login(cloud: Cloud) -> None:
    ndi = cloud.account()
    ndi.account.sign_in()
    everything = cloud.answer

    def private(received: Received) -> Reply:
        if received.path.startswith("/v1/datasets/"):
            return reply({}, 401)
        return everything(received)

    cloud.server.answer = private
    for _ in range(5):
        with pytest.raises(NotSignedIn):
            ndi.datasets.detail("2" * 24)
    assert cloud.logins == 2
    assert ndi.account.user().email == EMAIL


def test_an_anonymous_reader_sends_no_header(cloud: Cloud) -> None:
    ndi = cloud.client()
    assert ndi.account.anonymous
    assert ndi.datasets.published() == []
    assert "Authorization" not in cloud.server.received[0].headers
    with pytest.raises(NotSignedIn, match="set NDI_CLOUD_USERNAME"):
        ndi.account.user()
    with pytest.raises(NotSignedIn):
        ndi.account.sign_in()
    assert len(cloud.server.received) == 1
    with pytest.raises(NotSignedIn):
        ndi.datasets.detail("2" * 24)
    assert cloud.logins == 0


def test_half_a_sign_in_is_an_error_and_not_anonymous(cloud: Cloud) -> None:
    ndi = cloud.client(email=EMAIL)
    assert not ndi.account.anonymous
    with pytest.raises(NotSignedIn, match="set both"):
        ndi.datasets.published()


def test_a_configured_token_is_used(cloud: Cloud) -> None:
    mine = token(exp=cloud.time.now + 600, email="A@b.org")
    cloud.valid = {mine}
    ndi = cloud.client(token=mine, email=EMAIL, password=PASSWORD)
    assert ndi.account.user().email == EMAIL
    assert ndi.account.token_expires == cloud.time.now + 600
    assert cloud.logins == 0


@pytest.mark.parametrize(
    "claims",
    [{"exp": 1_799_999_999, "email": EMAIL}, {"exp": 4e9, "email": "x@y.org"}, {"exp": 4e9}],
)
def test_a_token_that_is_old_or_not_ones_own_is_not_sent(
    cloud: Cloud, claims: dict[str, Any]
) -> None:
    useless = token(**claims)
    ndi = cloud.client(token=useless, email=EMAIL, password=PASSWORD)
    assert ndi.account.user().email == EMAIL
    assert cloud.logins == 1
    assert all(useless not in str(each.headers) for each in cloud.server.received)


def test_a_useless_token_without_credentials_is_an_error(cloud: Cloud) -> None:
    with pytest.raises(NotSignedIn, match="NDI_CLOUD_TOKEN has expired"):
        cloud.client(token=token(exp=1)).account.user()
    with pytest.raises(NotSignedIn, match="belongs to another account"):
        cloud.client(token=token(exp=4e9, email="x@y.org"), email=EMAIL).account.user()
    assert cloud.server.received == []


def test_a_token_alone_is_used_until_its_end_and_not_after(cloud: Cloud) -> None:
    mine = token(exp=cloud.time.now + 100)
    cloud.valid = {mine}
    account = cloud.client(token=mine).account
    cloud.time.now += 99
    account.user()
    cloud.time.now += 1
    with pytest.raises(NotSignedIn, match="has expired"):
        account.user()


@pytest.mark.parametrize("opaque", ["opaque", "a.b.c", "a.bnVsbA.c", token(exp="soon")])
def test_an_opaque_token_is_sent_as_it_is(cloud: Cloud, opaque: str) -> None:
    cloud.valid = {opaque}
    account = cloud.client(token=opaque).account
    assert account.user().email == EMAIL
    assert account.token_expires is None
    cloud.valid.clear()
    with pytest.raises(NotSignedIn, match="renew NDI_CLOUD_TOKEN"):
        account.user()


def test_signing_out_drops_the_token_whatever_the_server_says(cloud: Cloud) -> None:
    ndi = cloud.account()
    ndi.account.sign_out()
    assert cloud.server.received == []
    ndi.account.sign_in()
    ndi.account.sign_out()
    assert cloud.valid == set()
    assert ndi.account.token_expires is None
    ndi.account.sign_in()
    cloud.server.answer = lambda _: reply({}, 500)
    ndi.account.sign_out()
    assert ndi.account.token_expires is None


@pytest.mark.parametrize("answer", [{}, {"token": ""}, {"user": USER}, [], {"token": {"a": 1}}])
def test_a_login_without_token_is_a_broken_answer(cloud: Cloud, answer: object) -> None:
    cloud.login_reply = reply(answer)
    with pytest.raises(BadAnswer, match="POST /auth/login"):
        cloud.account().account.user()
