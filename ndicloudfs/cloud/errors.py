"""What can go wrong between this machine and NDI Cloud.

    CloudError                    anything below
    |-- Unreachable               no connection: name, route, refused, reset       try again
    |-- TimedOut                  no answer within the time budget                 try again
    |-- ServerFault               500, 502, 503, 504, 429                          try again
    |-- BadAnswer                 an answer that is not what was asked for         try again
    |-- UrlExpired                a presigned URL is no longer valid               new URL, once
    |-- SizeChanged               an object is not as long as a list said          open again
    |-- NotSignedIn               401, or no credentials where some are needed
    |-- WrongCredentials          the e-mail or the password is wrong
    |-- PermissionDenied          403
    |-- NotFound                  404, and what the server says instead of it
    |-- Refused                   any other 4xx: the request itself is at fault
    |-- ObjectMissing             the server knows the file but has no bytes for it
    |-- BadConfiguration          an address or a setting that cannot be used
    `-- Interrupted               whoever waited for the answer was killed

Every error carries the sentence for the user (``str(error)``), whether trying again can help
(``retryable``) and the errno that a file system call ends with (``errno``). No message ever
contains a token, a password or the query string of a presigned URL.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class CloudError(Exception):
    """A call to NDI Cloud failed: ``str(error)`` says what happened, to what, and what to do."""

    errno: ClassVar[int] = errno.EIO
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after  # s, where the server named a pause


class Unreachable(CloudError):
    """No connection to the server could be made, or it broke."""

    errno = errno.ENETUNREACH
    retryable = True


class TimedOut(CloudError):
    """The server did not answer within the time budget of the call."""

    errno = errno.ETIMEDOUT
    retryable = True


class ServerFault(CloudError):
    """The server failed (5xx) or asked for patience (429)."""

    retryable = True


class BadAnswer(CloudError):
    """The server's answer is broken: not JSON, too short, or not what was asked for."""

    retryable = True


class UrlExpired(CloudError):
    """The object store no longer accepts a presigned URL: ask for a fresh one, once."""

    retryable = True


class SizeChanged(CloudError):
    """An object is not as long as the list of files said; its size is right from now on."""

    errno = errno.ESTALE  # on open, the kernel then looks the name up again and repeats it
    retryable = True


class NotSignedIn(CloudError):
    """The call needs an account, and the token is missing or has expired."""

    errno = errno.EACCES


class WrongCredentials(CloudError):
    """The e-mail address or the password is wrong."""

    errno = errno.EACCES


class PermissionDenied(CloudError):
    """The account may not do this (403)."""

    errno = errno.EACCES


class NotFound(CloudError):
    """There is no such thing on the server, or it is not visible to this account."""

    errno = errno.ENOENT


class Refused(CloudError):
    """The server refused the request itself (a 4xx that is none of the above)."""

    errno = errno.EINVAL


class ObjectMissing(CloudError):
    """The server knows the file, but its bytes were never uploaded or are not there yet."""

    errno = errno.ENODATA


class BadConfiguration(CloudError, ValueError):
    """An environment variable or a setting names something that cannot be used."""

    errno = errno.EINVAL


class Interrupted(CloudError):
    """Whoever waited for the answer was interrupted; the call itself may go on."""

    errno = errno.EINTR
