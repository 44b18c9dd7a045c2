"""Folders in which files are made, changed and removed: what all of them have in common."""

from __future__ import annotations

import errno
import os
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from cachetools import LRUCache

from ndicloudfs.cache.index import DocumentName
from ndicloudfs.cache.local import LocalCache
from ndicloudfs.vfs.contents import Content
from ndicloudfs.vfs.nodes import Attributes, Directory, Entry, Kind, Node, OpenFile
from ndicloudfs.vfs.scratch import ScratchArea, ScratchFile, is_scratch
from ndicloudfs.vfs.sessions import Editable, Session, Sessions
from ndicloudfs.writeback import WriteBack

_SEEN = 16 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Edits:
    """What the folders of a mount that can be written share."""

    writeback: WriteBack
    cache: LocalCache
    sessions: Sessions = field(default_factory=Sessions)
    allow_delete_datasets: bool = False
    # Inode numbers of files that an editor has moved aside to put another in their place.
    aside: set[int] = field(default_factory=set)
    # Datasets that this mount has made, by organization and name.
    made: dict[tuple[str, str], str] = field(default_factory=dict)
    # By dataset, another object with each document that has changed or is gone: one that is made
    # anew under its name has another cloud id.
    changes: dict[str, object] = field(default_factory=dict)
    # What was last read of documents, by inode number: what somebody edits and saves anew.
    seen: LRUCache[int, bytes] = field(default_factory=lambda: LRUCache(_SEEN, getsizeof=len))

    scratch: ScratchArea = field(init=False)

    def __post_init__(self) -> None:
        """Find what scratch files there are."""
        object.__setattr__(self, "scratch", ScratchArea(self.writeback.folder / "scratch"))

    def note(self, dataset_id: str, documents: Sequence[DocumentName]) -> None:
        """Documents of a dataset have changed or are gone: look names up anew."""
        del documents
        self.changes[dataset_id] = object()


@dataclass(frozen=True, slots=True)
class Home:
    """The dataset that a folder is of."""

    dataset_id: str
    organization_id: str


def refusal(number: int, name: str = "") -> OSError:
    """The error of a change that is not possible."""
    return OSError(number, os.strerror(number), name)


class WritableFolder(Directory):
    """A folder of a dataset. Every name that tools save through is a scratch file in it."""

    checks_content = False  # whether a file of it has to be valid to be kept

    def __init__(self, ino: int, mtime_ns: int, edits: Edits, area: ScratchArea, key: int) -> None:
        """``key``: what it is known by before the server has it and after.

        Its inode number changes then; who has a file of it open does not notice.
        """
        super().__init__(ino, mtime_ns)
        self.edits = edits
        self.area = area
        self.key = key

    def attributes(self) -> Attributes:
        return Attributes(self.ino, Kind.DIRECTORY, 0, self.mtime_ns, writable=True)

    @abstractmethod
    def listed(self) -> Iterator[Entry]:
        """What is listed, but for scratch files and what is just being made."""

    @abstractmethod
    def named(self, name: str) -> Node | None:
        """The node under ``name``, but for scratch files and what is just being made."""

    def entries(self) -> Iterator[Entry]:
        local = {
            name: Entry(name, ScratchFile(self.key, self.area, name).ino, Kind.FILE)
            for name in self.area.names()
        }
        for session in self.edits.sessions.made_in(self.key):
            local[session.node.name] = Entry(session.node.name, session.node.ino, Kind.FILE)
        if not local:
            yield from self.listed()
            return
        for entry in self.listed():
            local.pop(entry.name, None)
            yield entry
        yield from local.values()

    def child(self, name: str) -> Node | None:
        session = self.edits.sessions.at(self.key, name)
        if session is not None:
            return session.node
        node = self.named(name)
        if node is None and self.area.has(name):
            node = self.unfinished(name)
        return node

    def unfinished(self, name: str) -> Editable:
        """What a file of the scratch area is."""
        return ScratchFile(self.key, self.area, name)

    def make(self, name: str) -> Editable:
        """A file that does not exist yet. Raises EPERM where there can be none."""
        if not is_scratch(name):
            raise refusal(errno.EPERM, name)
        return ScratchFile(self.key, self.area, name)

    def make_folder(self, name: str) -> None:
        """Make a folder. Raises EPERM where there can be none."""
        raise refusal(errno.EPERM, name)

    def remove(self, node: Editable) -> None:
        """Remove a file. Raises EPERM where it has to stay."""
        if not isinstance(node, ScratchFile):
            raise refusal(errno.EPERM, node.name)
        self.area.remove(node.name)

    def remove_folder(self, name: str, node: Directory) -> None:
        """Remove a folder. Raises EPERM and ENOTEMPTY."""
        del node
        raise refusal(errno.EPERM, name)

    def move(
        self, node: Editable, session: Session | None, name: str, replaced: Editable | None
    ) -> None:
        """Give a file of this folder another name in it, in place of ``replaced``.

        Raises EPERM, and EXDEV where copying it does what is wanted.
        """
        del session, name, replaced
        raise refusal(errno.EXDEV, node.name)

    def adopt(self, content: Content | OpenFile) -> Content:
        """What was written elsewhere, as what a file of this folder is written into."""
        del content
        raise refusal(errno.EXDEV)

    def keep(self, node: Editable, content: Content) -> Session:
        """Keep ``content`` as all that ``node`` has. Raises what committing raises.

        Gives a session with it, for the caller to close.
        """
        session = Session(node, made=False)
        session.become(node, content)
        try:
            session.commit()
            if session.dirty:  # nothing is no document
                raise refusal(errno.EINVAL, node.name)
        except BaseException:
            session.close()
            raise
        return session

    def now(self) -> float:
        """Seconds of the epoch."""
        return time.time()


