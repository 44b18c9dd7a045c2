"""``.ndicloudfs/``: the mount about itself."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

from ndicloudfs.vfs.nodes import (
    ROOT_INO,
    Attributes,
    BytesFile,
    Directory,
    Entry,
    File,
    Kind,
    Node,
    OpenFile,
    derive_ino,
)
from ndicloudfs.vfs.parked import ParkedFolder
from ndicloudfs.vfs.queued import facts
from ndicloudfs.vfs.status import ErrorLog, Status
from ndicloudfs.writeback import WriteBack

CONTROL_NAME = ".ndicloudfs"
STATUS_NAME = "status.json"
ERRORS_NAME = "errors.log"
QUEUE_NAME = "queue.json"
REJECTED_NAME = "rejected"
CONFLICTS_NAME = "conflicts"


class Control(Directory):
    """``.ndicloudfs/``: files whose bytes are made up when they are opened."""

    def __init__(
        self, status: Status, errors: ErrorLog, writeback: WriteBack | None, mounted_ns: int
    ) -> None:
        """``writeback``: None where nothing can be written."""
        super().__init__(derive_ino(ROOT_INO, CONTROL_NAME), mounted_ns)
        self._status = status
        self._files: dict[str, Node] = {
            STATUS_NAME: _Generated(self.ino, STATUS_NAME, self.status, mounted_ns),
            ERRORS_NAME: _Generated(self.ino, ERRORS_NAME, errors.text, mounted_ns),
        }
        if writeback is not None:
            queue = _Generated(self.ino, QUEUE_NAME, lambda: _queue(writeback), mounted_ns)
            self._files[QUEUE_NAME] = queue
            for name, parked in (
                (REJECTED_NAME, writeback.rejected_files),
                (CONFLICTS_NAME, writeback.conflict_files),
            ):
                self._files[name] = ParkedFolder(self.ino, name, parked, mounted_ns)

    def entries(self) -> Iterator[Entry]:
        for name, node in self._files.items():
            yield Entry(name, node.ino, node.kind)

    def child(self, name: str) -> Node | None:
        return self._files.get(name)

    def status(self) -> bytes:
        """What ``status.json`` says; asks nobody and fetches nothing."""
        return json.dumps(self._status.facts(), indent=2, ensure_ascii=False).encode() + b"\n"


def _queue(writeback: WriteBack) -> bytes:
    """What ``queue.json`` says; asks nobody."""
    now = time.time()
    entries = [facts(entry, now) for entry in writeback.queue()]
    return json.dumps({"entries": entries}, indent=2, ensure_ascii=False).encode() + b"\n"


class _Generated(File):
    """A file of which every open sees the present state."""

    def __init__(
        self, parent: int, name: str, generate: Callable[[], bytes], mtime_ns: int
    ) -> None:
        super().__init__(derive_ino(parent, name))
        self._generate = generate
        self._mtime_ns = mtime_ns

    def attributes(self) -> Attributes:
        return Attributes(self.ino, Kind.FILE, len(self._generate()), self._mtime_ns)

    def open(self) -> OpenFile:
        return BytesFile(self._generate(), generated=True)
