"""The threads of libfuse, on which requests come.

Python makes a state for a thread that it did not start whenever it is called there, and throws it
away when it returns: 20 us of the 60 that the smallest request takes. Here it stays.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any

# libfuse 3 starts 10 threads: with one slow read in each, the mount would stand still.
THREADS = 64


def fuse_class(kind: type[Any]) -> type[Any]:
    """``kind``, a class ``FUSE`` of mfusepy, whose threads stay known to Python.

    For a libfuse that keeps its threads: what a thread leaves behind when it ends stays, too.
    """
    known = threading.local()
    call = kind._wrapper  # what every operation is called by

    def _wrapper(self: Any, operation: Callable[..., int | None], *arguments: Any) -> Any:
        if not hasattr(known, "here"):
            known.here = True
            # Python counts how often a thread has entered; one more, and it never quite leaves.
            ctypes.pythonapi.PyGILState_Ensure()
        try:
            return operation(*arguments) or 0
        except OSError as error:
            if isinstance(error.errno, int) and error.errno > 0:
                return -error.errno  # mfusepy words it for its log first, for 4 us
            return call(self, _failing(operation, error))
        except BaseException as error:  # noqa: BLE001 - an error in ndicloudfs or in mfusepy
            return call(self, _failing(operation, error))

    return type("FUSE", (kind,), {"_wrapper": _wrapper})


def _failing(operation: Callable[..., Any], error: BaseException) -> Callable[[], None]:
    """An operation that fails with ``error``: mfusepy knows what then."""

    @functools.wraps(operation)
    def fail() -> None:
        raise error

    return fail
