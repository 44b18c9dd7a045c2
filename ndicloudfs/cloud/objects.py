"""Objects: the bytes behind presigned URLs (section 6.5).

The object store is another service than the API: it gets no token, no cookie and no password, and
it answers an error in XML. What it sends is checked against what it promised, since a proxy or a
gateway between may have shortened or packed it (section 12).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

from ndicloudfs.cloud.answers import retry_after, said
from ndicloudfs.cloud.config import CloudConfig
from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    ObjectMissing,
    Refused,
    ServerFault,
    UrlExpired,
)
from ndicloudfs.cloud.session import Session
from ndicloudfs.cloud.transport import Answer, Request
from ndicloudfs.cloud.values import ObjectRange, Place

SLACK = 64 * 1024  # bytes that may be read for nothing where a store ignores Range
MAX_REDIRECTS = 5
MAX_ERROR = 64 * 1024  # bytes read of an answer that is an error

SERVICE = "The object store"
ADVICE = "check the network"

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", re.ASCII)
_UNSATISFIED = re.compile(r"bytes \*/(\d{1,18})", re.ASCII)
_ACTUAL_SIZE = re.compile(rb"<ActualObjectSize>(\d{1,18})</ActualObjectSize>")


class Objects:
    """Reads and writes objects through presigned URLs. Used by any thread.

    ``clock`` tells seconds of the epoch.
    """

    def __init__(self, config: CloudConfig, session: Session, clock: Callable[[], float]) -> None:
        self._schemes = {"https", urlsplit(config.url).scheme}
        self._session = session
        self._clock = clock
        self._origin = ""  # of the last URL

    def check(self, url: str) -> None:
        """Raise BadAnswer for a URL that is not safe to open.

        It must be https, or http where the API itself is (a sandbox), and hold no credentials.
        """
        try:
            parts = urlsplit(url)
            usable = parts.scheme in self._schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable or "@" in parts.netloc:
            raise BadAnswer(
                "NDI Cloud names an address for an object that is not safe to open (it is not "
                "https, or holds credentials); report it to the people who run the server"
            )

    def sign_of_life(self) -> None:
        """Make sure that the object store answers at all, where it has been used before.

        Raises Unreachable or TimedOut.
        """
        if self._origin:
            self._session.sign_of_life(self._origin)

    def read(self, url: str, start: int, length: int, into: Place | None = None) -> ObjectRange:
        """``length`` >= 1 bytes of an object from ``start`` >= 0, fewer only at its end.

        At or behind the end there are no bytes, but the total is given. With ``into``, which has
        room for all of them, they are put there and nowhere else; after an error there may be
        anything. Raises NotWanted, UrlExpired, ObjectMissing, BadAnswer when other bytes
        come than were asked for, and the errors of every call.
        """
        if start < 0 or length < 1:
            raise ValueError(f"no range of bytes: {length} from {start}")
        deadline = self._session.deadline()
        headers = {"Range": f"bytes={start}-{start + length - 1}"}
        request = self._request("GET", url, headers)

        def how_much(status: int) -> int:
            if status == 206:
                return length + 1  # one more shows an answer that is too long
            if status == 200:
                return min(start + length, length + SLACK) + 1
            return MAX_ERROR

        def attempt() -> ObjectRange:
            sent, answer = self._follow(request, deadline, how_much, into)
            if answer.status == 206:
                return _partial(sent, answer, start, length)
            if answer.status == 200:
                return _put(_cut(sent, answer, start, length), into)
            if answer.status == 416:
                return _behind_the_end(sent, answer, start)
            raise self._failure(sent, answer)

        return self._session.retrying(attempt, request, idempotent=True, deadline=deadline)

    def put(
        self,
        url: str,
        body: BinaryIO,
        size: int,
        content_type: str = "application/octet-stream",
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Write ``size`` bytes of ``body`` to a presigned URL; never tried again here.

        ``progress`` is told the number of bytes of each piece as it goes out. There is no budget:
        the time-outs hold for silence of the network only. Raises UrlExpired, the errors of
        every call, and ValueError when ``body`` is shorter than ``size``.
        """
        upload = _Upload(body, size, progress)
        request = self._request("PUT", url, {"Content-Type": content_type}, upload)
        try:
            answer = self._session.exchange(request, "object", None, lambda _: MAX_ERROR)
        except CloudError as error:
            error.request_id = request.headers["X-Request-ID"]
            if not upload.cut_short:
                raise
        if upload.cut_short:
            raise ValueError(f"the file ended {upload.left} bytes before the size given for it")
        if not 200 <= answer.status < 300:
            raise self._failure(request, answer)

    def _request(
        self, method: str, url: str, headers: dict[str, str], body: _Upload | None = None
    ) -> Request:
        self.check(url)
        self._origin = urljoin(url, "/")
        return Request(
            method=method,
            url=url,
            name=f"the {method} of an object",
            service=SERVICE,
            advice=ADVICE,
            headers={
                **headers,
                "Accept": "*/*",
                "Accept-Encoding": "identity",
                "X-Request-ID": str(uuid.uuid4()),
            },
            # requests sends an empty stream in chunks, which S3 refuses, so it gets no stream.
            body=body if body is not None and len(body) else None,
        )

    def _follow(
        self,
        request: Request,
        deadline: float,
        how_much: Callable[[int], int],
        into: Place | None,
    ) -> tuple[Request, Answer]:
        """The answer after redirects, each to an address that is safe, and what it answers."""
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._session.exchange(request, "object", deadline, how_much, into)
            location = answer.headers.get("Location", "")
            if answer.status not in (301, 302, 303, 307, 308) or not location:
                return request, answer
            target = urljoin(request.url, location)
            self.check(target)
            request = Request(
                method=request.method,
                url=target,
                name=request.name,
                service=request.service,
                advice=request.advice,
                headers=request.headers,
            )
        return request, answer

    def _failure(self, request: Request, answer: Answer) -> CloudError:
        status, words = answer.status, said(answer)
        kind: type[CloudError]
        if status == 403 or (status == 400 and "expired" in words.lower()):
            kind, happened, advice = UrlExpired, "no longer accepts the URL of", "ask for a new one"
        elif status == 404:
            kind, happened, advice = ObjectMissing, "has no bytes for", "its upload may not be over"
        elif status == 429 or status >= 500:
            kind, happened, advice = ServerFault, "failed at", "try again later"
        elif 400 <= status < 500:
            kind, happened, advice = Refused, "refused", "report it"
        else:
            kind, happened, advice = BadAnswer, "gave no proper answer to", "try again"
        because = f"({status}: {words})" if words else f"({status})"
        return kind(
            f"{SERVICE} at {request.host} {happened} {request.name} {because}; {advice}",
            status=status,
            request_id=answer.headers.get("x-amz-request-id") or request.headers["X-Request-ID"],
            retry_after=retry_after(answer, self._clock()),
        )


