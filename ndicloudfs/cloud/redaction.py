"""Keeps secrets out of messages and logs: query strings of URLs, tokens, passwords."""

from __future__ import annotations

import logging
import re

_QUERY = re.compile(r"\?[^\s\"'<>]+")
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*|\b[Bb]earer\s+\S+")
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")

# The loggers of urllib3 that write URLs: every answer at DEBUG with path and query, unreadable
# headers (urllib3.connection) and broken connections at WARNING.
_URL_LOGGERS = (
    "urllib3.connection",
    "urllib3.connectionpool",
    "urllib3.poolmanager",
    "urllib3.util.retry",
)


def redact(text: str) -> str:
    """``text`` without query strings and tokens."""
    return _TOKEN.sub("[token]", _QUERY.sub("?[...]", text))


def one_line(text: str, limit: int = 200) -> str:
    """``text`` redacted, on one line, and cut to ``limit`` characters."""
    line = redact(_CONTROL.sub(" ", text).strip())
    return line if len(line) <= limit else line[: limit - 3] + "..."


class _QueryFilter(logging.Filter):
    """Takes query strings and tracebacks out of the records of urllib3."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        record.exc_info = record.exc_text = None
        return True


_query_filter = _QueryFilter()


def silence_urls() -> None:
    """Take query strings out of what urllib3 logs, at whatever level a program turns it on.

    The filter sits on urllib3's own loggers, so it holds for every handler of the process;
    calling this again changes nothing.
    """
    for name in _URL_LOGGERS:
        logging.getLogger(name).addFilter(_query_filter)
