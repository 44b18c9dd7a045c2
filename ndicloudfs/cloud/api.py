"""Calls of the API as the account: with its token, and once more after a 401."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ndicloudfs.cloud.answers import decode
from ndicloudfs.cloud.errors import NotSignedIn
from ndicloudfs.cloud.session import Call, Session
from ndicloudfs.cloud.tokens import Tokens

T = TypeVar("T")


class Api:
    """Makes calls with the token of the account. Used by any thread."""

    def __init__(self, session: Session, tokens: Tokens) -> None:
        self._session = session
        self._tokens = tokens

    def get(
        self,
        template: str,
        read: Callable[[Any], T],
        *,
        params: Mapping[str, str | int] | None = None,
        idempotent: bool = True,
        **ids: str,
    ) -> T:
        """GET ``template`` and ``read`` the decoded answer."""
        call = Call("GET", template, ids, params or {}, idempotent=idempotent)
        return self._call(call, lambda content: read(decode(content)))

    def post(
        self,
        template: str,
        read: Callable[[Any], T],
        *,
        body: object = None,
        params: Mapping[str, str | int] | None = None,
        idempotent: bool = False,
        **ids: str,
    ) -> T:
        """POST ``body`` and ``read`` the decoded answer."""
        call = Call("POST", template, ids, params or {}, body, idempotent)
        return self._call(call, lambda content: read(decode(content)))

    def act(
        self,
        method: str,
        template: str,
        *,
        body: object = None,
        params: Mapping[str, str | int] | None = None,
        **ids: str,
    ) -> None:
        """Make a call that changes something; only the status of its answer matters."""
        self._call(Call(method, template, ids, params or {}, body), lambda _: None)

    def _call(self, call: Call, read: Callable[[bytes], T]) -> T:
        deadline = self._session.deadline()
        token = self._tokens.current(deadline)
        try:
            return self._session.call(call, read, token=token, deadline=deadline)
        except NotSignedIn:
            # The server did not act on a call that it rejected, so that any call may be repeated.
            fresh = self._tokens.renew(token, deadline) if token else ""
            if not fresh:
                raise
        try:
            return self._session.call(call, read, token=fresh, deadline=deadline)
        except NotSignedIn:
            self._tokens.was_useless(fresh)
            raise
