"""Files that are being written: who has one open sees what everybody writes into it.

A session begins when a file is opened for writing and ends when its last handle is closed. Every
handle of the file, also one for reading that was there before, sees the session's bytes. Where they
were refused at a close, they are those handles' alone until they are written to again: who opens
the file, or asks for its size, finds what it was before.

Locks: ``Sessions._lock`` is held for its tables alone. A session's own lock is held while its
bytes are read, written and committed; what a commit calls takes no other session's lock.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from abc import abstractmethod

from ndicloudfs.cloud.errors import CloudError, ObjectMissing
from ndicloudfs.vfs.contents import Content
from ndicloudfs.vfs.nodes import Attributes, File, Kind, OpenFile

log = logging.getLogger(__name__)


class NotTaken(OSError):
    """What was written cannot be what the file is to hold: ``str(error)`` says why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.EINVAL, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


class Editable(File):
    """A file that can be written."""

    def __init__(self, ino: int, folder_key: int, name: str) -> None:
        """``folder_key``: the key of the folder that it is in."""
        super().__init__(ino)
        self.folder_key = folder_key
        self.name = name

    @property
    def session_key(self) -> int:
        """What it is known by while it is open: no other file has it then."""
        return self.ino

    @abstractmethod
    def content(self, source: OpenFile | None) -> Content:
        """What to write into; ``source`` is what the file has, None for nothing."""

    @abstractmethod
    def commit(self, session: Session) -> OpenFile | None:
        """Keep what the session has, safe when this returns.

        Gives what the file holds from now on where that is not the session's bytes as they are.
        Sets ``session.dirty`` to False, unless there is nothing yet that could be kept. Raises
        ``NotTaken``.
        """

    @abstractmethod
    def committed(self) -> Attributes:
        """What ``stat`` tells where nothing is being written."""

    def ended(self, session: Session) -> bool:
        """The last handle is closed; whether the session's bytes are still needed."""
        del session
        return False


