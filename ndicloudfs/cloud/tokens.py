"""The token of the account: where it comes from, how long it is used, who fetches the next.

There is no refresh at NDI Cloud: a token lives an hour, then the credentials are sent again
(section 2.2). However many threads need a token at once, one of them signs in. Where the sign-in is
stored, a token that another program stored there is used before that.
"""

from __future__ import annotations

import base64
import json
import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any

from ndicloudfs.cloud.answers import an_object, decode, text
from ndicloudfs.cloud.config import CloudConfig
from ndicloudfs.cloud.errors import (
    CloudError,
    NotFound,
    NotSignedIn,
    PermissionDenied,
    Refused,
    TimedOut,
    Unreachable,
    WrongCredentials,
)
from ndicloudfs.cloud.profiles import SignedIn, Stored
from ndicloudfs.cloud.session import Call, Session
from ndicloudfs.cloud.values import Json, User, as_object, as_text

REFRESH_EARLY = 60.0  # s before the end of a token
USUAL_LIFE = 3600.0  # s, for a token that does not say (section 2.1)
PATIENCE = 30.0  # s before a sign-in that was no use is tried again


def claims(token: str) -> Json:
    """The claims of a JWT, not verified; empty when it is not one."""
    try:
        payload = token.split(".")[1]
        return as_object(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))))
    except (IndexError, ValueError, RecursionError):
        return {}


def expires(token: str) -> float | None:
    """The end of a token in seconds of the epoch, None when it does not say."""
    return _moment(claims(token).get("exp"))


