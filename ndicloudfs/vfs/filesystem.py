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
from ndicloudfs.vfs.control import Control
from ndicloudfs.vfs.dataset import METADATA_NAME
from ndicloudfs.vfs.nodes import Directory, Entry, File, Node, NodeTable, OpenFile
from ndicloudfs.vfs.root import Root
from ndicloudfs.vfs.status import ErrorLog, Status


class FileSystem:
    """Nodes by path, and open files by handle. Safe for threads."""

    def __init__(self, cache: LocalCache, errors: ErrorLog) -> None:
        self._cache = cache
        mounted_ns = time.time_ns()
        self.status = Status(cache, errors, mounted_ns)
        self.root: Directory = Root(cache, Control(self.status, errors, mounted_ns), mounted_ns)
        self._nodes = NodeTable(time.monotonic)
        self._handles: dict[int, OpenFile] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

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

    def resolve(self, path: str) -> Node:
        """The node at ``path`` (``/`` separates names). Raises ENOENT and ENOTDIR."""
        node: Node = self.root
        for name in path.split("/"):
            if name:
                node = self.lookup(node, name)
        return node

    def lookup(self, directory: Node, name: str) -> Node:
        """The node under ``name`` in ``directory``. Raises ENOENT and ENOTDIR."""
        if not isinstance(directory, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name)
        # A name that is no UTF-8 arrives with surrogates; nothing here has such a name.
        readable = name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name)
        node = self._nodes.child(directory, name) if readable else None
        if node is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return node

    def entries(self, node: Node) -> Iterator[Entry]:
        """What is listed in a directory. Raises ENOTDIR."""
        if not isinstance(node, Directory):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return node.entries()

    def open(self, node: Node) -> tuple[int, OpenFile]:
        """Open a file for reading: its handle, and what it is. Raises EISDIR."""
        if not isinstance(node, File):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        opened = node.open()
        with self._lock:
            handle = next(self._numbers)
            self._handles[handle] = opened
        return handle, opened

    def read(self, handle: int, offset: int, length: int) -> bytes:
        """The bytes of an open file from ``offset``. Raises EBADF."""
        opened = self._handles.get(handle)
        if opened is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        data = opened.read(offset, length)
        self.status.was_read(len(data))
        return data

    def release(self, handle: int) -> None:
        """Close an open file."""
        with self._lock:
            opened = self._handles.pop(handle, None)
        if opened is not None:
            opened.close()

    def disk(self) -> os.statvfs_result:
        """The file system that holds the cache, which is what ``df`` shows."""
        return self._cache.disk()

    def close(self) -> None:
        """Let go of the cache."""
        self._cache.close()
