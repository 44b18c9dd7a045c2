"""``.ndicloudfs/``: the mount about itself."""

from __future__ import annotations

import json
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
from ndicloudfs.vfs.status import ErrorLog, Status

CONTROL_NAME = ".ndicloudfs"
STATUS_NAME = "status.json"
ERRORS_NAME = "errors.log"


class Control(Directory):
    """``.ndicloudfs/``: files whose bytes are made up when they are opened."""

    def __init__(self, status: Status, errors: ErrorLog, mounted_ns: int) -> None:
        super().__init__(derive_ino(ROOT_INO, CONTROL_NAME), mounted_ns)
        self._status = status
        self._files = {
            STATUS_NAME: _Generated(self.ino, STATUS_NAME, self.status, mounted_ns),
            ERRORS_NAME: _Generated(self.ino, ERRORS_NAME, errors.text, mounted_ns),
        }

    def entries(self) -> Iterator[Entry]:
        for name, node in self._files.items():
            yield Entry(name, node.ino, node.kind)

    def child(self, name: str) -> Node | None:
        return self._files.get(name)

    def status(self) -> bytes:
        """What ``status.json`` says; asks nobody and fetches nothing."""
        return json.dumps(self._status.facts(), indent=2, ensure_ascii=False).encode() + b"\n"


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
