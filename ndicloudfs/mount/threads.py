"""The threads of libfuse, on which requests come.

Python makes a state for a thread that it did not start whenever it is called there, and throws it
away when it returns: 20 us of the 60 that the smallest request takes. Here it stays.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

# libfuse 3 starts 10 threads: with one slow read in each, the mount would stand still.
THREADS = 64


def fuse_class(kind: type[Any]) -> type[Any]:
    """``kind``, a class ``FUSE`` of mfusepy, whose threads stay known to Python.

    For a libfuse that keeps its threads: what a thread leaves behind when it ends stays, too.
    """
    known = threading.local()
    call = kind._wrapper  # what every operation is called by

    def _wrapper(self: Any, *arguments: Any) -> Any:
        if not hasattr(known, "here"):
            known.here = True
            # Python counts how often a thread has entered; one more, and it never quite leaves.
            ctypes.pythonapi.PyGILState_Ensure()
        return call(self, *arguments)

    return type("FUSE", (kind,), {"_wrapper": _wrapper})
