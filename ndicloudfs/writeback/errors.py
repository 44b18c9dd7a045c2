"""What can go wrong on this machine; what goes wrong on the way is a CloudError."""

from __future__ import annotations

import errno


class WriteBackError(OSError):
    """Something cannot be kept for writing back: ``str(error)`` is the sentence for the user."""

    def __init__(self, message: str, number: int = errno.EIO) -> None:
        super().__init__(number, message)

    def __str__(self) -> str:
        return str(self.strerror)


class JournalInUse(WriteBackError):
    """Another process owns the journal of this account and host."""

    def __init__(self, message: str) -> None:
        super().__init__(message, errno.EBUSY)


class JournalDamaged(WriteBackError):
    """The journal cannot be read; it is kept as it is."""