def remove(folder: WritableFolder, name: str, node: Node) -> None:
    """Remove a file. Raises EISDIR, EPERM and EROFS."""
    if isinstance(node, Directory):
        raise refusal(errno.EISDIR, name)
    if not isinstance(node, Editable):
        raise refusal(errno.EROFS, name)
    sessions = folder.edits.sessions
    session = sessions.at(folder.key, name) or sessions.of(node.session_key)
    if session is None or not session.made:  # else nothing of it was kept yet
        folder.remove(node)
    folder.area.remove(name)  # an empty file that waits for its content
    sessions.unlinked(node.session_key, session)


def rename(
    folder: WritableFolder, name: str, node: Node, target: WritableFolder, new_name: str
) -> None:
    """Move a file. Raises EPERM, EXDEV, EISDIR, EROFS and what keeping it raises."""
    replaced = target.child(new_name)
    if isinstance(node, Directory):
        raise refusal(errno.EPERM if folder.key == target.key else errno.EXDEV, name)
    if isinstance(replaced, Directory):
        raise refusal(errno.EISDIR, new_name)
    if not isinstance(node, Editable) or not isinstance(replaced, Editable | None):
        raise refusal(errno.EROFS, name)
    sessions = folder.edits.sessions
    session = sessions.at(folder.key, name) or sessions.of(node.session_key)
    new = session is not None and session.made  # nothing of it was kept yet
    if isinstance(node, ScratchFile) or new:
        _put(folder, name, node, session, target, new_name, replaced)
    elif folder.key != target.key:
        raise refusal(errno.EXDEV, name)
    else:
        folder.move(node, session, new_name, replaced)


def _put(
    folder: WritableFolder,
    name: str,
    node: Editable,
    session: Session | None,
    target: WritableFolder,
    new_name: str,
    replaced: Editable | None,
) -> None:
    """Let what is local so far be what the target makes of the new name."""
    placed = replaced or target.make(new_name)
    sessions = target.edits.sessions
    if isinstance(node, ScratchFile) and isinstance(placed, ScratchFile):
        folder.area.rename(name, target.area, new_name)
        if session is not None:
            session.become(placed)
    elif session is None:
        opened = node.open()
        try:
            target.keep(placed, target.adopt(opened)).close()
        finally:
            opened.close()
    elif target.checks_content:
        # Who still writes may have written half of it: it counts when it is closed.
        with session.lock:
            session.become(placed, target.adopt(session.written()))
            session.made = replaced is None
    else:
        with session.lock:
            session.take_over(target.keep(placed, target.adopt(session.written())))
    folder.area.remove(name)
    if session is None:
        sessions.unlinked(placed.session_key, sessions.of(placed.session_key))
    else:
        sessions.moved(session, placed)
