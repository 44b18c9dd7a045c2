"""One HTTP exchange: sends a request, reads the answer, turns what breaks into a CloudError.

Knows requests and urllib3 and nothing of NDI Cloud: no token, no retry, no JSON. Their exceptions
hold whole URLs, with the signatures of presigned ones, so they end here: an error is raised
outside the ``except`` that caught its cause, and no traceback can show it.
"""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import requests
import urllib3.exceptions
from requests.adapters import HTTPAdapter
from urllib3.poolmanager import PoolKey

from ndicloudfs import __version__
from ndicloudfs.cloud.config import CloudConfig
from ndicloudfs.cloud.errors import BadAnswer, CloudError, TimedOut, Unreachable
from ndicloudfs.cloud.redaction import silence_urls
from ndicloudfs.cloud.values import NotWanted, Place

POOL_SIZE = 64  # connections kept per host: as many as the kernel sends requests at once
MAX_ANSWER = 256 * 1024 * 1024  # bytes; the largest known answer (dataset detail) has 3 MB
_ORIGINS_KEPT = 100
PARTIAL = 206  # status of an answer that is a range
# Bytes given to a socket at once: half the processor time of 16 KiB, and 512 MiB in 1.8 s on
# average where curl takes 1.7 s and pieces of 16 KiB 2.3 s.
SEND = 256 * 1024
CHUNK = 256 * 1024  # bytes asked of a socket at once
# Bytes. When less than this is left of what nobody wants any more, it is read to the end: that
# takes no longer than a new connection.
ABANDONED = 512 * 1024


class SizedBody(Protocol):
    """A request body whose length is known before it is read."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[bytes]: ...
    def read(self, size: int = -1, /) -> bytes:
        """Up to ``size`` bytes, ``b""`` at the end."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. ``name`` and ``service`` stand in messages instead of the URL."""

    method: str
    url: str = field(repr=False)
    name: str
    service: str
    advice: str
    headers: Mapping[str, str] = field(repr=False)
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: bytes | SizedBody | None = field(repr=False, default=None)

    @property
    def host(self) -> str:
        """The host and port that the request goes to."""
        return urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. ``headers`` ignores case; ``body`` is as it was on the wire."""

    status: int
    headers: Mapping[str, str]
    body: bytes | memoryview = field(repr=False)

    def content(self) -> bytes:
        """The body, unpacked where the server says that it is gzip.

        Raises ValueError when it is not.
        """
        if self.headers.get("Content-Encoding", "").strip().lower() not in ("gzip", "x-gzip"):
            return bytes(self.body)
        unpacking = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            content = unpacking.decompress(self.body, MAX_ANSWER)
        except zlib.error:
            raise ValueError from None
        if not unpacking.eof:
            raise ValueError
        return content


def new_http() -> requests.Session:
    """A requests session that keeps no cookies and connections for many threads."""
    session = requests.Session()
    session.trust_env = False  # exchange() gives what the environment says
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(POOL_SIZE, POOL_SIZE, max_retries=0, pool_block=False))
    return session


def session_settings(origin: str) -> dict[str, Any]:
    """What the environment says of proxies and certificates for requests to ``origin``.

    Asked once: for every request, requests looks through the environment twice, which was a fifth
    of its processor time.
    """
    found = requests.Session().merge_environment_settings(origin, {}, None, None, None)
    return {name: found[name] for name in ("proxies", "verify", "cert")}


class _Adapter(HTTPAdapter):
    """Sends bodies in larger pieces than the usual 16 KiB, where urllib3 lets it choose."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        if "key_blocksize" in PoolKey._fields:
            kwargs["blocksize"] = SEND
        super().init_poolmanager(*args, **kwargs)


