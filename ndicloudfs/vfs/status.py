"""The facts about a mount: what ``status.json``, ``ndicloudfs status`` and the metrics say.

Asks nobody and fetches nothing: it answers while the server is away and while it is asked often.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from datetime import datetime, timezone
from typing import Any

from ndicloudfs import __version__
from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cloud.redaction import redact
from ndicloudfs.writeback import WriteBack

_LINES_KEPT = 1000
_LAST_ERRORS = 10


class ErrorLog(logging.Handler):
    """The last warnings and errors, a line each, for ``errors.log``."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._lines: deque[str] = deque(maxlen=_LINES_KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the line of a record."""
        self._lines.append(redact(self.format(record)).replace("\n", " "))

    def last(self, most: int) -> list[str]:
        """The newest lines, the oldest of them first."""
        return list(self._lines)[-most:]

    def text(self) -> bytes:
        """All lines that are kept."""
        return "".join(f"{line}\n" for line in list(self._lines)).encode("utf-8", "replace")


class Status:
    """What there is to know about a mount. Used by any thread."""

    def __init__(
        self, cache: LocalCache, errors: ErrorLog, writeback: WriteBack | None, mounted_ns: int
    ) -> None:
        """``writeback``: None where nothing can be written."""
        self._writeback = writeback
        self._cache = cache
        self._errors = errors
        self._mounted = datetime.fromtimestamp(mounted_ns / 1e9, timezone.utc)
        self._read = 0

    def was_read(self, number: int) -> None:
        """Count bytes that were read. Two threads may make one count of two: it is a statistic."""
        self._read += number

    def facts(self) -> dict[str, Any]:
        """Everything, as JSON has it; times are ISO or seconds of the epoch, sizes in bytes."""
        cache, cloud = self._cache, self._cache.cloud
        outage, totals = cache.outage, cloud.traffic.totals()
        facts: dict[str, Any] = {
            "version": __version__,
            "server": cache.host,
            "account": cache.account,
            "token": {
                "expires": cloud.account.token_expires,
                "signs_in_again": cloud.account.can_sign_in,
            },
            "mounted_at": self._mounted.isoformat(timespec="seconds"),
            "online": outage is None,
            "outage": None if outage is None else str(outage),
            "cache": {
                "folder": str(cache.folder),
                "used_bytes": cache.used(),
                "limit_bytes": cache.limit,
                "read_bytes": self._read,
                "hit_rate": self._hit_rate(totals.downloaded),
            },
            "traffic": {
                "api_calls": totals.calls,
                "failures": totals.failures,
                "downloaded_bytes": totals.downloaded,
                "uploaded_bytes": totals.uploaded,
                "download_bytes_per_second": round(totals.download_rate),
                "upload_bytes_per_second": round(totals.upload_rate),
            },
            "transfers": [
                {"direction": each.direction, "size": each.size, "moved": each.moved()}
                for each in cloud.traffic.current()
            ],
            "errors": self._errors.last(_LAST_ERRORS),
        }
        if self._writeback is not None:
            facts["queue"] = _queue(self._writeback)
        return facts

    def _hit_rate(self, downloaded: int) -> float | None:
        """The share of what was read that needed no download; None while nothing was read."""
        if not self._read:
            return None
        return round(max(0.0, 1 - downloaded / self._read), 3)


def _queue(writeback: WriteBack) -> dict[str, Any]:
    """What waits for upload: entries by state, the age of the oldest, why nothing is sent."""
    oldest, outage = writeback.oldest(), writeback.outage
    return {
        "states": {state.value: count for state, count in writeback.totals().items()},
        "oldest_seconds": 0.0 if oldest is None else round(max(0.0, time.time() - oldest), 1),
        "outage": None if outage is None else str(outage),
    }
