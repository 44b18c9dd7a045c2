"""FUSE operations: each translates a request to the ``vfs`` and a failure to its errno.

An adapter and nothing more: what the tree holds and how it is fetched is decided below.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cachetools import TTLCache

from ndicloudfs.cache.flight import INTERRUPTED
from ndicloudfs.cloud.errors import CloudError, Interrupted, NotFound, ObjectMissing
from ndicloudfs.mount.binding import Binding
from ndicloudfs.mount.caller import is_ending
from ndicloudfs.mount.directories import OpenDirectories, OpenDirectory
from ndicloudfs.mount.invalidation import Invalidation
from ndicloudfs.mount.pages import Pages
from ndicloudfs.mount.readahead import KERNEL_READAHEAD
from ndicloudfs.mount.readdirplus import CAP_READDIRPLUS_AUTO
from ndicloudfs.mount.stats import TYPES, Stats
from ndicloudfs.mount.told import Told
from ndicloudfs.mount.whole_requests import KEPT_XATTRS
from ndicloudfs.vfs.filesystem import FileSystem
from ndicloudfs.vfs.nodes import Attributes, Entry, Kind

log = logging.getLogger(__name__)

_DOTS = (Entry(".", 0, Kind.DIRECTORY), Entry("..", 0, Kind.DIRECTORY))
_NAME_MAX = 255
# libfuse 3 lets 12 requests run in the background: one slow file would hold up all others.
_BACKGROUND_REQUESTS = 128
_MARGIN = 1.0  # s; the kernel's clock starts when it has the answer
_SAME_ERROR_EVERY = 30.0  # s; a walk while the server is away fails ten thousand times alike


class Operations:
    """The read-only operations, for mfusepy as they are."""

    use_ns = True

    def __init__(
        self,
        filesystem: FileSystem,
        ready: Callable[[], None],
        loaded: Binding,
        trust: float,
        umask: int = 0,
    ) -> None:
        """``ready`` is called once the kernel has accepted the mount; ``umask`` bits are off.

        ``trust``: for so long the kernel believes what it is told (s). ``loaded`` tells which
        thread waits for an operation.
        """
        self.stats = Stats(umask)
        self._fs = filesystem
        self._ready = ready
        self._loaded = loaded
        self._interrupted = lambda: is_ending(loaded.caller())
        self._directories = OpenDirectories()
        # What the kernel believes of a path, which it keeps longer than a request: the size it was
        # told, and whose pages it may still have.
        self._told = Told(trust + _MARGIN, time.monotonic)
        self._pages = Pages()
        self._invalidation = Invalidation(self._told)
        filesystem.watch(self._invalidation.changed)
        self._logged: TTLCache[str, bool] = TTLCache(1000, _SAME_ERROR_EVERY, timer=time.monotonic)
        self._lock = threading.Lock()

    def init_with_config(self, conn: Any, config: Any) -> None:
        """Settle with the kernel how requests arrive (mfusepy)."""
        del config
        if conn is not None and hasattr(conn, "max_background"):
            conn.max_background = _BACKGROUND_REQUESTS
            conn.congestion_threshold = _BACKGROUND_REQUESTS * 3 // 4
            conn.want &= ~CAP_READDIRPLUS_AUTO
            conn.max_readahead = KERNEL_READAHEAD * 1024  # if nothing else limits it
        if self._loaded.invalidates:
            self._invalidation.start(self._loaded.invalidator())
        self._ready()

    def destroy(self, path: str) -> None:
        """The mount has ended; its owner closes the file system."""
        del path
        self._invalidation.stop()

    def getattr(self, path: str | None, fi: Any = None) -> dict[str, int]:
        """What ``stat`` tells of a node; times in nanoseconds."""
        return self.stats.of(self.attributes(path, fi))

    def attributes(self, path: str | None, fi: Any) -> Attributes:
        """Attributes of a node. ``path`` is None where it was removed."""
        with self._failures(path or ""):
            written = None if fi is None else self._fs.attributes_of(fi.fh)
            attributes = written or self._attributes_at(path)
        if path is not None and attributes.kind is Kind.FILE:
            directory, _, name = path.rpartition("/")
            self._told.note(directory, {name: attributes.size})
            # After the note: whoever opens it now sees that, or is seen here.
            shown = written or self._shown(path, attributes)
            if shown is not attributes:
                self._told.note(directory, {name: shown.size})
            return shown
        return attributes

    def _attributes_at(self, path: str | None) -> Attributes:
        if path is None:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        try:
            return self._fs.resolve(path).attributes()
        except (FileNotFoundError, NotFound) as error:
            if self._told.forget(path):  # else the kernel is just looking for it
                raise _stale() from error
            raise

    def _shown(self, path: str, attributes: Attributes) -> Attributes:
        """The attributes to tell of a file that may be open: the kernel has one size of it."""
        size = self._pages.size(path, attributes.size)
        return attributes if size == attributes.size else attributes._replace(size=size)

    def opendir(self, path: str) -> int:
        """Open a directory for listing it."""
        with self._failures(path):
            node = self._fs.resolve(path)
            return self._directories.add(OpenDirectory(path, lambda: self._fs.entries(node)))

    def listed(self, handle: int, offset: int) -> Iterator[Sequence[Entry]]:
        """Entries of an open directory from ``offset``, some at a time, ``.`` and ``..`` first.

        The kernel is told the attributes of those that have them.
        """
        directory = self._directories.get(handle)
        folder = directory.path.rstrip("/")
        opened = self._pages.sizes(folder)
        file = Kind.FILE
        told: dict[str, int] = {}
        try:
            with self._failures(directory.path):
                if offset == 0:
                    directory.rewind()
                yield _DOTS[offset:]
                for some in directory.entries(max(offset - len(_DOTS), 0)):
                    entries = [self._as_open(folder, entry) for entry in some] if opened else some
                    told.update(
                        (name, attributes.size)
                        for name, _, kind, attributes in entries
                        if attributes is not None and kind is file
                    )
                    yield entries
        finally:
            self._told.note(folder, told)
            for name, size in self._pages.sizes(folder).items():  # some were opened meanwhile
                if told.get(name, size) != size:
                    self._invalidation.changed(name)

    def _as_open(self, folder: str, entry: Entry) -> Entry:
        """An entry with the size that the kernel is to believe of a file that is open."""
        attributes = entry.attributes
        if attributes is None or entry.kind is not Kind.FILE:
            return entry
        return entry._replace(attributes=self._shown(f"{folder}/{entry.name}", attributes))

    def readdir(self, path: str, handle: int) -> Iterator[tuple[str, dict[str, int], int]]:
        """All names of an open directory, for a binding that hands on no attributes."""
        del path
        for entries in self.listed(handle, 0):
            for entry in entries:
                yield entry.name, {"st_ino": entry.ino, "st_mode": TYPES[entry.kind]}, 0

    def releasedir(self, path: str, handle: int) -> int:
        """Close a directory."""
        del path
        self._directories.close(handle)
        return 0

    def open(self, path: str, fi: Any) -> int:
        """Open a file."""
        with self._failures(path):
            try:
                fi.fh, opened = self._fs.open(self._fs.resolve(path), fi.flags)
            except ObjectMissing:  # the list of files may have stated a size for it
                self._invalidation.changed(path.rpartition("/")[2])
                raise
            except (FileNotFoundError, NotFound) as error:
                self._told.forget(path)
                raise _stale() from error
        same = self._pages.opened(path, fi.fh, opened.identity, opened.size)
        told = self._told.size(path)
        emptied = fi.flags & os.O_TRUNC  # the kernel knows
        if not emptied and opened.size is not None and told not in (None, opened.size):
            # The kernel would cut the new bytes to the old size; now it looks the name up again.
            self.release(path, fi)
            raise _stale()
        fi.direct_io = opened.size is None or self._is_shadowed(path)
        fi.keep_cache = same and not fi.direct_io
        if fi.flags & os.O_ACCMODE == os.O_RDONLY and hasattr(fi, "noflush"):
            fi.noflush = True  # a request less for each close
        return 0

    def _is_shadowed(self, path: str) -> bool:
        """Whether the kernel's pages are of a file that was there before, and is still open."""
        gone = self._fs.gone()
        return bool(gone) and self._pages.belong_to(path, gone)

    def read(self, path: str | None, size: int, offset: int, fi: Any) -> bytes:
        """Read from an open file."""
        with self._failures(path or ""):
            self._check_pages(fi)
            return self._fs.read(fi.fh, offset, size)

    def readinto(self, path: str | None, into: memoryview, offset: int, fi: Any) -> int:
        """Read from an open file to where the bytes go; how many there are."""
        with self._failures(path or ""):
            self._check_pages(fi)
            return self._fs.readinto(fi.fh, offset, into)

    def _check_pages(self, fi: Any) -> None:
        if self._pages.outdated(fi.fh):
            raise _stale()

    def release(self, path: str | None, fi: Any) -> int:
        """Close an open file."""
        hidden = self._pages.closed(fi.fh)
        if hidden and path is not None:
            self._invalidation.changed(path.rpartition("/")[2])
        gone = self._fs.release(fi.fh)
        if gone and path is not None:  # somebody may have looked at it until now
            self._invalidation.drop(path)
        return 0

    def listxattr(self, path: str) -> list[str]:
        """Names of the extended attributes."""
        with self._failures(path):
            return list(self._fs.resolve(path).xattrs())

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        """The value of an extended attribute."""
        del position
        if not name.startswith(KEPT_XATTRS):
            # `ls -l` asks for security.* and system.* of each file, until it hears that the file
            # system has none at all.
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        with self._failures(path):
            value = self._fs.resolve(path).xattrs().get(name)
        if value is None:
            raise OSError(errno.ENODATA, os.strerror(errno.ENODATA))
        return value.encode("utf-8", "replace")

    def statfs(self, path: str) -> dict[str, int]:
        """The disk that the cache is on."""
        del path
        disk = self._fs.disk()
        return {
            "f_bsize": disk.f_bsize,
            "f_frsize": disk.f_frsize,
            "f_blocks": disk.f_blocks,
            "f_bfree": disk.f_bfree,
            "f_bavail": disk.f_bavail,
            "f_files": disk.f_files,
            "f_ffree": disk.f_ffree,
            "f_favail": disk.f_favail,
            "f_namemax": _NAME_MAX,
        }

    def _failures(self, path: str) -> _Failures:
        """Let every failure leave as an ``OSError`` with its errno, and log it once."""
        if INTERRUPTED.get(None) is not self._interrupted:  # else this thread has been here before
            INTERRUPTED.set(self._interrupted)
        return _Failures(path, self._note)

    def _note(self, path: str, error: CloudError) -> None:
        if isinstance(error, (NotFound, ObjectMissing, Interrupted)):  # the second was noted
            log.info("%s: %s", path, error)
            return
        with self._lock:
            if str(error) in self._logged:
                return
            self._logged[str(error)] = True
        log.warning("%s: %s", path, error)


