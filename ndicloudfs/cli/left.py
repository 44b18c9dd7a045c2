"""The queue of an account that is not mounted, for the commands that can do without a mount."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ndicloudfs.cli import settings
from ndicloudfs.cli.failure import FAILED, Failure
from ndicloudfs.cli.who import who_asks
from ndicloudfs.mount.control import Misused
from ndicloudfs.writeback.entries import Entry
from ndicloudfs.writeback.errors import JournalInUse
from ndicloudfs.writeback.left import LeftQueue, left_folders, whose


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queue with something in it, and whose it is."""

    account: str
    host: str
    queue: LeftQueue


@contextmanager
def waiting() -> Iterator[Waiting | None]:
    """The one queue in which something waits; of several that of the account of the settings.

    Raises ``Misused`` where none of several is, and ``Failure`` where one is in use.
    """
    with ExitStack() as stack:
        found = []
        for folder in left_folders(settings.state_folder()):
            queue = stack.enter_context(closing(_opened(folder)))
            if queue.entries():
                found.append(Waiting(*whose(folder), queue))
        if len(found) > 1:
            found = [_of_the_settings(found)]
        yield found[0] if found else None


def chosen(found: Waiting | None, ids: tuple[int, ...]) -> list[Entry]:
    """The entries ``ids`` of a queue, or all of them. Raises ``Misused`` for one it has not."""
    known = {} if found is None else {one.generation: one for one in found.queue.entries()}
    missing = [id_ for id_ in ids if id_ not in known]
    if missing:
        raise Misused(f"{missing[0]} is not in the queue; `ndicloudfs queue list` shows it")
    return [known[id_] for id_ in ids or known]


def _opened(folder: Path) -> LeftQueue:
    try:
        return LeftQueue(folder)
    except JournalInUse as error:
        account, host = whose(folder)
        raise Failure(
            f"The queue of {account} at {host} is in use by a mount that is ending, or that is not"
            " one of yours here; try again when it has ended",
            FAILED,
        ) from error


def _of_the_settings(found: list[Waiting]) -> Waiting:
    config = who_asks(settings.resolve({}), os.environ).config
    for one in found:
        if (one.account, one.host) == (config.email, config.host):
            return one
    shown = ", ".join(f"{one.account} at {one.host}" for one in found)
    raise Misused(
        f"Something waits for several accounts; choose one by NDICLOUDFS_PROFILE: {shown}"
    )