class Session:
    """The bytes of a file while it is open for writing."""

    def __init__(self, node: Editable, *, made: bool) -> None:
        """``made``: the file did not exist before."""
        self.lock = threading.RLock()
        self.node = node
        self.made = made  # and nothing of it was committed
        self.dirty = made
        self.unlinked = False
        self.handles = 0
        self.rejected: str = ""  # what rejected/ has of it
        self.changed_ns = time.time_ns()
        self.key: tuple[int, tuple[int, str]] = (0, (0, ""))  # where Sessions has it
        self._source: OpenFile | None = None
        self._content: Content | None = None
        self._shown: OpenFile | None = None
        self._not_taken: NotTaken | None = None

    @property
    def size(self) -> int:
        """Number of bytes."""
        with self.lock:
            if self._shown is not None:
                return self._shown.size or 0
            if self._content is not None:
                return self._content.size
            return 0 if self._source is None else self._source.size or 0

    @property
    def refused(self) -> bool:
        """Whether its bytes cannot be what the file is, which has others."""
        return self._not_taken is not None and not self.made

    @property
    def came_to_nothing(self) -> bool:
        """Whether it was to be a new file, and has ended without being one."""
        return self._not_taken is not None and self.made and not self.handles

    def begin(self, *, empty: bool) -> None:
        """Have the bytes at hand that the file has, or none. Raises what opening raises."""
        with self.lock:
            if empty:
                if self._content is None and self._source is None:
                    self._content = self.node.content(None)
                    self.dirty = True
                else:
                    self.truncate(0)
            elif self._content is None and self._source is None:
                if self.made:
                    self._content = self.node.content(None)
                else:
                    try:
                        self._source = self.node.open()
                    except ObjectMissing:  # its bytes never came: here they are, perhaps
                        self._content = self.node.content(None)

    def attributes(self) -> Attributes:
        """What ``stat`` tells of the file."""
        if not self.unlinked and (self.refused or not self.dirty):
            return self.node.committed()
        return Attributes(self.node.ino, Kind.FILE, self.size, self.changed_ns, writable=True)

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``."""
        with self.lock:
            for bytes_ in (self._shown, self._content, self._source):
                if bytes_ is not None:
                    return bytes_.read(offset, length)
            return b""

    def write(self, data: bytes, offset: int | None) -> None:
        """Write ``data``, at the end where there is no ``offset``."""
        with self.lock:
            content = self._changing()
            content.write(data, content.size if offset is None else offset)

    def truncate(self, size: int) -> None:
        """Cut it, or let it grow by zeros."""
        with self.lock:
            self._changing().truncate(size)

    def commit(self) -> bool:
        """Keep what was written, if anything was; whether the file is something else now."""
        with self.lock:
            if self.unlinked or not self.dirty:
                return False
            if self._not_taken is not None:  # and it is still the same
                raise self._not_taken
            try:
                self._shown = self.node.commit(self)
            except NotTaken as error:
                self._not_taken = error
                raise
            self.made = self.made and self.dirty
            return self._shown is not None

    def written(self) -> Content:
        """The bytes to keep; the lock is held."""
        if self._content is None:
            self._content = self.node.content(self._source)
        return self._content

    def become(self, node: Editable, content: Content | None = None) -> None:
        """Be about another file from now on; with ``content`` as its bytes, not kept yet."""
        with self.lock:
            self.node = node
            if content is not None:
                if self._content is not None:
                    self._content.close()
                self._content, self._shown, self.dirty = content, None, True
                self._not_taken = None

    def take_over(self, other: Session) -> None:
        """Go on with what ``other`` has kept; nobody uses that one any more."""
        with self.lock, other.lock:
            self.become(other.node, other.written())
            self._shown, self.dirty, self.made = other._shown, other.dirty, False
            other._content = None

    def close(self) -> None:
        """Let go of everything."""
        with self.lock:
            for bytes_ in (self._content, self._source):
                if bytes_ is not None:
                    bytes_.close()
            self._content = self._source = None

    def _changing(self) -> Content:
        content = self.written()
        self._shown = self._not_taken = None
        self.dirty = True
        self.changed_ns = time.time_ns()
        return content


class Handle(OpenFile):
    """An open file of the tree that others may be writing."""

    def __init__(
        self,
        sessions: Sessions,
        key: int,
        session: Session | None,
        opened: OpenFile | None,
        *,
        appending: bool = False,
        reading: bool = True,
    ) -> None:
        """``opened``: what is read where nobody writes; ``appending``: writes go to the end.

        ``reading``: it may be read through the handle.
        """
        self._sessions = sessions
        self.key = key
        self.session = session
        self._opened = opened
        self._appending = appending
        self._reading = reading

    @property
    def is_read(self) -> bool:
        """Whether anybody may have read of the file since it was opened."""
        return self._reading or self.session is None or self.session.handles > 1

    @property
    def identity(self) -> str:
        """What the bytes are known by, ``""`` where they may change."""
        return "" if self.session is not None or self._opened is None else self._opened.identity

    @property
    def size(self) -> int | None:
        """Number of bytes."""
        if self.session is not None:
            return self.session.size
        return None if self._opened is None else self._opened.size

    def attributes(self) -> Attributes | None:
        """What ``stat`` tells, where the file is being written."""
        return None if self.session is None else self.session.attributes()

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from ``offset``."""
        if self.session is not None:
            return self.session.read(offset, length)
        return b"" if self._opened is None else self._opened.read(offset, length)

    def readinto(self, offset: int, into: memoryview) -> int:
        """Put the bytes from ``offset`` there; how many."""
        if self.session is None and self._opened is not None:
            return self._opened.readinto(offset, into)
        return super().readinto(offset, into)

    def write(self, data: bytes, offset: int) -> None:
        """Write ``data``. Raises EBADF where the file was opened for reading."""
        if self.session is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self.session.write(data, None if self._appending else offset)

    def close(self) -> None:
        """Nobody will use it any more."""
        self._sessions.closed(self)
        if self._opened is not None:
            self._opened.close()


