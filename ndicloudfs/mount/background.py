"""Serving a mount in the background: a process of its own, and the one that waits for its answer.

The process is forked and not started anew, for starting Python and importing everything is half of
the time that a mount takes. It has no threads yet when that happens.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

_START_SECONDS = 120.0
_LOG_TAIL = 2000
_MOST_DESCRIPTORS = 1 << 20

Said = dict[str, Any]


def start(serve: Callable[[Callable[[Said], None]], None], log_file: Path) -> Said:
    """Run ``serve`` in the background until it says that it is ready; what it said.

    It gets what it says it by, once: nothing (``{}``) when it is ready, else ``{"error": sentence,
    "code": exit code}``. The process survives the terminal; its output goes to ``log_file``. In
    that process this does not return: it ends as ``serve`` does.
    """
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    reader, writer = os.pipe()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    child = os.fork()
    if child == 0:
        _detach(log_file, keep=writer)

        def say(answer: Said) -> None:
            os.write(writer, json.dumps(answer).encode() + b"\n")
            os.close(writer)

        serve(say)
        sys.exit()
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        try:
            said = _first_line(pipe)
        except BaseException:
            os.kill(child, signal.SIGTERM)
            raise
    if said is None:
        os.kill(child, signal.SIGTERM)
        return {
            "error": f"The mount did not answer within {_START_SECONDS:.0f} s; try again with"
            f" --debug, or look into {log_file}"
        }
    if not said:
        os.waitpid(child, 0)
        tail = log_file.read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace").strip()
        last = tail.splitlines()[-1] if tail else "it said nothing"
        return {"error": f"The mount ended before it was ready: {last} (see {log_file})"}
    answer: Said = json.loads(said)
    if answer:
        os.waitpid(child, 0)
    return answer


def _detach(log_file: Path, keep: int) -> None:
    """Leave the terminal and everything that was opened by whoever started this process."""
    os.setsid()
    os.chdir("/")  # or the file system that the shell is in could not be unmounted
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number, descriptor in enumerate((nothing, output, output)):
        os.dup2(descriptor, number)
    os.closerange(3, keep)
    os.closerange(keep + 1, _MOST_DESCRIPTORS)


def _first_line(pipe: IO[bytes]) -> bytes | None:
    """A line from the starting process, empty if it ended without one; None after too long."""
    readable, _, _ = select.select([pipe], [], [], _START_SECONDS)
    return pipe.readline() if readable else None
