"""``rejected/`` and ``conflicts/`` of ``.ndicloudfs/``: what waits for its owner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

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


class ParkedFolder(Directory):
    """A folder of this machine whose files can be read."""

    def __init__(
        self, parent: int, name: str, files: Callable[[], list[Path]], mtime_ns: int
    ) -> None:
        """``files`` tells what is in it."""
        super().__init__(derive_ino(parent, name), mtime_ns)
        self._files = files

    def entries(self) -> Iterator[Entry]:
        for path in self._files():
            yield Entry(path.name, derive_ino(self.ino, path.name), Kind.FILE)

    def child(self, name: str) -> Node | None:
        path = next((path for path in self._files() if path.name == name), None)
        return None if path is None else ParkedFile(derive_ino(self.ino, name), path)


class ParkedFile(File):
    """A version that was not taken, or the reason beside it."""

    def __init__(self, ino: int, path: Path) -> None:
        super().__init__(ino)
        self._path = path

    def attributes(self) -> Attributes:
        found = self._path.stat()
        return Attributes(self.ino, Kind.FILE, found.st_size, found.st_mtime_ns)

    def open(self) -> OpenFile:
        return LocalFile.open(self._path)
