"""``files/.uid/`` of a dataset that can be written: also objects that only this machine has yet."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from urllib.parse import unquote

from ndicloudfs.vfs.class_documents import state_of
from ndicloudfs.vfs.contents import LocalFile
from ndicloudfs.vfs.nodes import (
    Attributes,
    Directory,
    Entry,
    File,
    Kind,
    Node,
    OpenFile,
    derive_ino,
)
from ndicloudfs.vfs.writable import Edits, Home, refusal
from ndicloudfs.writeback import Entry as Pending


class WritableUids(Directory):
    """``files/.uid/``: any object of the dataset by its uid; lists nothing."""

    def __init__(
        self, ino: int, mtime_ns: int, edits: Edits, home: Home, inner: Directory | None
    ) -> None:
        """``inner``: the objects of the server, None while it does not have the dataset."""
        super().__init__(ino, mtime_ns)
        self._edits = edits
        self._home = home
        self._inner = inner

    def entries(self) -> Iterator[Entry]:
        return iter(())

    def child(self, name: str) -> Node | None:
        entry = self._edits.writeback.attached(self._home.dataset_id, unquote(name))
        if entry is not None:
            return _StagedObject(derive_ino(self.ino, entry.uid), self._edits, entry)
        return None if self._inner is None else self._inner.child(name)


class _StagedObject(File):
    """An object that waits for being sent; as any object it never changes."""

    def __init__(self, ino: int, edits: Edits, entry: Pending) -> None:
        super().__init__(ino)
        self._writeback = edits.writeback
        self._entry = entry

    def current(self) -> bool:
        return self._writeback.staged(self._entry.uid) is not None

    def attributes(self) -> Attributes:
        return Attributes(self.ino, Kind.FILE, self._entry.size, self._entry.mtime_ns)

    def xattrs(self) -> dict[str, str]:
        return {
            "user.ndi.uid": self._entry.uid,
            "user.ndi.name": self._entry.name,
            "user.ndi.dataset_id": self._entry.dataset_id,
            "user.ndi.state": state_of(self._entry).value,
        }

    def open(self) -> OpenFile:
        staged = self._writeback.staged(self._entry.uid)
        if staged is not None:
            try:
                return LocalFile.open(staged, f"staged/{self._entry.uid}")
            except FileNotFoundError:  # it has just arrived
                pass
        # The kernel looks the name up again, and finds the object of the server.
        raise refusal(errno.ENOENT, self._entry.uid)
