"""Section 2: login, tokens, logout, account flows."""

from __future__ import annotations

import base64
import json
import time

import pytest

from tests.sandbox.raw import PASSWORD, Api, Json, login, ok
from tests.support.sandbox import Sandbox


def claims(token: str) -> Json:
    middle = token.split(".")[1]
    decoded: Json = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    return decoded


def failure(answer_body: Json) -> str:
    assert answer_body["errors"]
    return str(answer_body["code"])


def test_login_gives_token_and_user(sandbox: Sandbox, nobody: Api) -> None:
    sent = {"email": sandbox.email, "password": sandbox.password}
    answer = ok(nobody.post("/auth/login", sent))
    assert set(answer) == {"token", "user"}
    user = answer["user"]
    assert set(user) == {"id", "name", "email", "isValidated", "isAdmin", "organizations"}
    assert user["email"] == sandbox.email
    (organization,) = user["organizations"]
    assert set(organization) == {"id", "name", "canUploadDataset"}
    assert organization["id"] == sandbox.organization_id


def test_token_is_a_jwt_with_the_claims_that_clients_use(sandbox: Sandbox, api: Api) -> None:
    known = claims(api.token)
    assert set(known) == {"exp", "iat", "email", "sub"}
    assert known["email"] == sandbox.email
    assert known["exp"] - known["iat"] == pytest.approx(3600, abs=1)


@pytest.mark.parametrize("email", ["sandbox@example.org", "stranger@example.org"])
def test_wrong_email_or_password_is_401(nobody: Api, email: str) -> None:
    answer = nobody.post("/auth/login", {"email": email, "password": "wrong"})
    assert (answer.status_code, answer.json()) == (401, {"errors": "Unable to login"})


@pytest.mark.parametrize("token", ["", "garbage", "a.b.c"])
def test_protected_route_needs_a_good_token(sandbox: Sandbox, token: str) -> None:
    with Api(sandbox.url, token) as caller:
        assert caller.get("/users/me").status_code == 401


def test_forged_token_is_refused(sandbox: Sandbox, api: Api) -> None:
    head, middle, signature = api.token.split(".")
    forged = base64.urlsafe_b64encode(json.dumps({**claims(api.token), "sub": "x"}).encode())
    with Api(sandbox.url, f"{head}.{forged.decode().rstrip('=')}.{signature}") as caller:
        assert caller.get("/users/me").status_code == 401
    with Api(sandbox.url, f"{head}.{middle}.{signature[::-1]}") as caller:
        assert caller.get("/users/me").status_code == 401


def test_token_expires(sandbox: Sandbox) -> None:
    sandbox.set(token_life=0)
    with login(sandbox) as caller:
        assert claims(caller.token)["exp"] <= time.time()
        assert caller.get("/users/me").status_code == 401


def test_tokens_can_be_made_to_expire_at_once(sandbox: Sandbox, api: Api) -> None:
    sandbox.expire(tokens=True)
    assert api.get("/users/me").status_code == 401
    with login(sandbox) as again:
        ok(again.get("/users/me"))


def test_bad_token_where_none_is_needed(sandbox: Sandbox, published: str) -> None:
    with Api(sandbox.url, "garbage") as caller:
        assert caller.get(f"/datasets/{published}").status_code == 401
        sandbox.set(open_route_bad_token="anonymous")
        assert caller.get(f"/datasets/{published}").status_code == 200


def test_logout(api: Api, nobody: Api) -> None:
    ok(api.post("/auth/logout"))
    ok(api.post("/auth/logout", {}))
    assert nobody.post("/auth/logout").status_code == 401


