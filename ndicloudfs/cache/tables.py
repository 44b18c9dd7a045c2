"""What every part of the metadata index does with its file: transactions, ticks, listings.

Answers arrive in another order than they were asked for, from several listings at once and from
several mounts, and clocks are set back. What is newer is told by *ticks*: a number is drawn before
the server is asked, and what an answer says counts from that moment on.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from ndicloudfs.cache.database import Database
from ndicloudfs.cache.schema import SCHEMA

Row: TypeAlias = tuple[Any, ...]
Given = ParamSpec("Given")
Result = TypeVar("Result")


def whatever_the_disk_does(
    method: Callable[Concatenate[Any, Given], Result],
) -> Callable[Concatenate[Any, Given], Result]:
    """Run ``method``, which is one transaction, again in memory where the file fails it."""

    @wraps(method)
    def run(self: Any, /, *args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return method(self, *args, **kwargs)
        except sqlite3.DatabaseError as error:
            if not self.give_up_file(error):
                raise
            return method(self, *args, **kwargs)

    return run


class Tables:
    """The file of the index; every method is one short transaction."""

    def __init__(self, path: Path) -> None:
        self.database = Database(path, SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    def give_up_file(self, error: sqlite3.Error) -> bool:
        """Go on in memory where ``error`` is the disk's or the file's; whether it is."""
        return self.database.give_up_file(error)

    @whatever_the_disk_does
    def tick(self) -> int:
        """Draw a number, larger than all before: what is asked for from now on is newer."""
        with self.database.write() as database:
            return draw_tick(database)

    def version(self, key: str) -> int:
        """A number that changes whenever the rows of listing ``key`` may have; 0 if not known."""
        row = self.one("SELECT version FROM listing WHERE key = ?", (key,))
        return 0 if row is None else int(row[0])

    def fetched_at(self, key: str) -> float | None:
        """When listing ``key`` was last fetched (epoch s), or None."""
        row = self.one("SELECT fetched_at FROM listing WHERE key = ?", (key,))
        return None if row is None else row[0]

    @whatever_the_disk_does
    def mark(self, key: str, now: float) -> None:
        """Note that listing ``key`` was fetched, as other work has done."""
        with self.database.write() as database:
            mark_listing(database, key, now)

    @whatever_the_disk_does
    def one(self, sql: str, values: Sequence[object] = ()) -> Row | None:
        """The first row that a question has, or None."""
        with self.database.read() as database:
            row: Row | None = database.execute(sql, values).fetchone()
            return row

    @whatever_the_disk_does
    def all(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """All rows that a question has."""
        with self.database.read() as database:
            return database.execute(sql, values).fetchall()


def draw_tick(database: sqlite3.Connection) -> int:
    """Draw a tick within a transaction."""
    database.execute("UPDATE clock SET tick = tick + 1")
    (tick,) = database.execute("SELECT tick FROM clock").fetchone()
    return int(tick)


def mark_listing(database: sqlite3.Connection, key: str, now: float) -> None:
    """Note within a transaction that listing ``key`` was fetched, and that its rows may be new."""
    database.execute(
        "INSERT OR REPLACE INTO listing VALUES (?, ?, ?)", (key, now, draw_tick(database))
    )
