"""The account: signing in and out, and who that is (sections 2 and 3)."""

from __future__ import annotations

import contextlib

from ndicloudfs.cloud.answers import Malformed, an_object
from ndicloudfs.cloud.api import Api
from ndicloudfs.cloud.config import CloudConfig
from ndicloudfs.cloud.errors import CloudError, NotSignedIn
from ndicloudfs.cloud.profiles import SignedIn
from ndicloudfs.cloud.session import Call, Session
from ndicloudfs.cloud.tokens import Tokens, claims
from ndicloudfs.cloud.values import User, as_text


class Account:
    """The account that the configuration names; ``anonymous`` when it names none."""

    def __init__(self, config: CloudConfig, session: Session, tokens: Tokens, api: Api) -> None:
        self._config = config
        self._session = session
        self._tokens = tokens
        self._api = api
        self.anonymous = not (config.email or config.password or config.token)

    @property
    def email(self) -> str:
        """The e-mail address that is configured, else the one the token names, else ``""``."""
        return self._config.email or as_text(claims(self._config.token).get("email"))

    @property
    def token_expires(self) -> float | None:
        """The end of the token in seconds of the epoch; None without token or when it is silent."""
        return self._tokens.end

    @property
    def can_sign_in(self) -> bool:
        """Whether a token that ends is followed by another one without anybody's doing."""
        return self._tokens.can_sign_in

    def sign_in(self) -> User:
        """Send the credentials, whatever token there is.

        Raises WrongCredentials, or NotSignedIn when no credentials are configured.
        """
        return self._tokens.sign_in(self._session.deadline())

    def signed_in(self) -> SignedIn:
        """What to store of the sign-in that was just made."""
        return SignedIn(
            self._config.url, self._config.email, self._tokens.token, self._tokens.end or 0.0
        )

    def user(self) -> User:
        """Ask who is signed in (``GET /users/me``). Raises NotSignedIn for an anonymous reader."""
        if self.anonymous:
            raise NotSignedIn(
                f"No account is configured for NDI Cloud at {self._config.host}; "
                "run: ndicloudfs login, or set NDI_CLOUD_USERNAME and NDI_CLOUD_PASSWORD"
            )
        return self._api.get("/users/me", _user)

    def sign_out(self) -> None:
        """Drop the token and tell the server, as well as that goes (section 2.3).

        Where credentials are configured the next call signs in again.
        """
        token = self._tokens.token
        self._tokens.forget()
        if token:
            call = Call("POST", "/auth/logout", body={})
            with contextlib.suppress(CloudError):
                self._session.call(
                    call, lambda _: None, token=token, deadline=self._session.deadline()
                )


def _user(value: object) -> User:
    user = User.from_json(an_object(value))
    if not user.id:
        raise Malformed("no user")
    return user
