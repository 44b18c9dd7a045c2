"""Times as the API writes them."""

from __future__ import annotations

import re
from datetime import datetime, timezone

_DELAY = re.compile(r"(\d+)\s*([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def iso(moment: float) -> str:
    """``moment`` (seconds since 1970) as ``YYYY-MM-DDThh:mm:ss.sssZ`` (4.2)."""
    text = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def seconds_until(when: str) -> float | None:
    """The delay that ``when`` stands for (4.6): ``now`` or ``30m``, ``24h``, ``7d``.

    None where ``when`` is neither.
    """
    if when == "now":
        return 0.0
    match = _DELAY.fullmatch(when)
    return float(match[1]) * _SECONDS[match[2]] if match else None