def _moment(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e12 else None


@dataclass(frozen=True, slots=True)
class SignIn:
    """The answer to a sign-in."""

    user: User
    token: str = field(repr=False)

    @classmethod
    def read(cls, content: bytes) -> SignIn:
        """Read the answer of ``POST /auth/login`` (section 2.1)."""
        answer = an_object(decode(content))
        return cls(User.from_json(answer.get("user")), text("token")(answer))


class Tokens:
    """Gives the token for a call, signing in where it has to. Used by any thread."""

    def __init__(
        self,
        config: CloudConfig,
        session: Session,
        stored: Stored | None = None,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._config = config
        self._session = session
        self._stored = stored
        self._clock = clock
        self._monotonic = monotonic
        self._lock = threading.Lock()  # guards all below; never held across a call
        self._flight: Future[SignIn] | None = None
        self._wrong: tuple[float, str] | None = None
        self._useless: tuple[float, str] | None = None
        self._token, self._refresh_at, self._end = "", -math.inf, -math.inf
        self._objection = self._object_to(config.token)
        if config.token and not self._objection:
            self._use(config.token, expires(config.token) or math.inf)
        self._stored_elsewhere("")

    @property
    def can_sign_in(self) -> bool:
        """Whether there are an e-mail address and a password, configured or stored."""
        if self._config.email and self._config.password:
            return True
        stored = self._stored.load() if self._stored else None
        return stored is not None and stored.in_keychain and self._is_ours(stored)

    @property
    def token(self) -> str:
        """The token as it is, perhaps expired, perhaps ``""``; never a call."""
        with self._lock:
            return self._token

    @property
    def end(self) -> float | None:
        """The end of the token in seconds of the epoch; None without one or where it is silent."""
        with self._lock:
            return self._end if math.isfinite(self._end) else None

    def current(self, deadline: float) -> str:
        """A token that has not expired, ``""`` for an anonymous reader.

        Raises NotSignedIn, WrongCredentials, or what the sign-in ended with.
        """
        token = self._fresh() or self._stored_elsewhere("")
        if token:
            return token
        if self.can_sign_in:
            return self._sign_in(deadline, self._fresh).token
        with self._lock:
            if self._clock() < self._end:
                return self._token
        if self._stored is not None:
            raise NotSignedIn(
                f"The sign-in of {self._config.email} at NDI Cloud at {self._config.host} has "
                f"expired; run: {self._stored.advice}"
            )
        if self._config.token:
            why = self._objection or "NDI_CLOUD_TOKEN has expired"
            raise NotSignedIn(
                f"{why}; set a new one, or run: ndicloudfs login (with NDI_CLOUD_TOKEN unset)"
            )
        if self._config.email or self._config.password:
            raise NotSignedIn(
                f"The sign-in at NDI Cloud at {self._config.host} is incomplete; "
                "set both NDI_CLOUD_USERNAME and NDI_CLOUD_PASSWORD"
            )
        return ""

    def renew(self, rejected: str, deadline: float) -> str:
        """Another token than the one that the server rejected, ``""`` where there is none.

        There is none without credentials, and for 30 s after the server rejected a token that
        had just been fetched: its 401 then means something else.
        """

        def newer() -> str:
            token = self._fresh()
            return "" if token == rejected else token

        with self._lock:
            useless = self._useless
        if useless and useless[1] == rejected and self._monotonic() - useless[0] < PATIENCE:
            return ""
        elsewhere = self._stored_elsewhere(rejected)
        if elsewhere:
            return elsewhere
        if not self.can_sign_in:
            return ""
        return self._sign_in(deadline, newer).token

    def was_useless(self, token: str) -> None:
        """Remember that the server rejected a token which ``renew`` had just given."""
        with self._lock:
            self._useless = (self._monotonic(), token)

    def sign_in(self, deadline: float) -> User:
        """Send the credentials now. Raises NotSignedIn when there are none."""
        if not self.can_sign_in:
            raise NotSignedIn(
                f"There are no credentials for NDI Cloud at {self._config.host}; "
                "run: ndicloudfs login, or set NDI_CLOUD_USERNAME and NDI_CLOUD_PASSWORD"
            )
        return self._sign_in(deadline, lambda: "").user

    def forget(self) -> None:
        """Drop the token."""
        with self._lock:
            self._token, self._refresh_at, self._end = "", -math.inf, -math.inf

    def _fresh(self) -> str:
        return self._token if self._clock() < self._refresh_at else ""

    def _use(self, token: str, end: float) -> None:
        """Use ``token`` until ``end``, and look for the next one early where one can come."""
        early = REFRESH_EARLY if self._stored is not None or self.can_sign_in else 0.0
        with self._lock:
            self._token, self._refresh_at, self._end = token, end - early, end

    def _stored_elsewhere(self, rejected: str) -> str:
        """A token that another program has stored since, ``""`` when there is none."""
        stored = self._stored.load() if self._stored else None
        if stored is None or stored.token in ("", rejected, self._token):
            return ""
        end = stored.until or expires(stored.token) or math.inf
        if not self._is_ours(stored) or end <= self._clock() + (REFRESH_EARLY if rejected else 0):
            return ""
        self._use(stored.token, end)
        return stored.token

    def _is_ours(self, stored: SignedIn) -> bool:
        """Whether it is this account on this server: the token goes nowhere else."""
        return (
            stored.url == self._config.url
            and stored.email.casefold() == self._config.email.casefold()
        )

    def _sign_in(self, deadline: float, already: Callable[[], str]) -> SignIn:
        """Sign in, or wait for the thread that does; nothing when ``already`` gives a token."""
        with self._lock:
            token = already()
            if token:
                return SignIn(User.from_json(None), token)
            if self._wrong and self._monotonic() - self._wrong[0] < PATIENCE:
                raise WrongCredentials(self._wrong[1])
            flight = self._flight
            mine: Future[SignIn] | None = None
            if flight is None:
                flight = self._flight = mine = Future()
        if mine is None:
            try:
                return flight.result(max(0.0, deadline - self._monotonic()))
            except FutureTimeout:
                pass
            raise TimedOut(
                f"The sign-in at NDI Cloud at {self._config.host} did not end in time; "
                "try again later"
            )
        try:
            mine.set_result(self._fetch(deadline))
        except CloudError as error:
            mine.set_exception(error)
        except BaseException:
            mine.set_exception(Unreachable("The sign-in was interrupted; try again"))
            raise
        finally:
            with self._lock:
                self._flight = None
        return mine.result()

    def _fetch(self, deadline: float) -> SignIn:
        password = self._config.password or (self._stored.password() if self._stored else "")
        if not password:
            raise NotSignedIn(
                f"The keychain does not give the password of {self._config.email}; unlock it, "
                f"or run: {self._stored.advice if self._stored else 'ndicloudfs login'}"
            )
        credentials = {"email": self._config.email, "password": password}
        call = Call("POST", "/auth/login", body=credentials, idempotent=True)
        try:
            result = self._session.call(call, SignIn.read, token="", deadline=deadline)
        except (NotSignedIn, PermissionDenied, NotFound, Refused) as error:
            if error.status not in (400, 401, 403, 404):
                raise
            status, request_id = error.status, error.request_id
        else:
            self._keep(result.token)
            return result
        advice = "check NDI_CLOUD_USERNAME and NDI_CLOUD_PASSWORD"
        if self._stored is not None:
            advice = f"run: {self._stored.advice}"
        message = (
            f"NDI Cloud at {self._config.host} does not accept the e-mail and the password of "
            f"{self._config.email}; {advice}"
        )
        with self._lock:
            self._wrong = (self._monotonic(), message)
        raise WrongCredentials(message, status=status, request_id=request_id)

    def _keep(self, token: str) -> None:
        # By the life of the token and our own clock: the clocks need not agree.
        found = claims(token)
        end, start = _moment(found.get("exp")), _moment(found.get("iat"))
        now = self._clock()
        if end is None:
            life = USUAL_LIFE
        else:
            life = end - (now if start is None else start)
        with self._lock:
            self._token, self._end = token, now + life
            self._refresh_at = now + life - min(REFRESH_EARLY, life / 4)
            self._wrong = None
        if self._stored is not None:
            self._stored.keep(self._config.email, token, now + life)

    def _object_to(self, token: str) -> str:
        """Why a configured token cannot be used (issue #699), ``""`` when it can."""
        found: dict[str, Any] = claims(token)
        end = _moment(found.get("exp"))
        if end is not None and end <= self._clock():
            return "NDI_CLOUD_TOKEN has expired"
        owner, email = as_text(found.get("email")).casefold(), self._config.email.casefold()
        if email and owner != email and (owner or self.can_sign_in):
            return "NDI_CLOUD_TOKEN belongs to another account than NDI_CLOUD_USERNAME"
        return ""
