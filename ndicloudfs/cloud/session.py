"""The policy of every call: its time budget, what is tried again and when, what is logged.

A call may be tried again when it only reads (the caller says so with ``idempotent``) and its error
can pass. Before try n + 1 it waits 0.25 s x 2^n and a random part of as much again, or what the
server asked for with Retry-After; three times at most, and never beyond the budget.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote

from ndicloudfs.cloud.answers import Malformed, failure
from ndicloudfs.cloud.config import CloudConfig
from ndicloudfs.cloud.errors import BadAnswer, CloudError, NotFound, TimedOut, UrlExpired
from ndicloudfs.cloud.traffic import Traffic
from ndicloudfs.cloud.transport import Answer, Request, Transport
from ndicloudfs.cloud.values import Place, as_object, as_text

MAX_RETRIES = 3
FIRST_PAUSE = 0.25  # s
SIGN_OF_LIFE_BUDGET = 20.0  # s
MAX_RETRY_AFTER = 20.0  # s; a longer wish of the server is cut to this

SERVICE = "NDI Cloud"
ADVICE = "check the network or NDI_CLOUD_URL"

T = TypeVar("T")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the API: ``template`` is the path with its ids in braces, as logs show it."""

    method: str
    template: str
    ids: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: object = field(repr=False, default=None)
    idempotent: bool = False

    @property
    def path(self) -> str:
        """The path with its ids. Raises NotFound for an id that no path can hold."""
        for kind, value in self.ids.items():
            # urllib3 resolves "." and "..", so such an id would ask for something else.
            if value in ("", ".", ".."):
                raise NotFound(f"There is no {kind.replace('_', ' ')} {value!r}; check the id")
        return self.template.format(
            **{kind: quote(value, safe="") for kind, value in self.ids.items()}
        )


class Session:
    """Makes calls within their budget, again where that is safe. Used by any thread.

    ``clock`` tells seconds of the epoch, ``monotonic`` seconds, ``rng`` a number in [0, 1).
    """

    def __init__(
        self,
        config: CloudConfig,
        transport: Transport,
        traffic: Traffic,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
        rng: Callable[[], float],
    ) -> None:
        self._config = config
        self._transport = transport
        self._traffic = traffic
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._rng = rng

    def deadline(self) -> float:
        """The moment of the monotonic clock at which a call that starts now must have ended."""
        return self._monotonic() + self._config.budget

    def call(self, call: Call, read: Callable[[bytes], T], *, token: str, deadline: float) -> T:
        """Make a call of the API and ``read`` its answer; ``token`` may be ``""``.

        Raises a CloudError with the request id of the call.
        """
        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "X-Request-ID": str(uuid.uuid4()),
        }
        body = None
        if call.body is not None:
            body = json.dumps(call.body, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        if token:
            headers["Authorization"] = f"Bearer {token}"
        request = Request(
            method=call.method,
            url=self._config.url + call.path,
            name=f"{call.method} {call.path}",
            service=SERVICE,
            advice=ADVICE,
            headers=headers,
            params=call.params,
            body=body,
        )

        # A password out of the keychain is in the call alone.
        secret = as_text(as_object(call.body).get("password"))

        def attempt() -> T:
            answer = self.exchange(request, call.template, deadline)
            error = failure(request, answer, self._clock(), (self._config.password, token, secret))
            if error is not None:
                raise error
            try:
                return read(answer.content())
            except Malformed as malformed:
                what = str(malformed)
            except ValueError:
                what = "something that cannot be unpacked"
            raise BadAnswer(
                f"{SERVICE} at {request.host} answered {request.name} with {what}; try again, "
                "and check NDI_CLOUD_URL if it stays",
                status=answer.status,
            )

        return self.retrying(attempt, request, idempotent=call.idempotent, deadline=deadline)

    def sign_of_life(self, url: str) -> None:
        """Make sure that the server of ``url`` answers at all. Raises Unreachable or TimedOut."""
        request = Request(
            method="GET",
            url=url,
            name="a sign of life",
            service=SERVICE,
            advice=ADVICE,
            headers={"X-Request-ID": str(uuid.uuid4()), "Connection": "close"},
        )
        deadline = self._monotonic() + SIGN_OF_LIFE_BUDGET
        with suppress(BadAnswer):  # also that is an answer
            self.exchange(request, "sign of life", deadline, lambda _: 0)

    def exchange(
        self,
        request: Request,
        template: str,
        deadline: float | None,
        how_much: Callable[[int], int] | None = None,
        into: Place | None = None,
    ) -> Answer:
        """One exchange of the transport, with its line in the log."""
        started = self._monotonic()
        status: int | str = "failed"
        try:
            with self._traffic.exchange(request.method, template, *_sent(request)) as received:
                answer = self._transport.exchange(request, deadline, how_much, into)
                received(len(answer.body))
            status = answer.status
            return answer
        finally:
            _log.debug(
                "%s %s %s %.0f ms %s",
                request.method,
                template,
                status,
                (self._monotonic() - started) * 1000,
                request.headers["X-Request-ID"],
            )

    def retrying(
        self,
        attempt: Callable[[], T],
        request: Request,
        *,
        idempotent: bool,
        deadline: float,
    ) -> T:
        """What ``attempt`` returns, trying again as the module describes."""
        retries = 0
        earlier: CloudError | None = None
        while True:
            try:
                return attempt()
            except CloudError as error:
                if isinstance(error, TimedOut) and earlier is not None:
                    # What was left of the budget was too little for a try: what the server said
                    # before tells more than that.
                    raise earlier from None
                earlier = earlier if isinstance(error, TimedOut) else error
                error.request_id = error.request_id or request.headers["X-Request-ID"]
                again = idempotent and error.retryable and not isinstance(error, UrlExpired)
                pause = self._pause(retries, error.retry_after)
                if not again or retries == MAX_RETRIES or self._monotonic() + pause >= deadline:
                    raise
            retries += 1
            self._sleep(pause)

    def _pause(self, retries: int, retry_after: float | None) -> float:
        step: float = FIRST_PAUSE * 2**retries
        return max(step + step * self._rng(), min(retry_after or 0.0, MAX_RETRY_AFTER))


def _sent(request: Request) -> tuple[int | None, Callable[[], int]]:
    """The size of what a request sends, and what tells how much of it has gone."""
    body = request.body
    if body is None or isinstance(body, bytes):
        size = len(body or b"")
        return size, lambda: size
    size = len(body)
    return size, lambda: size - getattr(body, "left", 0)
