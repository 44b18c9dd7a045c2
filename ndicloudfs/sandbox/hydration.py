"""Presigned locations for the bodies of documents, where the object exists (5.2, 5.8)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from ndicloudfs.sandbox.bodies import hydrated, uids
from ndicloudfs.sandbox.world import World

_AT_ONCE = 500


def hydrated_texts(
    world: World, connection: sqlite3.Connection, dataset_id: str, rows: Sequence[sqlite3.Row]
) -> list[str]:
    """The bodies of ``rows`` (has_files, body) of one dataset, in their order."""
    named = sorted(uids(row["body"] for row in rows if row["has_files"]))
    urls: dict[str, str] = {}
    for start in range(0, len(named), _AT_ONCE):
        part = named[start : start + _AT_ONCE]
        marks = ",".join("?" * len(part))
        for uid, object_key in connection.execute(
            f"SELECT uid, object_key FROM files WHERE dataset_id = ? AND uid IN ({marks})"
            " AND object_key IS NOT NULL",
            (dataset_id, *part),
        ):
            urls[uid] = world.signer.url("GET", object_key, world.settings.url_life)
    return [hydrated(row["body"], urls) if row["has_files"] else row["body"] for row in rows]
