"""Which Python binding of FUSE to use, and how it wants to be called.

``mfusepy`` is the maintained line of ``fusepy`` and loads libfuse 3; ``fusepy`` needs libfuse 2.
Both have the same API. ``NDICLOUDFS_FUSE`` in the environment chooses one.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ndicloudfs.mount import readdirplus, threads, whole_requests
from ndicloudfs.mount.threads import THREADS

VARIABLE = "NDICLOUDFS_FUSE"
MFUSEPY, FUSEPY = "mfusepy", "fusepy"


class BindingError(Exception):
    """No usable binding: the sentence says what to install."""


@dataclass(frozen=True, slots=True)
class Binding:
    """A binding that is loaded."""

    name: str
    module: Any

    @property
    def version(self) -> tuple[int, int]:
        """Of libfuse: major and minor."""
        return self.module.fuse_version_major, self.module.fuse_version_minor

    @property
    def readdirplus(self) -> bool:
        """Whether entries of a directory can be listed together with their attributes."""
        return self.name == MFUSEPY and self.version[0] == 3 and not self._lists_junk

    @property
    def _lists_junk(self) -> bool:
        """Whether libfuse is one that sends attributes of entries that come without any."""
        if self.version != (3, 17):
            return False
        version = self.module._libfuse.fuse_pkgversion  # 3.17.0 and 3.17.1 do it
        version.restype = ctypes.c_char_p
        return bytes(version() or b"").startswith((b"3.17.0", b"3.17.1"))

    @property
    def invalidates(self) -> bool:
        """Whether the kernel can be made to forget what it was told of a path."""
        return (
            self.name == MFUSEPY
            and self.version[0] == 3
            and hasattr(self.module._libfuse, "fuse_invalidate_path")
        )

    def invalidator(self) -> Callable[[str], None]:
        """What makes the kernel forget a path; to be asked for while an operation runs.

        Where ``invalidates``. It must not be called by a thread that runs an operation.
        """
        library = self.module._libfuse
        function = library.fuse_invalidate_path
        function.argtypes, function.restype = (ctypes.c_void_p, ctypes.c_char_p), ctypes.c_int
        fuse = library.fuse_get_context().contents.fuse

        def invalidate(path: str) -> None:
            function(fuse, os.fsencode(path))  # fails where the kernel has not heard of it

        return invalidate

    def caller(self) -> int:
        """The thread that waits for the operation that runs on this thread; 0 if it is unknown."""
        _, _, thread_id = self.module.fuse_get_context()
        return int(thread_id)

    def run(self, operations: object, mountpoint: str, options: dict[str, Any]) -> None:
        """Serve ``operations`` at ``mountpoint`` until it is unmounted.

        Raises ``RuntimeError`` where libfuse gives up; it has then said why on stderr.
        """
        # The option came with libfuse 3.12; before, there was no limit.
        if self.name == MFUSEPY and self.version >= (3, 12):
            options = {**options, "max_threads": THREADS}
        kind = readdirplus.fuse_class(self.module) if self.readdirplus else self.module.FUSE
        if self.name == MFUSEPY and self.version[0] == 3:
            kind = threads.fuse_class(whole_requests.fuse_class(kind, self.module.c_stat))
            options = {**options, "max_idle_threads": THREADS}  # none of them ends before the mount
        # Options by keyword only: the binding's third positional argument is something else.
        kind(operations, mountpoint, raw_fi=True, foreground=True, **options)


def load(name: str | None = None) -> Binding:
    """Load a binding by name, by default the one that the environment names, else mfusepy.

    Raises ``BindingError``.
    """
    name = name or os.environ.get(VARIABLE) or MFUSEPY
    if name not in (MFUSEPY, FUSEPY):
        raise BindingError(f"{VARIABLE} is {name!r}; it can be {MFUSEPY} or {FUSEPY}")
    if name == MFUSEPY and ctypes.util.find_library("fuse3"):
        # With both libraries installed mfusepy takes libfuse 2 unless told otherwise.
        os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
    try:
        return Binding(name, importlib.import_module("fuse" if name == FUSEPY else name))
    except ModuleNotFoundError:
        package = "ndicloudfs[fusepy]" if name == FUSEPY else name
        raise BindingError(
            f"The Python package {name} is not installed; run: pip install '{package}'"
        ) from None
    except OSError:
        library = "libfuse2" if name == FUSEPY else "fuse3"
        raise BindingError(
            f"{name} finds no libfuse to load; run: sudo apt-get install {library}"
        ) from None
