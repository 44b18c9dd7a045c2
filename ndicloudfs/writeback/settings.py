"""How the uploader paces itself: times, sizes, thresholds, each with the reason for it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Timing:
    """Times in seconds."""

    # A batch closes after so much silence, and is never open for longer.
    silence: float = 2.0
    longest_open: float = 10.0
    # What was sent may show up so late; only then does it count as not arrived. Documents of a ZIP
    # show after 5 to 20 s (section 8.5), a call that timed out may act for another 30 s (1.1).
    patience: float = 60.0
    # A job of a ZIP of files takes 5 to 60 s (section 8.5); one that is stuck is given up.
    job_patience: float = 180.0
    # Reads may come from a copy that lags behind (section 1.1): what looks like somebody else's
    # change must stay so for so long.
    doubt: float = 10.0
    # Between two looks, doubling.
    first_look: float = 0.5
    # Documents of a ZIP show after 5 s at least (section 8.5): two calls less for each ZIP.
    first_look_for_zip: float = 2.0
    longest_look: float = 15.0
    # Before what failed is tried again, doubling.
    backoff: float = 5.0
    longest_backoff: float = 300.0

    def scaled(self, factor: float) -> Timing:
        """All times multiplied; for a server whose delays are scaled in the same way."""
        return replace(
            self, **{item.name: getattr(self, item.name) * factor for item in fields(self)}
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, and numbers of things."""

    # New documents up to so many go by single POSTs, which answer with the id: what somebody saves
    # by hand is there within a second, by no more calls than a ZIP takes (3 or 4). Of 24, a POST
    # each took 1.0 s and 26 calls, a ZIP 2.0 s and 4 calls.
    # (API 100 ms, objects 30 ms, an import of 1.2 s, a tenth of what section 8.5 says.)
    most_posts: int = 3
    documents_per_zip: int = 5000
    zip_documents_size: int = 32_000_000
    # Files below go in ZIPs, from there on a PUT each. Six files of 4 MB: 3.1 s and 7 calls in a
    # ZIP, 4.3 s and 19 calls singly; of 8 MB: 3.4 s against 2.3 s.
    # (80 MB/s for each connection, registration after 0.6 s, extraction 1.0 s.)
    small_file: int = 8_000_000
    zip_files_size: int = 50_000_000  # the size that the MATLAB client uses (section 6.4)
    zip_members: int = 2000
    transfers: int = 3  # ZIPs and small files at the same time
    large_transfers: int = 3  # large files at the same time
    posts_in_parallel: int = 4  # section 8.4: 3 to 6 are in use
    failures_in_a_row: int = 5  # of calls, before nothing is sent for a while
    when: str = "7d"  # until what was deleted is really gone (section 4.6)
