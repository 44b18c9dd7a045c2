"""Where the log of a mount goes: standard error, the journal, or a file that is rotated.

Whatever is logged, by us or by a library, passes through one formatter, which takes out tokens,
query strings of presigned URLs and the secrets that this process was given.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from ndicloudfs.cloud.redaction import redact

MOST_BYTES = 5_000_000  # of a log file, before it is put aside
FILES_KEPT = 3
_FORMAT = "%(asctime)s %(levelname)s %(message)s"
# What the journal reads from the beginning of a line (sd-daemon(3)).
_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (logging.NOTSET, 7))

log = logging.getLogger(__name__)


class Redacting(logging.Formatter):
    """Formats records without secrets, tracebacks included."""

    def __init__(self, layout: str, secrets: Iterable[str]) -> None:
        super().__init__(layout)
        self._secrets = tuple(secret for secret in secrets if secret)

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return without(super().format(record), self._secrets)


class _Journal(Redacting):
    """Formats for the journal, which knows the time by itself."""

    def format(self, record: logging.LogRecord) -> str:
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).splitlines())


def set_up(
    level: str, log_file: Path | None, secrets: Iterable[str], environ: Mapping[str, str]
) -> None:
    """Log to ``log_file``, or without one to standard error, as the journal likes it there."""
    secrets = tuple(secrets)
    handler: logging.Handler
    if log_file is not None:
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = RotatingFileHandler(
            log_file, maxBytes=MOST_BYTES, backupCount=FILES_KEPT, encoding="utf-8"
        )
        handler.setFormatter(Redacting(_FORMAT, secrets))
    else:
        handler = logging.StreamHandler(sys.stderr)
        if is_journal(sys.stderr.fileno(), environ):
            handler.setFormatter(_Journal("%(message)s", secrets))
        else:
            handler.setFormatter(Redacting(_FORMAT, secrets))
    root = logging.getLogger()
    for earlier in list(root.handlers):
        root.removeHandler(earlier)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("ndicloudfs").setLevel(level.upper())
    sys.excepthook = _log_fault
    threading.excepthook = lambda fault: _log_fault(
        fault.exc_type, fault.exc_value or fault.exc_type(), fault.exc_traceback
    )


def is_journal(descriptor: int, environ: Mapping[str, str]) -> bool:
    """Whether a file descriptor is connected to the journal (systemd.exec(5))."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def without(text: str, secrets: Iterable[str]) -> str:
    """``text`` without ``secrets``, tokens and query strings."""
    for secret in secrets:
        text = text.replace(secret, "[...]")
    return redact(text)


def traceback_of(error: BaseException) -> str:
    """The traceback of an error, without tokens and query strings."""
    return redact("".join(traceback.format_exception(error)))


def _log_fault(
    kind: type[BaseException], fault: BaseException, trace: TracebackType | None
) -> None:
    log.critical("an error in ndicloudfs itself", exc_info=(kind, fault, trace))
