"""Documents as rows: storing, replacing and removing them."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence

from ndicloudfs.sandbox.answers import Json
from ndicloudfs.sandbox.bodies import Parsed, parsed
from ndicloudfs.sandbox.ids import CloudIds


def insert(
    connection: sqlite3.Connection,
    ids: CloudIds,
    dataset_id: str,
    documents: Iterable[Parsed],
    summary: str | None = None,
) -> list[str]:
    """Store documents; gives their cloud ids.

    ``summary`` replaces the row that lists show, for planting what the API would not make.
    """
    lineages: dict[tuple[str, ...], int] = {}
    now, made = time.time(), []
    for document in documents:
        document_id = ids.new()
        made.append(document_id)
        seq = connection.execute(
            "INSERT INTO documents (id, dataset_id, lineage_id, ndi_id, has_files, created,"
            " summary) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                document_id,
                dataset_id,
                _lineage_id(connection, lineages, document),
                document.ndi_id,
                document.has_files,
                now,
                summary or document.summary(document_id, dataset_id),
            ),
        ).lastrowid
        connection.execute("INSERT INTO bodies (seq, body) VALUES (?, ?)", (seq, document.text))
        if document.depends_on:
            _insert_dependencies(connection, seq, document)
    return made


def replace(connection: sqlite3.Connection, row: sqlite3.Row, document: Parsed) -> str:
    """Give the document of ``row`` (id, seq, dataset_id, body) a new body; gives its summary."""
    summary = document.summary(row["id"], row["dataset_id"])
    connection.execute(
        "UPDATE documents SET lineage_id = ?, ndi_id = ?, has_files = ?, summary = ? WHERE seq = ?",
        (
            _lineage_id(connection, {}, document),
            document.ndi_id,
            document.has_files,
            summary,
            row["seq"],
        ),
    )
    connection.execute("UPDATE bodies SET body = ? WHERE seq = ?", (document.text, row["seq"]))
    _delete_dependencies(connection, row["seq"], row["body"])
    _insert_dependencies(connection, row["seq"], document)
    return summary


def mark_deleted(
    connection: sqlite3.Connection, dataset_id: str, document_ids: Sequence[str]
) -> int:
    """Hide documents until they are pruned; gives how many there were."""
    deleted = 0
    for document_id in document_ids:
        deleted += connection.execute(
            "UPDATE documents SET deleted = 1 WHERE id = ? AND dataset_id = ? AND deleted = 0",
            (document_id, dataset_id),
        ).rowcount
    return deleted


def prune(connection: sqlite3.Connection, where: str, values: Sequence[object]) -> None:
    """Remove the documents for which ``where`` holds."""
    rows = connection.execute(
        f"SELECT seq, body FROM documents JOIN bodies USING (seq) WHERE {where}", values
    )
    for row in rows.fetchall():
        _delete_dependencies(connection, row["seq"], row["body"])
        connection.execute("DELETE FROM documents WHERE seq = ?", (row["seq"],))
        connection.execute("DELETE FROM bodies WHERE seq = ?", (row["seq"],))


def copy_all(connection: sqlite3.Connection, ids: CloudIds, origin_id: str, branch_id: str) -> int:
    """Give a branch copies of the documents of its origin, under new cloud ids."""
    rows = connection.execute(
        "SELECT body FROM documents JOIN bodies USING (seq)"
        " WHERE dataset_id = ? AND deleted = 0 ORDER BY seq",
        (origin_id,),
    ).fetchall()
    bodies: Iterable[Json] = (json.loads(row["body"]) for row in rows)
    return len(insert(connection, ids, branch_id, map(parsed, bodies)))


def _lineage_id(
    connection: sqlite3.Connection, known: dict[tuple[str, ...], int], document: Parsed
) -> int:
    class_name, names = document.class_name or "", json.dumps(document.lineage)
    key = (class_name, *document.lineage)
    if key not in known:
        connection.execute(
            "INSERT OR IGNORE INTO lineages (class_name, names) VALUES (?, ?)", (class_name, names)
        )
        known[key] = connection.execute(
            "SELECT id FROM lineages WHERE class_name = ? AND names = ?", (class_name, names)
        ).fetchone()[0]
    return known[key]


def _insert_dependencies(connection: sqlite3.Connection, seq: int | None, document: Parsed) -> None:
    connection.executemany(
        "INSERT OR IGNORE INTO dependencies (value, name, seq) VALUES (?, ?, ?)",
        [(value, name, seq) for name, value in document.depends_on],
    )


def _delete_dependencies(connection: sqlite3.Connection, seq: int, body: str) -> None:
    connection.executemany(
        "DELETE FROM dependencies WHERE value = ? AND name = ? AND seq = ?",
        [(value, name, seq) for name, value in parsed(json.loads(body)).depends_on],
    )