class Transport:
    """Sends requests through one requests session, from any thread.

    ``monotonic`` tells seconds; deadlines are moments of that clock.
    """

    def __init__(
        self,
        config: CloudConfig,
        session: requests.Session,
        monotonic: Callable[[], float],
        *,
        offline: bool = False,
    ) -> None:
        """With ``offline`` every exchange is Unreachable."""
        self._offline = offline
        self._connect_timeout = config.connect_timeout
        self._read_timeout = config.read_timeout
        self._session = session
        self._monotonic = monotonic
        self._environment = lru_cache(_ORIGINS_KEPT)(session_settings)
        silence_urls()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def exchange(
        self,
        request: Request,
        deadline: float | None,
        how_much: Callable[[int], int] | None = None,
        into: Place | None = None,
    ) -> Answer:
        """Send ``request`` and read the answer, whatever its status; redirects are answers too.

        Reads at most ``how_much(status)`` bytes, else MAX_ANSWER. The body of a 206 that fits is
        put ``into`` the place given for it. Without ``deadline`` only silence of the network ends
        the exchange. Raises Unreachable, TimedOut or BadAnswer, and NotWanted.
        """
        if self._offline:
            raise Unreachable("The mount is offline (--offline); nothing is sent or asked for")
        connect, read = self._connect_timeout, self._read_timeout
        if deadline is not None:
            left = deadline - self._monotonic()
            if left <= 0:
                raise _timed_out(request)
            connect, read = min(connect, left), min(read, left)
        try:
            with self._session.request(
                request.method,
                request.url,
                **self._environment(urljoin(request.url, "/")),
                params=request.params,
                data=request.body,
                headers={"User-Agent": f"ndicloudfs/{__version__}", **request.headers},
                auth=_add_nothing,
                timeout=(connect, read),
                allow_redirects=False,
                stream=True,
            ) as response:
                limit = how_much(response.status_code) if how_much else MAX_ANSWER
                body: bytes | memoryview
                if into is not None and response.status_code == PARTIAL:
                    body = self._placed(response, limit, deadline, into)
                else:
                    body = b"".join(self._chunks(response, limit, deadline))
                return Answer(response.status_code, response.headers, body)
        except (  # RequestException is an OSError
            OSError,
            urllib3.exceptions.HTTPError,
            http.client.HTTPException,
            ValueError,
        ) as caught:
            failure = _failure(request, caught)
        raise failure

    def _placed(
        self, response: requests.Response, limit: int, deadline: float | None, into: Place
    ) -> bytes | memoryview:
        """The body in ``into``, or by itself where it is more than fits there.

        Straight from the socket: 512 MiB took 0.7 ms of processor time per MiB and not 0.9
        (scripts/bench sequential).
        """
        message = response.raw._fp  # urllib3 itself reads to no place of the caller's
        plain = isinstance(message, http.client.HTTPResponse) and not message.chunked
        left: int | None = message.length if message and plain else None
        if not message or left is None or left > len(into.bytes):
            return _gathered(self._chunks(response, limit, deadline), into.bytes)
        body = into.bytes[:left]
        while left:
            self._check(deadline)
            if left > ABANDONED and not into.wanted():
                raise NotWanted
            # As much as has arrived, so that a body that trickles meets its deadline.
            count = message.fp.readinto1(body[-left:])
            if not count:
                raise http.client.IncompleteRead(b"", left)
            left -= count
        message.close()
        response.raw.release_conn()
        return body

    def _check(self, deadline: float | None) -> None:
        if deadline is not None and self._monotonic() > deadline:
            raise TimeoutError

    def _chunks(
        self, response: requests.Response, limit: int, deadline: float | None
    ) -> Iterator[bytes]:
        # read1 returns what has arrived, so that a body that trickles meets its deadline;
        # urllib3 before 2.0 has only read, which waits for all that was asked.
        read = getattr(response.raw, "read1", response.raw.read)
        while limit > 0:
            self._check(deadline)
            chunk = read(min(CHUNK, limit), decode_content=False)
            if not chunk:
                return
            limit -= len(chunk)
            yield chunk


def _gathered(chunks: Iterable[bytes], into: memoryview) -> bytes | memoryview:
    """The chunks in ``into``; joined, where they are more than it can hold."""
    done = 0
    for chunk in chunks:
        if done + len(chunk) > len(into):
            return b"".join([into[:done], chunk, *chunks])
        into[done : done + len(chunk)] = chunk
        done += len(chunk)
    return into[:done]


def _add_nothing(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stand where requests would otherwise look for a password in ~/.netrc or in the URL."""
    return request


def _timed_out(request: Request) -> TimedOut:
    return TimedOut(
        f"{request.service} at {request.host} did not answer {request.name} in time; "
        "try again later"
    )


def _failure(request: Request, caught: BaseException) -> CloudError:
    """The error for the user, from types and errno alone: no text of ``caught`` is repeated."""
    chain = list(_causes(caught))
    # A machine that does not even take the connection is away, not slow.
    if not _any(chain, requests.ConnectTimeout) and _any(
        chain, requests.Timeout, urllib3.exceptions.ReadTimeoutError, TimeoutError
    ):
        return _timed_out(request)
    if _any(chain, http.client.IncompleteRead, urllib3.exceptions.IncompleteRead):
        return BadAnswer(
            f"The answer of {request.service} at {request.host} to {request.name} ended before "
            "it was complete; try again"
        )
    return Unreachable(
        f"{request.service} at {request.host} cannot be reached: {_reason(chain)}; {request.advice}"
    )


def _reason(chain: list[BaseException]) -> str:
    for kind, reason in (
        (requests.ConnectTimeout, "it does not take connections"),
        (socket.gaierror, "its name is not known"),
        (ssl.SSLCertVerificationError, "its certificate is not trusted"),
        (ssl.SSLError, "no secure connection could be made"),
        (http.client.RemoteDisconnected, "it closed the connection without an answer"),
    ):
        if _any(chain, kind):
            return reason
    for error in chain:
        if isinstance(error, OSError) and isinstance(error.errno, int):
            return os.strerror(error.errno).lower()
    if _any(chain, requests.exceptions.ProxyError):
        return "the proxy refused"
    return "the connection broke"


def _any(chain: Iterable[BaseException], *kinds: type[BaseException]) -> bool:
    return any(isinstance(error, kinds) for error in chain)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and everything that led to it; requests and urllib3 also wrap causes in args."""
    waiting, seen = [error], set[int]()
    while waiting:
        current = waiting.pop(0)
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None))
        waiting += [each for each in (*inner, *current.args) if isinstance(each, BaseException)]
