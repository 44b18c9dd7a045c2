"""The tables of the journal, and entries as their rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import fields
from operator import attrgetter
from typing import Any

from ndicloudfs.writeback.entries import Entry, Kind, State

ABOUT_DATASETS = "('dataset', 'dataset change', 'dataset deletion')"
BYTES_TO_SEND = "staged = 1 AND arrived = 0"
SCHEMA_VERSION = 1
SCHEMA = f"""
CREATE TABLE entries (
    generation INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, state TEXT NOT NULL,
    dataset_id TEXT NOT NULL, organization_id TEXT NOT NULL, class_name TEXT NOT NULL,
    ndi_id TEXT NOT NULL, document_id TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, reason TEXT NOT NULL,
    queued_at REAL NOT NULL, expected TEXT NOT NULL, replaces TEXT NOT NULL,
    staged INTEGER NOT NULL, arrived INTEGER NOT NULL, sent_at REAL, sends INTEGER NOT NULL,
    is_new INTEGER NOT NULL, job TEXT NOT NULL, tries INTEGER NOT NULL, due_at REAL NOT NULL
);
CREATE INDEX entries_of_document ON entries (dataset_id, ndi_id);
CREATE INDEX entries_of_class ON entries (dataset_id, class_name, name);
CREATE INDEX entries_of_uid ON entries (uid) WHERE uid != '';
CREATE INDEX entries_with_bytes ON entries (generation) WHERE {BYTES_TO_SEND};
CREATE INDEX entries_due ON entries (due_at) WHERE due_at > 0;
CREATE INDEX entries_about_datasets ON entries (kind) WHERE kind IN {ABOUT_DATASETS};
-- The bytes of documents and the fields of datasets; apart, so that a look at the queue is short.
CREATE TABLE bodies (generation INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TRIGGER body_goes AFTER DELETE ON entries BEGIN
    DELETE FROM bodies WHERE generation = old.generation;
END;
-- What became of documents that were made here: the names they were written under go on resolving.
CREATE TABLE made (
    dataset_id TEXT NOT NULL, ndi_id TEXT NOT NULL, class_name TEXT NOT NULL,
    name TEXT NOT NULL, document_id TEXT NOT NULL, made_at REAL NOT NULL,
    PRIMARY KEY (dataset_id, ndi_id)
) WITHOUT ROWID;
CREATE INDEX made_by_name ON made (dataset_id, class_name, name);
CREATE INDEX made_by_time ON made (made_at);
-- Class folders that somebody made.
CREATE TABLE classes (
    dataset_id TEXT NOT NULL, class_name TEXT NOT NULL, PRIMARY KEY (dataset_id, class_name)
) WITHOUT ROWID;
-- Datasets that were made here: the id they had before the server gave them one.
CREATE TABLE datasets (local_id TEXT PRIMARY KEY, dataset_id TEXT NOT NULL) WITHOUT ROWID;
"""

_COLUMNS = tuple(item.name for item in fields(Entry) if item.name != "generation")
_INSERT = f"INSERT INTO entries ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_BEFORE = [item.name for item in fields(Entry)].index("generation")  # so many are before it
_EMPTY = "[]"
_LISTS = frozenset({"expected", "replaces"})
_FLAGS = frozenset({"staged", "arrived", "is_new"})
_values_of = attrgetter(*_COLUMNS)
_OTHERWISE_STORED = [
    (place, name) for place, name in enumerate(_COLUMNS) if name in _LISTS | {"kind", "state"}
]
_MOST_VALUES = 500  # of one statement


def entry_of(row: sqlite3.Row) -> Entry:
    """A row as an entry."""
    values: dict[str, Any] = dict(row)
    for name in _LISTS:
        text = values[name]
        values[name] = () if text == _EMPTY else tuple(json.loads(text))
    for name in _FLAGS:
        values[name] = bool(values[name])
    values["kind"], values["state"] = Kind(values["kind"]), State(values["state"])
    if values["state"] is State.PENDING and (values["sent_at"] is not None or values["job"]):
        values["state"] = State.UPLOADING
    return Entry(**values)


def entries_of(rows: Iterable[sqlite3.Row]) -> list[Entry]:
    """Rows as entries."""
    return [entry_of(row) for row in rows]


def insert(connection: sqlite3.Connection, entry: Entry, body: bytes | None = None) -> Entry:
    """Add an entry, with its body where it has one; gives it with its generation."""
    values = _values_of(entry)
    stored = list(values)
    for place, name in _OTHERWISE_STORED:
        stored[place] = _stored(name, stored[place])
    generation = connection.execute(_INSERT, stored).lastrowid or 0
    if body is not None:
        connection.execute("INSERT INTO bodies VALUES (?, ?)", (generation, body))
    # Half of what replace takes.
    return Entry(*(*values[:_BEFORE], generation, *values[_BEFORE:]))


def change(connection: sqlite3.Connection, generations: Iterable[int], **values: object) -> int:
    """Set columns of the entries that are still there; gives how many were."""
    columns = ", ".join(f"{name} = ?" for name in values)
    stored = [_stored(name, value) for name, value in values.items()]
    changed = 0
    for part in _parts(generations):
        marks = ",".join("?" * len(part))
        changed += connection.execute(
            f"UPDATE entries SET {columns} WHERE generation IN ({marks})", (*stored, *part)
        ).rowcount
    return changed


def remove(connection: sqlite3.Connection, generations: Iterable[int]) -> None:
    """Remove entries with their bodies."""
    for part in _parts(generations):
        marks = ",".join("?" * len(part))
        connection.execute(f"DELETE FROM entries WHERE generation IN ({marks})", part)


def still_there(connection: sqlite3.Connection, generations: Iterable[int]) -> set[int]:
    """Those of ``generations`` that are in the journal."""
    found: set[int] = set()
    for part in _parts(generations):
        marks = ",".join("?" * len(part))
        rows = connection.execute(
            f"SELECT generation FROM entries WHERE generation IN ({marks})", part
        )
        found.update(row[0] for row in rows)
    return found


def _parts(values: Iterable[int]) -> Iterator[list[int]]:
    rest = list(values)
    for start in range(0, len(rest), _MOST_VALUES):
        yield rest[start : start + _MOST_VALUES]


def _stored(name: str, value: object) -> object:
    if name in _LISTS:
        return json.dumps(value) if value else _EMPTY
    if value is State.UPLOADING:  # which sent_at tells
        return State.PENDING.value
    if isinstance(value, (Kind, State)):
        return value.value
    return value