def _stale() -> OSError:
    """What makes the kernel look again: what it believes of a name or a file is not so any more.

    It then repeats an ``open``, which makes the file where it was to make one: with ENOENT, one
    with O_CREAT would fail where somebody else has just deleted the file.
    """
    return OSError(errno.ESTALE, os.strerror(errno.ESTALE))


class _Failures:
    """The failures of one operation; as a generator it would take 3 us, nine times for a file."""

    __slots__ = ("_note", "_path")

    def __init__(self, path: str, note: Callable[[str, CloudError], None]) -> None:
        self._path = path
        self._note = note

    def __enter__(self) -> None:
        """Nothing has failed yet."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> None:
        """Raise an ``OSError`` for what has failed."""
        if error is None or (isinstance(error, OSError) and error.errno is not None):
            return
        if isinstance(error, CloudError):
            self._note(self._path, error)
            raise OSError(error.errno, os.strerror(error.errno)) from error
        if isinstance(error, OSError):
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error
        if isinstance(error, Exception):
            log.error("%s: an error in ndicloudfs itself", self._path, exc_info=error)
            raise OSError(errno.EIO, os.strerror(errno.EIO)) from error


class CalledByName:
    """What fusepy wants of operations: it calls the object with the name of the operation."""

    _ready: Callable[[], None]

    def __call__(self, name: str, *arguments: Any) -> Any:
        """Run operation ``name``."""
        operation = getattr(self, name, None)
        if operation is None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        return operation(*arguments)

    def init(self, path: str) -> None:
        """The kernel has accepted the mount."""
        del path
        self._ready()

    def access(self, path: str, mode: int) -> int:
        """The kernel has checked already: ``default_permissions``."""
        del path, mode
        return 0