class TestSignUp:
    EMAIL = "new@example.org"

    @pytest.fixture
    def newcomer(self, nobody: Api) -> Json:
        sent = {"email": self.EMAIL, "name": "New", "password": PASSWORD}
        return ok(nobody.post("/users", sent))

    def code(self, sandbox: Sandbox, purpose: str) -> str:
        return str(sandbox.control("GET", f"/codes?email={self.EMAIL}")[purpose])

    def test_answer(self, newcomer: Json) -> None:
        assert newcomer.pop("id")
        expected = {"email": self.EMAIL, "name": "New", "isValidated": False, "organizations": []}
        assert newcomer == expected

    @pytest.mark.usefixtures("newcomer")
    def test_verify_then_login_with_a_default_organization(
        self, sandbox: Sandbox, nobody: Api
    ) -> None:
        sent = {"email": self.EMAIL, "password": PASSWORD}
        assert nobody.post("/auth/login", sent).status_code == 401
        code = self.code(sandbox, "verify")
        assert len(code) == 6
        answer = ok(nobody.post("/auth/verify", {"email": self.EMAIL, "confirmationCode": code}))
        assert set(answer) == {"id", "email", "isValidated"}
        assert answer["isValidated"] is True
        assert len(ok(nobody.post("/auth/login", sent))["user"]["organizations"]) == 1

    @pytest.mark.usefixtures("newcomer")
    def test_verify_failures(self, sandbox: Sandbox, nobody: Api) -> None:
        sent = {"email": self.EMAIL, "confirmationCode": "wrong!"}
        answer = nobody.post("/auth/verify", sent)
        assert answer.status_code == 400
        assert failure(answer.json()) == "CodeMismatchException"
        sent["confirmationCode"] = self.code(sandbox, "verify")
        ok(nobody.post("/auth/verify", sent))
        assert failure(nobody.post("/auth/verify", sent).json()) == "NotAuthorizedException"

    @pytest.mark.usefixtures("newcomer")
    def test_resend(self, sandbox: Sandbox, nobody: Api) -> None:
        sent = {"email": self.EMAIL}
        assert ok(nobody.post("/auth/confirmation/resend", sent)) == {"confirmationResent": True}
        code = self.code(sandbox, "verify")
        ok(nobody.post("/auth/verify", {**sent, "confirmationCode": code}))
        answer = nobody.post("/auth/confirmation/resend", sent)
        assert answer.status_code == 400
        assert failure(answer.json()) == "InvalidParameterException"
        unknown = nobody.post("/auth/confirmation/resend", {"email": "x@example.org"})
        assert failure(unknown.json()) == "UserNotFoundException"

    @pytest.mark.usefixtures("newcomer")
    def test_email_is_taken(self, nobody: Api) -> None:
        answer = nobody.post("/users", {"email": self.EMAIL, "name": "", "password": PASSWORD})
        assert answer.status_code == 400
        assert failure(answer.json()) == "UsernameExistsException"

    @pytest.mark.parametrize(
        "password", ["Sh0rt!", "lower0nly!", "UPPER0NLY!", "NoDigit!", "N0symbol"]
    )
    def test_password_policy(self, nobody: Api, password: str) -> None:
        answer = nobody.post("/users", {"email": self.EMAIL, "name": "", "password": password})
        assert answer.status_code == 400
        assert failure(answer.json()) == "InvalidPasswordException"


class TestPassword:
    NEW = "An0ther-one"

    def test_change(self, sandbox: Sandbox, api: Api) -> None:
        wrong = api.post("/auth/password", {"oldPassword": "no", "newPassword": self.NEW})
        assert wrong.status_code == 400
        assert failure(wrong.json()) == "NotAuthorizedException"
        weak = api.post("/auth/password", {"oldPassword": sandbox.password, "newPassword": "weak"})
        assert failure(weak.json()) == "InvalidPasswordException"
        sent = {"oldPassword": sandbox.password, "newPassword": self.NEW}
        assert "message" in ok(api.post("/auth/password", sent))
        login(sandbox, sandbox.email, self.NEW).close()

    def test_forgot(self, sandbox: Sandbox, nobody: Api) -> None:
        answer = ok(nobody.post("/auth/password/forgot", {"email": sandbox.email}))
        assert answer["CodeDeliveryDetails"] == {
            "Destination": "s***@e***",
            "DeliveryMedium": "EMAIL",
            "AttributeName": "email",
        }
        unknown = nobody.post("/auth/password/forgot", {"email": "x@example.org"})
        assert unknown.status_code == 400
        assert failure(unknown.json()) == "UserNotFoundException"

    def test_confirm_is_200_both_ways(self, sandbox: Sandbox, nobody: Api) -> None:
        ok(nobody.post("/auth/password/forgot", {"email": sandbox.email}))
        sent = {"email": sandbox.email, "confirmationCode": "wrong!", "newPassword": self.NEW}
        assert ok(nobody.post("/auth/password/confirm", sent)) == {
            "errors": "Unable to reset password",
            "code": "CodeMismatchException",
        }
        sent["confirmationCode"] = sandbox.control("GET", f"/codes?email={sandbox.email}")["reset"]
        assert ok(nobody.post("/auth/password/confirm", sent)) == {
            "message": "Password reset",
            "code": "Success!",
        }
        login(sandbox, sandbox.email, self.NEW).close()
