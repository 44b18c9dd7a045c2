"""What every way of sending does: mark first, call a few at a time, know what is for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from ndicloudfs.cloud.errors import CloudError, NotFound, PermissionDenied, Refused, UrlExpired
from ndicloudfs.writeback.context import Context
from ndicloudfs.writeback.entries import Entry
from ndicloudfs.writeback.work import Work

# What had no effect for certain. A refusal comes again; a lack of rights may be a token that has
# just expired (section 2.2), and a lack of a dataset a read that lags behind (1.1).
NOT_SENT = (Refused, PermissionDenied, NotFound, UrlExpired)


def mark_sent(context: Context, works: list[Work]) -> list[Work]:
    """Note in the journal that ``works`` are being sent, before the first byte leaves.

    Gives those that are as they were: one that somebody has changed meanwhile has other entries.
    """
    now = context.clock()
    values: dict[int, dict[str, object]] = {}
    for work in works:
        if work.main is not None:
            expected = (*(one for one in work.main.expected if one != work.mark), work.mark)
            work.main = replace(
                work.main, sent_at=now, sends=work.main.sends + 1, expected=expected
            )
            values[work.main.generation] = {
                "sent_at": now,
                "sends": work.main.sends,
                "expected": expected,
            }
        for entry in work.edits:
            values[entry.generation] = {"sent_at": now}
    there = context.journal.note_each(values)
    return [work for work in works if all(one.generation in there for one in work.entries)]


def in_parallel(
    context: Context, works: Sequence[Work], call: Callable[[Work], str]
) -> list[tuple[Work, str | CloudError]]:
    """Make a call for each work, a few at the same time; gives what each ended with."""

    def attempt(work: Work) -> str | CloudError:
        if context.stopping.is_set():
            return CloudError("The mount is ending; what waits is sent by the next one")
        try:
            answer = call(work)
        except CloudError as error:
            return error
        context.line.worked()
        return answer

    return list(zip(works, context.calls.map(attempt, works), strict=True))


def all_entries(works: Iterable[Work]) -> list[Entry]:
    """The entries of all works."""
    return [entry for work in works for entry in work.entries]
