"""Presigned URLs: permission for one method on one object until a moment, carried by the URL.

The query parameters are named as S3 names them; the signature binds method, path and expiry.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from enum import Enum, auto
from urllib.parse import urlencode

BUCKET = "ndi-sandbox"
_DATE = "%Y%m%dT%H%M%SZ"


class Verdict(Enum):
    """What a signature says about a request."""

    VALID = auto()
    EXPIRED = auto()
    WRONG = auto()
    MISSING = auto()


class Signer:
    """Signs URLs of the object port and checks them."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._generation = 1
        self.base_url = ""

    def url(self, method: str, object_key: str, life: float) -> str:
        """A URL with which ``method`` may be called on the object for ``life`` seconds."""
        path = object_path(object_key)
        now = datetime.now(timezone.utc).strftime(_DATE)
        query = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"sandbox-{self._generation}",
            "X-Amz-Date": now,
            "X-Amz-Expires": str(math.ceil(life)),
            "X-Amz-SignedHeaders": "host",
        }
        query["X-Amz-Signature"] = self._signature(method, path, query)
        return f"{self.base_url}{path}?{urlencode(query)}"

    def verify(self, method: str, path: str, query: Mapping[str, str]) -> Verdict:
        """Whether ``query`` permits ``method`` on ``path`` now."""
        given = query.get("X-Amz-Signature")
        if not given:
            return Verdict.MISSING
        if not hmac.compare_digest(given.encode(), self._signature(method, path, query).encode()):
            return Verdict.WRONG
        issued = datetime.strptime(query["X-Amz-Date"], _DATE).replace(tzinfo=timezone.utc)
        current = query["X-Amz-Credential"] == f"sandbox-{self._generation}"
        if not current or time.time() >= issued.timestamp() + int(query["X-Amz-Expires"]):
            return Verdict.EXPIRED
        return Verdict.VALID

    def expire_all(self) -> None:
        """Let every URL that was given so far count as expired."""
        self._generation += 1

    def _signature(self, method: str, path: str, query: Mapping[str, str]) -> str:
        signed = [query.get(f"X-Amz-{name}", "") for name in ("Credential", "Date", "Expires")]
        text = "\n".join([method, path, *signed])
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()


def object_path(object_key: str) -> str:
    """The path of an object on the object port."""
    return f"/{BUCKET}/{object_key}"
