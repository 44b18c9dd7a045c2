"""Tokens as the cloud gives them: JWTs with exp, iat, email and sub (2.2)."""

from __future__ import annotations

import time

import jwt

_ALGORITHM = "HS256"


class Tokens:
    """Makes tokens and tells whose they are."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._generation = 1

    def make(self, user_id: str, email: str, life: float) -> str:
        """A token that is valid for ``life`` seconds."""
        now = time.time()
        claims = {"sub": user_id, "email": email, "iat": int(now), "exp": now + life}
        return jwt.encode(claims, self._key(), algorithm=_ALGORITHM)

    def user_id(self, token: str) -> str | None:
        """Whose token it is; None where it is malformed, forged or expired."""
        try:
            # PyJWT compares whole seconds; a life below one second is compared here.
            claims = jwt.decode(
                token, self._key(), algorithms=[_ALGORITHM], options={"verify_exp": False}
            )
            return str(claims["sub"]) if float(claims["exp"]) > time.time() else None
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            return None

    def expire_all(self) -> None:
        """Let every token that was given so far count as expired."""
        self._generation += 1

    def _key(self) -> bytes:
        return self._secret + str(self._generation).encode()