class _Upload:
    """A request body of exactly ``size`` bytes, read from ``source`` as it is sent."""

    def __init__(self, source: BinaryIO, size: int, progress: Callable[[int], None] | None) -> None:
        self._source = source
        self._size = size
        self._progress = progress
        self.left = size
        self.cut_short = False

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(SLACK), b"")

    def read(self, size: int = -1) -> bytes:
        if self.left == 0:
            return b""
        data = self._source.read(self.left if size < 0 else min(size, self.left))
        if not data:
            self.cut_short = True
            raise ValueError("the file is shorter than its size")  # ends the connection
        self.left -= len(data)
        if self._progress is not None:
            self._progress(len(data))
        return data


def _bad(request: Request, answer: Answer, what: str) -> BadAnswer:
    return BadAnswer(
        f"{SERVICE} at {request.host} sent {what} for {request.name}; try again",
        status=answer.status,
    )


def _partial(request: Request, answer: Answer, start: int, length: int) -> ObjectRange:
    """What a 206 holds, when it is exactly the range that was asked for."""
    match = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "").strip())
    if match is None:
        raise _bad(request, answer, "a part without saying which")
    first, last, total = (int(number) for number in match.groups())
    if first != start or last != min(start + length, total) - 1:
        raise _bad(request, answer, f"bytes {first} to {last} instead of {length} from {start}")
    if len(answer.body) != last - first + 1:
        raise _bad(request, answer, f"other than the {last - first + 1} bytes it promised")
    if isinstance(answer.body, memoryview):
        return ObjectRange(b"", start, total, placed=len(answer.body))
    return ObjectRange(answer.body, start, total)


def _cut(request: Request, answer: Answer, start: int, length: int) -> ObjectRange:
    """The range out of a whole object, where that costs no more than SLACK bytes for nothing."""
    if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise _bad(request, answer, "a packed object instead of a part")
    body, announced = bytes(answer.body), answer.headers.get("Content-Length", "").strip()
    wanted = min(start + length, length + SLACK)
    if announced.isascii() and announced.isdigit():
        total = int(announced[:18])
        complete = len(body) >= min(total, wanted)
    else:
        total = len(body)  # the length shows only at the end
        complete = len(body) <= wanted
    if not complete or min(start + length, total) > wanted:
        raise _bad(request, answer, "the whole object instead of a part")
    return ObjectRange(body[start : start + length], start, total, ranged=False)


def _put(part: ObjectRange, into: Place | None) -> ObjectRange:
    """The same, with its bytes in ``into``."""
    if into is None:
        return part
    into.bytes[: len(part.data)] = part.data
    return replace(part, data=b"", placed=len(part.data))


def _behind_the_end(request: Request, answer: Answer, start: int) -> ObjectRange:
    """A 416 where it is right: there is nothing from ``start`` on."""
    match = _UNSATISFIED.fullmatch(answer.headers.get("Content-Range", "").strip())
    size = match or _ACTUAL_SIZE.search(answer.body)
    if size is None:
        raise _bad(request, answer, "no part and no size")
    total = int(size[1])
    if total > start:
        raise _bad(request, answer, f"nothing from {start} of {total} bytes")
    return ObjectRange(b"", start, total)
