"""How much waits for upload, looked up on the disk, whether or not a mount is at it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote


def waiting(folder: Path, host: str, account: str) -> int:
    """The number of entries in the journal of an account on a host; 0 without a journal."""
    journal = folder / quote(host, safe="") / quote(account, safe="@") / "journal.sqlite"
    if not journal.exists():
        return 0
    try:
        address = f"{journal.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM entries").fetchone()[0])
    except sqlite3.Error:  # a mount that writes will say what is wrong with it
        return 0
