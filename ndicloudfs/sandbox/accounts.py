"""Users, organizations, sign-in and the account flows (2, 3)."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Sequence

from aiohttp import web

from ndicloudfs.sandbox.access import Caller
from ndicloudfs.sandbox.answers import Json, Refusal, answer, body_of, cast_error
from ndicloudfs.sandbox.ids import CloudIds, is_cloud_id
from ndicloudfs.sandbox.world import USER, Auth, Route, World

# 10 ms a try: enough for a store that only this machine reads, and for tests that sign in often.
_SCRYPT_COST = 2**12
_CODE_LETTERS = "0123456789"
VERIFY, RESET = "verify", "reset"


class Accounts:
    """The routes under /auth and /users."""

    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> Sequence[Route]:
        """The rows of section 10 on accounts, without licenses."""
        return [
            Route("POST", "/auth/login", self.login, Auth.IGNORED),
            Route("POST", "/auth/logout", self.logout, Auth.BEARER),
            Route("POST", "/auth/verify", self.verify, Auth.IGNORED),
            Route("POST", "/auth/confirmation/resend", self.resend, Auth.IGNORED),
            Route("POST", "/auth/password", self.change_password, Auth.BEARER),
            Route("POST", "/auth/password/forgot", self.forgot, Auth.IGNORED),
            Route("POST", "/auth/password/confirm", self.confirm, Auth.IGNORED),
            Route("POST", "/users", self.sign_up, Auth.IGNORED),
            Route("GET", "/users/me", self.me, Auth.BEARER),
            Route("GET", "/users/{userId}", self.user, Auth.BEARER),
        ]

    async def login(self, request: web.Request) -> web.Response:
        """2.1: a token and the user; 401 where e-mail or password is wrong."""
        sent = await body_of(request)

        def work(connection: sqlite3.Connection) -> tuple[sqlite3.Row, Json]:
            user = _by_email(connection, sent.get("email"))
            if user is None or not _matches(sent.get("password"), user["password"]):
                raise Refusal(401, {"errors": "Unable to login"})
            if not user["validated"]:
                code = "UserNotConfirmedException"
                raise Refusal(401, {"errors": "Unable to login", "code": code})
            return user, _user_json(connection, user)

        user, shown = await self._world.store.read(work)
        token = self._world.tokens.make(user["id"], user["email"], self._world.settings.token_life)
        del shown["bookmarkedDatasetIds"]
        return answer({"token": token, "user": shown})

    async def logout(self, request: web.Request) -> web.Response:
        """2.3: nothing happens; the token lives on until it expires."""
        del request
        return answer({"message": "Logged out"})

    async def me(self, request: web.Request) -> web.Response:
        """3: the caller with their organizations."""
        return await self._shown(request, request[USER])

    async def user(self, request: web.Request) -> web.Response:
        """3: any user, by cloud id."""
        return await self._shown(request, request.match_info["userId"])

    async def _shown(self, request: web.Request, user_id: str | None) -> web.Response:
        def work(connection: sqlite3.Connection, _: Caller) -> Json:
            if not is_cloud_id(user_id):
                raise cast_error(str(user_id), "User")
            user = connection.execute("SELECT * FROM users WHERE id = ?", (user_id,)).fetchone()
            if user is None:
                raise Refusal(404, {"errors": "User not found"})
            return _user_json(connection, user)

        return answer(await self._world.read(request, work))

    async def sign_up(self, request: web.Request) -> web.Response:
        """2.4: a user who is not validated yet, with an organization of their own."""
        sent = await body_of(request)
        email, password = sent.get("email"), sent.get("password")
        if not isinstance(email, str) or "@" not in email:
            raise _failure("Invalid email address format.", "InvalidParameterException")
        name = str(sent.get("name") or "")

        def work(connection: sqlite3.Connection) -> Json:
            if _by_email(connection, email) is not None:
                sentence = "An account with the given email already exists."
                raise _failure(sentence, "UsernameExistsException")
            _check_policy(password)
            user_id = insert_user(
                connection, self._world.ids, email, str(password), name=name, validated=False
            )
            insert_organization(
                connection,
                self._world.ids,
                user_id,
                f"{name}'s lab",
                can_upload=self._world.settings.signup_can_upload,
            )
            _new_code(connection, email, VERIFY)
            shown: Json = {"id": user_id, "email": email, "name": name}
            return {**shown, "isValidated": False, "organizations": []}

        return answer(await self._world.store.write(work))

    async def verify(self, request: web.Request) -> web.Response:
        """2.4: the code that was sent by e-mail validates the user."""
        sent = await body_of(request)

        def work(connection: sqlite3.Connection) -> Json:
            user = _by_email(connection, sent.get("email"))
            if user is not None and user["validated"]:
                sentence = "User cannot be confirmed. Current status is CONFIRMED"
                raise _failure(sentence, "NotAuthorizedException")
            if user is None or not _takes_code(connection, user["email"], VERIFY, sent):
                sentence = "Invalid verification code provided, please try again."
                raise _failure(sentence, "CodeMismatchException")
            connection.execute("UPDATE users SET validated = 1 WHERE id = ?", (user["id"],))
            return {"id": user["id"], "email": user["email"], "isValidated": True}

        return answer(await self._world.store.write(work))

    async def resend(self, request: web.Request) -> web.Response:
        """2.4: a new code for somebody who is not validated yet."""
        sent = await body_of(request)

        def work(connection: sqlite3.Connection) -> None:
            user = _known(connection, sent.get("email"))
            if user["validated"]:
                raise _failure("User is already confirmed.", "InvalidParameterException")
            _new_code(connection, user["email"], VERIFY)

        await self._world.store.write(work)
        return answer({"confirmationResent": True})

    async def change_password(self, request: web.Request) -> web.Response:
        """2.4: a new password for somebody who knows the old one."""
        sent = await body_of(request)

        def work(connection: sqlite3.Connection, caller: Caller) -> None:
            user = connection.execute(
                "SELECT * FROM users WHERE id = ?", (caller.user_id,)
            ).fetchone()
            if not _matches(sent.get("oldPassword"), user["password"]):
                raise _failure("Incorrect username or password.", "NotAuthorizedException")
            _check_policy(sent.get("newPassword"))
            _set_password(connection, user["id"], sent["newPassword"])

        await self._world.write(request, work)
        return answer({"message": "Password updated"})

    async def forgot(self, request: web.Request) -> web.Response:
        """2.4: a code to set a new password with."""
        sent = await body_of(request)

        def work(connection: sqlite3.Connection) -> str:
            user = _known(connection, sent.get("email"))
            _new_code(connection, user["email"], RESET)
            return str(user["email"])

        local, _, domain = (await self._world.store.write(work)).partition("@")
        delivery = {
            "Destination": f"{local[:1]}***@{domain[:1]}***",
            "DeliveryMedium": "EMAIL",
            "AttributeName": "email",
        }
        return answer({"CodeDeliveryDetails": delivery})

    async def confirm(self, request: web.Request) -> web.Response:
        """2.4: set a new password with a code; success and failure are both 200."""
        sent = await body_of(request)

        def work(connection: sqlite3.Connection) -> None:
            user = _by_email(connection, sent.get("email"))
            if user is None or not _takes_code(connection, user["email"], RESET, sent):
                raise _failure("Unable to reset password", "CodeMismatchException")
            _check_policy(sent.get("newPassword"))
            _set_password(connection, user["id"], sent["newPassword"])

        try:
            await self._world.store.write(work)
        except Refusal as refusal:
            code = refusal.body["code"] if isinstance(refusal.body, dict) else ""
            return answer({"errors": "Unable to reset password", "code": code})
        return answer({"message": "Password reset", "code": "Success!"})


def insert_user(
    connection: sqlite3.Connection,
    ids: CloudIds,
    email: str,
    password: str,
    *,
    name: str,
    validated: bool = True,
    admin: bool = False,
) -> str:
    """A new user; gives the id."""
    user_id = ids.new()
    connection.execute(
        "INSERT INTO users (id, email, name, password, validated, admin) VALUES (?, ?, ?, ?, ?, ?)",
        (user_id, email, name, _hashed(password), validated, admin),
    )
    return user_id


def insert_organization(
    connection: sqlite3.Connection, ids: CloudIds, user_id: str, name: str, *, can_upload: bool
) -> str:
    """A new organization with one member; gives its id."""
    organization_id = ids.new()
    connection.execute(
        "INSERT INTO organizations (id, name, can_upload) VALUES (?, ?, ?)",
        (organization_id, name, can_upload),
    )
    add_member(connection, user_id, organization_id)
    return organization_id


def add_member(connection: sqlite3.Connection, user_id: str, organization_id: str) -> None:
    """Let a user belong to an organization."""
    connection.execute(
        "INSERT OR IGNORE INTO members (user_id, organization_id) VALUES (?, ?)",
        (user_id, organization_id),
    )


def codes(connection: sqlite3.Connection, email: str) -> dict[str, str]:
    """The codes that were sent to ``email`` and not used, by purpose."""
    rows = connection.execute("SELECT purpose, code FROM codes WHERE email = ?", (email,))
    return {row["purpose"]: row["code"] for row in rows}


def _user_json(connection: sqlite3.Connection, user: sqlite3.Row) -> Json:
    organizations = connection.execute(
        "SELECT o.id, o.name, o.can_upload FROM organizations o JOIN members m"
        " ON m.organization_id = o.id WHERE m.user_id = ? ORDER BY m.rowid",
        (user["id"],),
    )
    bookmarks = connection.execute(
        "SELECT dataset_id FROM bookmarks WHERE user_id = ? ORDER BY rowid", (user["id"],)
    )
    return {
        "id": user["id"],
        "name": user["name"],
        "email": user["email"],
        "isValidated": bool(user["validated"]),
        "isAdmin": bool(user["admin"]),
        "bookmarkedDatasetIds": [row["dataset_id"] for row in bookmarks],
        "organizations": [
            {"id": row["id"], "name": row["name"], "canUploadDataset": bool(row["can_upload"])}
            for row in organizations
        ],
    }


def _by_email(connection: sqlite3.Connection, email: object) -> sqlite3.Row | None:
    if not isinstance(email, str):
        return None
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM users WHERE email = ?", (email,)
    ).fetchone()
    return row


def _known(connection: sqlite3.Connection, email: object) -> sqlite3.Row:
    user = _by_email(connection, email)
    if user is None:
        raise _failure("Username/client id combination not found.", "UserNotFoundException")
    return user


def _failure(sentence: str, code: str) -> Refusal:
    return Refusal(400, {"errors": sentence, "code": code})


def _check_policy(password: object) -> None:
    """At least 8 characters with upper, lower, digit and symbol (2.4)."""
    fits = isinstance(password, str) and len(password) >= 8
    kinds = (str.isupper, str.islower, str.isdigit, lambda letter: not letter.isalnum())
    if not fits or not all(any(map(kind, str(password))) for kind in kinds):
        sentence = "Password did not conform with policy"
        raise _failure(sentence, "InvalidPasswordException")


def _new_code(connection: sqlite3.Connection, email: str, purpose: str) -> None:
    code = "".join(secrets.choice(_CODE_LETTERS) for _ in range(6))
    connection.execute(
        "INSERT OR REPLACE INTO codes (email, purpose, code) VALUES (?, ?, ?)",
        (email, purpose, code),
    )


def _takes_code(connection: sqlite3.Connection, email: str, purpose: str, sent: Json) -> bool:
    known = codes(connection, email).get(purpose)
    if known is None or known != sent.get("confirmationCode"):
        return False
    connection.execute("DELETE FROM codes WHERE email = ? AND purpose = ?", (email, purpose))
    return True


def _set_password(connection: sqlite3.Connection, user_id: str, password: str) -> None:
    connection.execute("UPDATE users SET password = ? WHERE id = ?", (_hashed(password), user_id))


def _hashed(password: str) -> str:
    salt = secrets.token_bytes(16)
    return f"{salt.hex()}${_scrypt(password, salt).hex()}"


def _matches(password: object, hashed: str) -> bool:
    salt, _, known = hashed.partition("$")
    if not isinstance(password, str):
        return False
    return hmac.compare_digest(_scrypt(password, bytes.fromhex(salt)), bytes.fromhex(known))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_SCRYPT_COST, r=8, p=1)
