"""Which documents a query can possibly match, by the indexes of the store (5.11).

As the real server, the sandbox has indexes for classes, dependencies and ndi ids. What they do
not answer is left to be decided document by document (query.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from ndicloudfs.sandbox.answers import Json


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A condition in SQL on ``documents``, its values, and the entries it does not decide."""

    where: str
    values: tuple[object, ...]
    rest: tuple[Json, ...]


def narrowed(
    connection: sqlite3.Connection, datasets: Sequence[str], structure: Sequence[Json]
) -> Narrowed:
    """Put what the indexes know into SQL."""
    where = [f"deleted = 0 AND dataset_id IN ({_marks(datasets)})"]
    values: list[object] = [*datasets]
    rest = []
    for entry in structure:
        operation, param1 = entry.get("operation"), entry.get("param1")
        if operation in ("isa", "~isa"):
            lineages = _lineages(connection, param1)
            inside = "IN" if operation == "isa" else "NOT IN"
            where.append(f"lineage_id {inside} ({_marks(lineages)})")
            values.extend(lineages)
        elif operation == "depends_on" and isinstance(entry.get("param2"), str):
            where.append(
                "seq IN (SELECT seq FROM dependencies WHERE value = ? AND (? = '*' OR name = ?))"
            )
            values.extend((entry["param2"], str(param1), str(param1)))
        elif (
            operation == "exact_string"
            and entry.get("field") == "base.id"
            and isinstance(param1, str)
        ):
            where.append("ndi_id = ?")
            values.append(param1)
        else:
            rest.append(entry)
    return Narrowed(" AND ".join(where), tuple(values), tuple(rest))


def _lineages(connection: sqlite3.Connection, name: object) -> list[int]:
    if not isinstance(name, str):
        return []
    rows = connection.execute(
        "SELECT lineages.id FROM lineages, json_each(names) WHERE json_each.value = ?", (name,)
    )
    return [row[0] for row in rows]


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))
