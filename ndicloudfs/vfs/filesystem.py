"""The file system that every front end drives: FUSE, and Python through ``integrations``.

All failures are ``OSError`` or ``CloudError``; both carry an ``errno``.
"""

from __future__ import annotations

import errno
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from ndicloudfs.cache.index import DocumentName
from ndicloudfs.cache.local import LocalCache
from ndicloudfs.vfs import names
from ndicloudfs.vfs.control import CONTROL_NAME, Control
from ndicloudfs.vfs.dataset import METADATA_NAME
from ndicloudfs.vfs.nodes import (
    ABSENT_FOR,
    Attributes,
    Directory,
    Entry,
    File,
    Kind,
    Node,
    NodeTable,
    OpenFile,
)
from ndicloudfs.vfs.root import Root
from ndicloudfs.vfs.sessions import Editable, Handle
from ndicloudfs.vfs.source import root_of
from ndicloudfs.vfs.status import ErrorLog, Status
from ndicloudfs.vfs.writable import Edits, WritableFolder, remove, rename
from ndicloudfs.vfs.writable_root import WritableOrganization, Writing


class FileSystem:
    """Nodes by path, and open files by handle. Safe for threads."""

    def __init__(self, cache: LocalCache, errors: ErrorLog, edits: Edits | None = None) -> None:
        """``edits``: how what is written is kept; None: nothing can be written."""
        self._cache = cache
        self._edits = edits
        if edits is not None:
            cache.changes.listen(edits.note)
        mounted_ns = time.time_ns()
        writeback = None if edits is None else edits.writeback
        self.status = Status(cache, errors, writeback, mounted_ns)
        self._control = Control(self.status, errors, writeback, mounted_ns)
        self.root: Directory = Root(cache, self._control, Writing(edits), mounted_ns)
        self._nodes = NodeTable(time.monotonic, self._state, min(ABSENT_FOR, cache.ttl))
        self._handles: dict[int, OpenFile] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    def _state(self) -> tuple[int, int]:
        """Another value whenever the index or the journal may have another name."""
        journal = 0 if self._edits is None else self._edits.writeback.writes
        return self._cache.writes, journal

    def show(self, source: str) -> None:
        """Make the directory that ``source`` names the root. Raises NoSuchSource."""
        self.root = root_of(self.root, source)

    @property
    def writes(self) -> bool:
        """Whether anything can be written at all."""
        return self._edits is not None

    def watch(self, changed: Callable[[str], None]) -> None:
        """Call ``changed`` with the name of each file that may have become another one, or none.

        Whatever directory it is in. It is called by whoever finds out, and must return at once.
        """

        def tell(dataset_id: str, documents: Sequence[DocumentName]) -> None:
            del dataset_id
            if not documents:
                changed(METADATA_NAME)
            for document in documents:
                for name in names.document_names(document.ndi_id, document.id):
                    changed(name)

        self._cache.changes.listen(tell)
        if self._edits is not None:
            self._edits.writeback.watch_parked(changed)

    def resolve(self, path: str) -> Node:
        """The node at ``path`` (``/`` separates names). Raises ENOENT and ENOTDIR."""
        above, _, name = path.rpartition("/")
        if not name:
            return self._directory(above)
        directory = self._nodes.directory(above) or self._directory(above)
        return self.lookup(directory, name)

    def _directory(self, path: str) -> Node:
        """The node at ``path``, which is kept where it is a directory."""
        node: Node = self.root
        way = [self.root]
        for name in path.split("/"):
            if name:
                node = self.lookup(node, name)
                if not isinstance(node, Directory):
                    return node
                way.append(node)
        self._nodes.keep(path, way)
        return node

    def lookup(self, directory: Node, name: str) -> Node:
        """The node under ``name`` in ``directory``. Raises ENOENT and ENOTDIR."""
        if not isinstance(directory, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        if name == CONTROL_NAME and directory is self.root:
            return self._control
        node = self._nodes.child(directory, name) if is_readable(name) else None
        if node is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return node

    def entries(self, node: Node) -> Iterator[Entry]:
        """What is listed in a directory. Raises ENOTDIR."""
        if not isinstance(node, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if node is self.root and not isinstance(node, Root):
            control = Entry(CONTROL_NAME, self._control.ino, Kind.DIRECTORY)
            return itertools.chain(node.entries(), [control])
        return node.entries()

    def open(self, node: Node, flags: int = os.O_RDONLY) -> tuple[int, OpenFile]:
        """A file as one that is open, with the ``flags`` of the system call: handle and file.

        Raises EISDIR, and EROFS where it cannot be written.
        """
        if not isinstance(node, File):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        opened: OpenFile
        if flags & os.O_ACCMODE == os.O_RDONLY:
            if self._edits is not None and isinstance(node, Editable):
                opened = self._edits.sessions.read(node)
            else:
                opened = node.open()
        elif self._edits is None or not isinstance(node, Editable):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        else:
            opened = self._edits.sessions.write(
                node,
                empty=bool(flags & os.O_TRUNC),
                appending=bool(flags & os.O_APPEND),
                reading=flags & os.O_ACCMODE != os.O_WRONLY,
            )
        return self._handle(opened), opened

    def _handle(self, opened: OpenFile) -> int:
        with self._lock:
            handle = next(self._numbers)
            self._handles[handle] = opened
        return handle

    def opened(self, handle: int) -> OpenFile:
        """What is open as ``handle``. Raises EBADF."""
        opened = self._handles.get(handle)
        if opened is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return opened

    def attributes_of(self, handle: int) -> Attributes | None:
        """What ``stat`` tells of an open file, where it is being written."""
        opened = self._handles.get(handle)
        return opened.attributes() if isinstance(opened, Handle) else None

    def read(self, handle: int, offset: int, length: int) -> bytes:
        """The bytes of an open file from ``offset``. Raises EBADF."""
        data = self.opened(handle).read(offset, length)
        self.status.was_read(len(data))
        return data

    def readinto(self, handle: int, offset: int, into: memoryview) -> int:
        """Put the bytes of an open file from ``offset`` there; how many. Raises EBADF."""
        count = self.opened(handle).readinto(offset, into)
        self.status.was_read(count)
        return count

    def release(self, handle: int) -> bool:
        """Close an open file. Answers whether there is no file now, though there seemed to be."""
        with self._lock:
            opened = self._handles.pop(handle, None)
        if opened is None:
            return False
        opened.close()
        session = opened.session if isinstance(opened, Handle) else None
        return session is not None and session.came_to_nothing

    # Edits

    def check_writable(self, path: str) -> None:
        """Raise EROFS where nothing can be changed."""
        if not self.resolve(path).attributes().writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    def create(self, path: str, flags: int) -> int:
        """Make a file and open it for writing; its handle. Raises EPERM and EROFS."""
        folder, name = self._parent(path)
        if not self._nodes.is_absent(folder, name):  # somebody else may have just made it
            self._forget(folder, name)
            node = folder.child(name)
            if node is not None:
                return self.open(node, flags)[0]
        made = folder.make(name)
        opened = folder.edits.sessions.write(
            made,
            empty=False,
            made=True,
            appending=bool(flags & os.O_APPEND),
            reading=flags & os.O_ACCMODE != os.O_WRONLY,
        )
        self._nodes.made(folder, name, made)
        return self._handle(opened)

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of ``data``. Raises EBADF, ENOSPC and EFBIG."""
        self._written(handle).write(data, offset)

    def flush(self, handle: int) -> bool:
        """Have what was written safe when this returns. Raises EINVAL where it cannot be kept.

        Answers whether the file is something else now than what was written.
        """
        opened = self.opened(handle)
        if not isinstance(opened, Handle) or opened.session is None:
            return False
        return opened.session.commit()

    def gone(self) -> set[int]:
        """The handles of files that are gone since they were opened."""
        if self._edits is None or not self._edits.sessions.any_gone():
            return set()
        with self._lock:
            handles = list(self._handles.items())
        return {
            handle
            for handle, opened in handles
            if isinstance(opened, Handle) and opened.session and opened.session.unlinked
        }

    def is_read(self, handle: int) -> bool:
        """Whether anybody may have read of an open file while it was written."""
        opened = self.opened(handle)
        return not isinstance(opened, Handle) or opened.is_read

    def truncate(self, path: str, size: int, handle: int | None) -> None:
        """Cut a file, or let it grow by zeros; at once where nobody has it open for writing."""
        if handle is not None:
            session = self._written(handle).session
            if session is not None:
                session.truncate(size)
            return
        node = self.resolve(path)
        made, _ = self.open(node, os.O_WRONLY | (os.O_TRUNC if size == 0 else 0))
        try:
            session = self._written(made).session
            if session is not None:
                if size:
                    session.truncate(size)
                if session.handles == 1:
                    session.commit()
        finally:
            self.release(made)

    def unlink(self, path: str) -> None:
        """Remove a file. Raises ENOENT, EISDIR, EPERM and EROFS."""
        folder, name = self._parent(path)
        node = self.lookup(folder, name)
        remove(folder, name, node)
        self._forget(folder, name)

    def rename(self, path: str, new_path: str) -> None:
        """Move a file, in place of one that is there. Raises EPERM, EXDEV, EISDIR and EROFS."""
        folder, name = self._parent(path)
        target, new_name = self._parent(new_path)
        node = self.lookup(folder, name)
        if (folder.key, name) == (target.key, new_name):
            return
        self._forget(target, new_name)
        try:
            rename(folder, name, node, target, new_name)
        finally:
            self._forget(folder, name)
            self._forget(target, new_name)

    def mkdir(self, path: str) -> None:
        """Make a folder: a dataset or a class. Raises EPERM and EROFS."""
        parent, name = self._split(path)
        if not isinstance(parent, WritableFolder | WritableOrganization):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        parent.make_folder(name)
        self._forget(parent, name)

    def rmdir(self, path: str) -> None:
        """Remove a folder. Raises EPERM, ENOTEMPTY, ENOTDIR and EROFS."""
        parent, name = self._split(path)
        if not isinstance(parent, WritableFolder | WritableOrganization):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        node = self.lookup(parent, name)
        if not isinstance(node, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        parent.remove_folder(name, node)
        self._forget(parent, name)

    def _split(self, path: str) -> tuple[Directory, str]:
        parent_path, _, name = path.rstrip("/").rpartition("/")
        parent = self._nodes.directory(parent_path) or self.resolve(parent_path)
        if not isinstance(parent, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        if not is_readable(name):
            raise OSError(errno.EILSEQ, os.strerror(errno.EILSEQ))
        return parent, name

    def _parent(self, path: str) -> tuple[WritableFolder, str]:
        parent, name = self._split(path)
        if not isinstance(parent, WritableFolder):
            writable = isinstance(parent, WritableOrganization)
            number = errno.EPERM if writable else errno.EROFS
            raise OSError(number, os.strerror(number))
        return parent, name

    def _written(self, handle: int) -> Handle:
        opened = self.opened(handle)
        if not isinstance(opened, Handle):
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return opened

    def _forget(self, folder: Directory, name: str) -> None:
        self._nodes.forget(folder, name)

    def disk(self) -> os.statvfs_result:
        """The file system that ``df`` shows: that of the cache, or of staging if it is fuller."""
        disk = self._cache.disk()
        if self._edits is None:
            return disk
        staging = os.statvfs(self._edits.writeback.folder)
        fuller = staging.f_bavail * staging.f_frsize < disk.f_bavail * disk.f_frsize
        return staging if fuller else disk

    def close(self) -> None:
        """Let go of the cache."""
        self._cache.close()


def is_readable(name: str) -> bool:
    """Whether ``name`` is UTF-8: one that is not arrives with surrogates."""
    return name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name)
