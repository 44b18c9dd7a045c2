"""``rejected/`` and ``conflicts/``: versions that wait for their owner, as plain files.

Beside each stands ``<name>.reason.txt``. They are the user's: only the user, or a decision of the
user, removes them.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_REASON = ".reason.txt"
_ODD = re.compile(r"[^\w.,+=@\[\] -]")
_LONGEST = 180


@dataclass(frozen=True, slots=True)
class Parked:
    """A parked version: ``reason`` is a sentence, ``path`` where its bytes are."""

    name: str
    path: Path
    reason: str


class Parking:
    """One of the two folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._watchers: tuple[Callable[[str], None], ...] = ()

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call ``changed`` with the name of each file that comes or goes; it returns at once."""
        self._watchers = (*self._watchers, changed)

    def put(self, name: str, data: bytes | Path, reason: str) -> Path:
        """Keep bytes, or the file of a path, under ``name``; on the disk when this returns."""
        target = self._free(_plain(name))
        _write(target.with_name(target.name + _REASON), reason.encode() + b"\n")
        if isinstance(data, Path):
            _link(data, target)
        else:
            _write(target, data)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._tell(target)
        return target

    def remove(self, prefix: str) -> None:
        """Remove what was kept under a name that begins with ``prefix``."""
        for item in list(self.folder.iterdir()):
            if item.name.startswith(_plain(prefix)):
                item.unlink(missing_ok=True)
                self._tell(item)

    def take_back(self, path: Path) -> None:
        """Remove what ``put`` has kept, where it is still there."""
        for item in (path, path.with_name(path.name + _REASON)):
            item.unlink(missing_ok=True)
        self._tell(path)

    def files(self) -> list[Path]:
        """Every file, also the reasons, by name."""
        return sorted(self.folder.iterdir())

    def all(self) -> Iterator[Parked]:
        """What is kept, by name."""
        for path in sorted(self.folder.iterdir()):
            if path.name.endswith(_REASON):
                continue
            reason = path.with_name(path.name + _REASON)
            text = reason.read_text().strip() if reason.exists() else ""
            yield Parked(path.name, path, text)

    def _tell(self, path: Path) -> None:
        for changed in self._watchers:
            changed(path.name)
            changed(path.name + _REASON)

    def _free(self, name: str) -> Path:
        stem, dot, suffix = name.rpartition(".")
        number, target = 1, self.folder / name
        while target.exists():
            number += 1
            target = self.folder / f"{stem or suffix} ({number}){dot}{suffix if stem else ''}"
        return target


def _plain(name: str) -> str:
    shown = _ODD.sub("_", name).lstrip(".") or "file"
    return shown if len(shown) <= _LONGEST else shown[:100] + shown[-(_LONGEST - 100) :]


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
