"""Scratch files: what editors and tools put beside the files that they save.

A name that is no document and no file of one (``.x.swp``, ``x~``, ``sedAbC123``, ``4913``) stays on
this machine, as a plain file below the folder of the account's journal: never sent, kept from mount
to mount, gone when somebody removes it. Renaming one onto a document or a file writes that.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote

from ndicloudfs.vfs.contents import Content, LocalContent, LocalFile
from ndicloudfs.vfs.nodes import Attributes, Kind, OpenFile, State, derive_ino
from ndicloudfs.vfs.sessions import Editable, Session

# Hidden files (rsync, vim and most libraries), backups (vim, emacs), sed -i, and the number with
# which vim tries whether it may make files in a folder.
_PLAIN = re.compile(r"(?!\.+$)[A-Za-z0-9_.\- ]+")
_SCRATCH = re.compile(r"\..*|.*~|#.*#|sed[A-Za-z0-9]{6}|4913|5036", re.DOTALL)


def is_scratch(name: str) -> bool:
    """Whether tools use such a name beside the file that they save."""
    return _SCRATCH.fullmatch(name) is not None


class ScratchArea:
    """The scratch files of one folder of the tree.

    Every name that is looked for is looked for here, too, so the areas of an account know what they
    have: nobody else makes or removes anything there.
    """

    def __init__(self, folder: Path, there: set[str] | None = None) -> None:
        """``there``: the paths of all files in the areas of the account; found out without it."""
        self._folder = folder
        self._there = _files_below(folder) if there is None else there

    def below(self, part: str) -> ScratchArea:
        """The area of a folder in this one; ``part`` is what identifies it."""
        return ScratchArea(self._folder / _plain(part), self._there)

    def names(self) -> list[str]:
        """The names of what is there."""
        try:
            with os.scandir(self._folder) as found:
                return sorted(unquote(item.name) for item in found if item.is_file())
        except FileNotFoundError:
            return []

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return self._place(name) in self._there

    def path(self, name: str) -> Path:
        """Where the file is."""
        return Path(self._place(name))

    def _place(self, name: str) -> str:
        return f"{self._folder}/{_plain(name)}"

    def make(self, name: str) -> Path:
        """Make an empty file where there is none, durably; where it is."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path(name)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._there.add(self._place(name))
        return path

    def remove(self, name: str) -> None:
        """Remove a file, where there is one."""
        if self.has(name):
            self.path(name).unlink(missing_ok=True)
            self._there.discard(self._place(name))

    def rename(self, name: str, area: ScratchArea, new_name: str) -> None:
        """Move a file within scratch space, replacing what is there."""
        self.path(name).replace(area.make(new_name))
        self._there.discard(self._place(name))


class ScratchFile(Editable):
    """A scratch file."""

    def __init__(self, folder_key: int, area: ScratchArea, name: str) -> None:
        super().__init__(derive_ino(folder_key, "scratch", name), folder_key, name)
        self.area = area

    def attributes(self) -> Attributes:
        return self.committed()

    def committed(self) -> Attributes:
        """What ``stat`` tells. Raises ENOENT."""
        found = self.area.path(self.name).stat()
        return Attributes(self.ino, Kind.FILE, found.st_size, found.st_mtime_ns, writable=True)

    def xattrs(self) -> dict[str, str]:
        return {"user.ndi.state": State.LOCAL.value}

    def open(self) -> OpenFile:
        return LocalFile.open(self.area.path(self.name))

    def content(self, source: OpenFile | None) -> Content:
        """The file itself: what is written is there at once."""
        content = LocalContent(self.area.make(self.name))
        if source is None:
            content.truncate(0)
        return content

    def commit(self, session: Session) -> None:
        """Nothing is to be sent."""
        session.dirty = False


def _files_below(folder: Path) -> set[str]:
    return {f"{found}/{name}" for found, _, files in os.walk(folder) for name in files}


def _plain(name: str) -> str:
    """A name of any length and with any character as one that every disk can hold."""
    if _PLAIN.fullmatch(name):
        return name
    quoted = quote(name, safe=" ")
    return quoted if quoted.strip(".") else quoted.replace(".", "%2E")
