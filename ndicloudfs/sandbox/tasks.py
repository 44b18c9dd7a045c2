"""What happens after an answer: imports, registrations, publishing, pruning.

A task is a row that is planned in the transaction of the call that causes it. It is started when
its time has come, in this process or in a later one: a killed sandbox takes up what was pending.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from ndicloudfs.sandbox.answers import Json
from ndicloudfs.sandbox.store import Store

_AT_ONCE = 2
_LONGEST_SLEEP = 3600.0
PRUNE_DATASET, PRUNE_DOCUMENTS = "prune_dataset", "prune_documents"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """A task that is under way."""

    id: int
    payload: Json

    def progress(self, connection: sqlite3.Connection, **changes: object) -> None:
        """Note in the same transaction how far it is, for the case that it must be taken up."""
        payload = json.dumps({**self.payload, **changes})
        connection.execute("UPDATE tasks SET payload = ? WHERE id = ?", (payload, self.id))


Handler: TypeAlias = Callable[[Task], Awaitable[None]]


def plan(connection: sqlite3.Connection, kind: str, delay: float, payload: Json) -> None:
    """Let ``kind`` be done ``delay`` seconds from now."""
    connection.execute(
        "INSERT INTO tasks (kind, due, payload) VALUES (?, ?, ?)",
        (kind, time.time() + delay, json.dumps(payload)),
    )


class Tasks:
    """Starts tasks when they are due; ``handlers`` says by kind what is to be done."""

    def __init__(self, store: Store) -> None:
        self.handlers: dict[str, Handler] = {}
        self._store = store
        self._woken = asyncio.Event()
        self._finished = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}
        # A row that was read while its task was finishing must not be started again.
        self._started: set[int] = set()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    def wake(self) -> None:
        """Look for new tasks now."""
        self._woken.set()

    async def run(self) -> None:
        """Start tasks for ever; on cancellation stop those that are under way."""
        try:
            while True:
                self._woken.clear()
                pause = await self._start_due()
                await _set_within(self._woken, pause)
        finally:
            running = list(self._running.values())
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _start_due(self) -> float:
        now = time.time()

        def look(connection: sqlite3.Connection) -> tuple[list[sqlite3.Row], float | None]:
            due = connection.execute("SELECT * FROM tasks WHERE due <= ? ORDER BY id", (now,))
            later = connection.execute("SELECT min(due) FROM tasks WHERE due > ?", (now,))
            return due.fetchall(), later.fetchone()[0]

        due, later = await self._store.read(look)
        for row in due:
            if row["id"] not in self._started:
                self._started.add(row["id"])
                work = self._do(row["kind"], Task(row["id"], json.loads(row["payload"])))
                self._running[row["id"]] = asyncio.create_task(work)
        return _LONGEST_SLEEP if later is None else min(max(later - now, 0), _LONGEST_SLEEP)

    async def _do(self, kind: str, task: Task) -> None:
        try:
            async with self._slots:
                await self.handlers[kind](task)
        except Exception:  # noqa: BLE001 - one task must not end the others
            _log.exception("task %s failed and is given up", kind)
        # Reached unless cancelled: a cancelled task stays planned.
        await self._store.write(
            lambda connection: connection.execute("DELETE FROM tasks WHERE id = ?", (task.id,))
        )
        self._running.pop(task.id, None)
        self._finished.set()

    async def idle(self, seconds: float) -> bool:
        """Wait until nothing is pending but prunings that lie ahead; tell whether it came to it."""
        end = time.monotonic() + seconds
        while True:
            self._finished.clear()
            if not await self._store.read(_pending):
                return True
            if time.monotonic() >= end:
                return False
            await _set_within(self._finished, end - time.monotonic())


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    """Wait until ``event`` is set, which the clock does after ``seconds``.

    Not ``asyncio.wait_for``: before Python 3.12 it swallows a cancellation that comes together
    with the event, and the sandbox would not end (1 of 400 did not).
    """
    timer = asyncio.get_running_loop().call_later(seconds, event.set)
    try:
        await event.wait()
    finally:
        timer.cancel()


def _pending(connection: sqlite3.Connection) -> int:
    row = connection.execute(
        "SELECT count(*) FROM tasks WHERE kind NOT IN (?, ?) OR due <= ?",
        (PRUNE_DATASET, PRUNE_DOCUMENTS, time.time()),
    ).fetchone()
    return int(row[0])
