"""Nodes: what the tree is made of, and the table that knows them.

A node is known by its inode number, which is derived from ids: the same on every mount. Paths are
only one way to a node; the table maps (directory, name) to nodes and forgets a mapping after a few
seconds, so that names follow what the server says.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import blake2b
from typing import NamedTuple, Protocol

from ndicloudfs.cache.scope import Scope

ROOT_INO = 1
_NAMES_KEPT = 50_000  # about 20 MB
# The kernel keeps names for a second; a walk comes back to a directory within a few.
_NAMES_KEPT_FOR = 5.0  # s
# s: a tool looks three times whether there is a file before it makes it, and each time it takes
# four questions to the disk to say no. The kernel believes for longer that there is none.
ABSENT_FOR = 0.05
_MOST_ABSENT = 1000
_NEVER = float("-inf")


class Kind(Enum):
    """What a node is to a file system."""

    DIRECTORY = "directory"
    FILE = "file"


class State(str, Enum):
    """The xattr ``user.ndi.state``."""

    CLEAN = "clean"
    PENDING = "pending"
    UPLOADING = "uploading"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    MISSING = "missing"
    LOCAL = "local"


class Attributes(NamedTuple):  # a listing makes 50,000 a second: a dataclass takes thrice the time
    """What ``stat`` tells of a node: ``size`` in bytes, ``mtime_ns`` in epoch nanoseconds."""

    ino: int
    kind: Kind
    size: int
    mtime_ns: int
    writable: bool = False


class Entry(NamedTuple):
    """What a directory tells of a node in it.

    ``attributes``: what ``stat`` would tell, where that is known and costs nothing.
    """

    name: str
    ino: int
    kind: Kind
    attributes: Attributes | None = None


class OpenFile(Protocol):
    """An open file: one version of its bytes, whatever happens meanwhile."""

    @property
    def identity(self) -> str:
        """What the bytes are known by, if they never change under it; else ``""``."""

    @property
    def size(self) -> int | None:
        """Number of bytes; None where they are made up at each open, and ``stat`` may be off."""

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end."""

    def readinto(self, offset: int, into: memoryview) -> int:
        """Put the bytes from ``offset`` there; how many, fewer than fit only at the end."""
        data = self.read(offset, len(into))
        into[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Nobody will read any more."""


@dataclass(frozen=True, slots=True)
class BytesFile(OpenFile):
    """An open file whose bytes are in memory."""

    data: bytes
    generated: bool = False
    identity: str = ""

    @property
    def size(self) -> int | None:
        """Number of bytes, None where they were made up for this open."""
        return None if self.generated else len(self.data)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``, fewer than ``length`` only at the end."""
        return self.data[offset : offset + length]

    def close(self) -> None:
        """Nobody will read any more."""


class Node(ABC):
    """A file or directory of the tree."""

    kind: Kind

    def __init__(self, ino: int) -> None:
        self.ino = ino

    @abstractmethod
    def attributes(self) -> Attributes:
        """What ``stat`` tells."""

    def xattrs(self) -> dict[str, str]:
        """Extended attributes: full name -> value."""
        return {}

    def scope(self) -> Scope | None:
        """What of the cloud is here and below; None where nothing is."""
        return None

    def current(self) -> bool:
        """Whether it still is what its name stands for, as far as this mount knows."""
        return True


class Directory(Node):
    """A node with others in it."""

    kind = Kind.DIRECTORY

    def __init__(self, ino: int, mtime_ns: int) -> None:
        super().__init__(ino)
        self.mtime_ns = mtime_ns

    def attributes(self) -> Attributes:
        return Attributes(self.ino, Kind.DIRECTORY, 0, self.mtime_ns)

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """Everything in the directory that is listed, without ``.`` and ``..``."""

    @abstractmethod
    def child(self, name: str) -> Node | None:
        """The node under ``name``, listed or not; None where there is none."""


class File(Node):
    """A node with bytes."""

    kind = Kind.FILE

    @abstractmethod
    def open(self) -> OpenFile:
        """Open the file for reading."""


class NodeTable:
    """Nodes by directory and name, for every front end; and directories by their path."""

    def __init__(
        self,
        monotonic: Callable[[], float],
        state: Callable[[], object],
        absent_for: float = ABSENT_FOR,
    ) -> None:
        """``state``: what is another value whenever a new name may be there.

        ``absent_for``: for so long (s) a name counts as absent that was looked for in vain.
        """
        self._state = state
        self._absent_for = absent_for
        self._lock = threading.Lock()
        self._monotonic = monotonic
        # Two generations of half the time each: a look-up is two dictionaries and not the 4 us of
        # a cache with a time for each entry.
        self._new: dict[tuple[int, str], Node] = {}
        self._old: dict[tuple[int, str], Node] = {}
        self._since = self._old_since = monotonic()
        # The nodes on the way to a directory: nearly every request is about one in the same
        # directory as the last, and a name at a time took a third of all that a look-up takes.
        self._ways: dict[str, tuple[Directory, list[Directory]]] = {}
        self._absent: dict[tuple[int, str], float] = {}
        self._absent_state = state()

    def child(self, directory: Directory, name: str) -> Node | None:
        """The node under ``name`` in ``directory``, None where there is none."""
        place = (directory.ino, name)
        with self._lock:
            now = self._grow_old()
            if self._is_absent(place, now):
                return None
            node = self._new.get(place) or self._old.get(place)
            absent = self._absent
        if node is None or not node.current():
            node = directory.child(name)
            if node is None:
                absent[place] = now  # for nobody, if something has been made meanwhile
            else:
                with self._lock:
                    self._new[place] = node
        return node

    def made(self, directory: Directory, name: str, node: Node) -> None:
        """``node`` has been made under ``name`` in ``directory``."""
        place = (directory.ino, name)
        with self._lock:
            self._forget(place)
            self._new[place] = node

    def is_absent(self, directory: Directory, name: str) -> bool:
        """Whether there was nothing under ``name`` in ``directory`` a moment ago."""
        with self._lock:
            return self._is_absent((directory.ino, name), self._grow_old())

    def directory(self, path: str) -> Directory | None:
        """The directory at ``path``, where it was kept and still is what is there."""
        with self._lock:
            self._grow_old()
            way = self._ways.get(path)
        if way is None:
            return None
        directory, doubtful = way
        if doubtful and not all(node.current() for node in doubtful):
            return None
        return directory

    def keep(self, path: str, way: Sequence[Directory]) -> None:
        """Keep the directory at ``path``; ``way``: those on the way to it, and itself."""
        doubtful = [node for node in way if type(node).current is not Node.current]
        with self._lock:
            self._ways[path] = (way[-1], doubtful)

    def forget(self, directory: Directory, name: str) -> None:
        """What is under ``name`` in ``directory`` may be another node now."""
        with self._lock:
            self._forget((directory.ino, name))

    def _forget(self, place: tuple[int, str]) -> None:
        self._absent = {}
        gone = (self._new.pop(place, None), self._old.pop(place, None))
        if isinstance(gone[0], Directory) or isinstance(gone[1], Directory):
            self._ways.clear()

    def _is_absent(self, place: tuple[int, str], now: float) -> bool:
        state = self._state()
        if state != self._absent_state:
            self._absent, self._absent_state = {}, state
        return bool(self._absent) and now - self._absent.get(place, _NEVER) < self._absent_for

    def _grow_old(self) -> float:
        now = self._monotonic()
        if now - self._since > _NAMES_KEPT_FOR / 2 or len(self._new) > _NAMES_KEPT / 2:
            self._old, self._old_since = self._new, self._since
            self._new, self._since = {}, now
            self._ways = {}
        if now - self._old_since > _NAMES_KEPT_FOR:
            self._old, self._old_since = {}, self._since
            self._ways = {}
        if len(self._absent) > _MOST_ABSENT:
            self._absent = {}
        return now


def derive_ino(parent: int, *key: str) -> int:
    """The inode number of what ``key`` identifies in the directory ``parent``."""
    return ino_maker(parent)("\0".join(key))


def ino_maker(parent: int) -> Callable[[str], int]:
    """What derives inode numbers in the directory ``parent``, for making many."""
    begun = blake2b(b"%d\0" % parent, digest_size=8)

    def derive(key: str) -> int:
        digest = begun.copy()
        digest.update(key.encode("utf-8", "replace"))
        # 63 bits: some tools read inode numbers as signed. 0 and 1 are taken.
        return (int.from_bytes(digest.digest(), "big") >> 1) | 2

    return derive
