"""A queue that no mount serves, read from its journal: what waits, and its bytes.

Nothing is sent, and nothing in the queue is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from ndicloudfs.writeback.entries import Entry, Scope
from ndicloudfs.writeback.export import export
from ndicloudfs.writeback.ledger import Ledger
from ndicloudfs.writeback.ownership import Ownership
from ndicloudfs.writeback.staging import Staging

_JOURNAL = "journal.sqlite"


class LeftQueue:
    """The queue of an account on a host, kept from every mount until ``close``."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is one of ``left_folders``.

        Raises JournalInUse where a mount has it, and JournalDamaged.
        """
        self._folder = folder
        self._ownership = Ownership(folder / "owner")
        try:
            self._ledger = Ledger(folder / _JOURNAL)
        except BaseException:
            self._ownership.release()
            raise

    def entries(self) -> list[Entry]:
        """What the server does not have yet, in order."""
        return self._ledger.all(Scope())

    def export(self, entries: Iterable[Entry], folder: Path) -> Iterator[Path]:
        """Copy the bytes of entries into ``folder``; gives each path when it is there."""
        staging = Staging(self._folder / "staging")
        return export(entries, folder, self._ledger.body, staging.path)

    def close(self) -> None:
        """Let a mount have it."""
        self._ledger.close()
        self._ownership.release()


def left_folders(folder: Path) -> list[Path]:
    """The folders of the queues below ``folder``, which ``WriteBackOptions`` names."""
    return sorted(path.parent for path in folder.glob(f"*/*/{_JOURNAL}"))


def whose(folder: Path) -> tuple[str, str]:
    """Account and host of one of ``left_folders``."""
    return unquote(folder.name), unquote(folder.parent.name)
