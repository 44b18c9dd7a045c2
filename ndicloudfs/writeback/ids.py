"""New NDI ids, as the NDI clients make them (section 7.2)."""

from __future__ import annotations

import secrets
import time


def new_ndi_id() -> str:
    """Microseconds since the epoch and 64 random bits: ids sort by the time they were made."""
    return f"{time.time_ns() // 1000:016x}_{secrets.token_hex(8)}"