class Sessions:
    """All sessions of a mount."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers: dict[int, set[Handle]] = {}  # those that belong to no session
        self._by_key: dict[int, Session] = {}
        self._by_place: dict[tuple[int, str], Session] = {}
        self._gone: set[Session] = set()  # of files that are gone, and still open

    def any_gone(self) -> bool:
        """Whether somebody has a file open that is gone."""
        return bool(self._gone)

    def of(self, key: int) -> Session | None:
        """The session of the file with this key."""
        return self._by_key.get(key)

    def at(self, folder_key: int, name: str) -> Session | None:
        """The session of the file that has this name in the folder with this key."""
        return self._by_place.get((folder_key, name))

    def made_in(self, folder_key: int) -> list[Session]:
        """The sessions of files in a folder of which nothing is committed yet."""
        return [
            session
            for (key, _), session in list(self._by_place.items())
            if key == folder_key and session.made
        ]

    def read(self, node: Editable) -> Handle:
        """Open a file for reading."""
        handle = Handle(self, node.session_key, self._join(node.session_key), None)
        if handle.session is not None:
            return handle
        opened = node.open()
        handle = Handle(self, node.session_key, self._join(node.session_key), opened)
        if handle.session is None:
            with self._lock:
                self._readers.setdefault(node.session_key, set()).add(handle)
        return handle

    def write(
        self,
        node: Editable,
        *,
        empty: bool,
        made: bool = False,
        appending: bool = False,
        reading: bool = True,
    ) -> Handle:
        """Open a file for writing; ``empty`` cuts it first, ``made``: there was none before.

        ``reading``: it may be read through the handle, too.
        """
        with self._lock:
            session = self._by_key.get(node.session_key)
            if session is not None and session.refused:
                self._forget(session)
                session = None
            if session is None:
                session = Session(node, made=made)
                # Who reads it already sees what is written from now on.
                for reader in self._readers.pop(node.session_key, ()):
                    reader.session = session
                    session.handles += 1
                self._enter(session, node)
            session.handles += 1
        handle = Handle(self, node.session_key, session, None, appending=appending, reading=reading)
        try:
            session.begin(empty=empty)
        except BaseException:
            session.dirty = session.dirty and not made
            handle.close()
            raise
        return handle

    def moved(self, session: Session, node: Editable) -> None:
        """A file with a session has another name now; the one that was there is gone."""
        with self._lock:
            self._forget(session)
            self._readers.pop(node.session_key, None)
            for replaced in (
                self._by_place.get((node.folder_key, node.name)),
                self._by_key.get(node.session_key),
            ):
                if replaced is not None:
                    self._unlink(replaced)
            self._enter(session, node)

    def unlinked(self, key: int, session: Session | None) -> None:
        """A file is gone; who has it open may go on."""
        with self._lock:
            self._readers.pop(key, None)
            if session is None:
                return
            self._unlink(session)
            unused = not session.handles
        if unused:
            session.close()

    def closed(self, handle: Handle) -> None:
        """A handle is closed; the last one of a session ends it."""
        with self._lock:
            session = handle.session
            if session is None:
                readers = self._readers.get(handle.key, set())
                readers.discard(handle)
                if not readers:
                    self._readers.pop(handle.key, None)
                return
            session.handles -= 1
            if session.handles:
                return
        self._end(session)

    def _join(self, key: int) -> Session | None:
        with self._lock:
            session = self._by_key.get(key)
            if session is None or session.refused:
                return None
            session.handles += 1
            return session

    def _end(self, session: Session) -> None:
        try:
            # A close has committed already, but for what came through a mapping after it.
            session.commit()
        except NotTaken as error:  # each close has failed with it; a later one might not have
            log.warning("%s; what was written is in .ndicloudfs/rejected/", error)
        except (OSError, CloudError) as error:
            log.warning("%s could not be kept: %s", session.node.name, error)
        kept = session.dirty and not session.unlinked and session.node.ended(session)
        with self._lock:
            if session.handles or kept:
                return
            self._forget(session)
            self._gone.discard(session)
        session.close()

    def _unlink(self, session: Session) -> None:
        session.unlinked = True
        self._forget(session)
        if session.handles:
            self._gone.add(session)

    def _enter(self, session: Session, node: Editable) -> None:
        session.key = (node.session_key, (node.folder_key, node.name))
        self._by_key[node.session_key] = session
        self._by_place[node.folder_key, node.name] = session

    def _forget(self, session: Session) -> None:
        key, place = session.key
        if self._by_key.get(key) is session:
            del self._by_key[key]
        if self._by_place.get(place) is session:
            del self._by_place[place]
