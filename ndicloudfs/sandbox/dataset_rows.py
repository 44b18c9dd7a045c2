"""Datasets as rows: their fields, the row of a list, the detail, the counters."""

from __future__ import annotations

import json
import sqlite3
import time

from ndicloudfs.sandbox.access import Dataset
from ndicloudfs.sandbox.answers import Json, dump
from ndicloudfs.sandbox.ids import CloudIds
from ndicloudfs.sandbox.settings import Settings
from ndicloudfs.sandbox.times import iso

# What a client may send (4.4); the schema drops the rest.
CLIENT_FIELDS = (
    "name",
    "abstract",
    "description",
    "branchName",
    "contributors",
    "correspondingAuthors",
    "associatedPublications",
    "funding",
    "license",
    "doi",
    "species",
    "brainRegions",
    "numberOfSubjects",
    "neurons",
    "pubMedId",
    "affiliation",
)

# What a list row has, in the order of 4.2, where it is defined.
_ROW_FIELDS = (
    "name",
    "organizationId",
    "createdAt",
    "updatedAt",
    "uploadedAt",
    "branchName",
    "isPublished",
    "isSubscribed",
    "isDeleted",
    "contributors",
    "correspondingAuthors",
    "funding",
    "abstract",
    "doi",
    "license",
    "totalSize",
    "documentCount",
    "branchOf",
    "deleteCommandTime",
    "deleteOccurrenceTime",
)


def new_fields(organization_id: str, sent: Json) -> Json:
    """The fields of a new draft."""
    now = iso(time.time())
    return {
        "branchName": "original",
        "organizationId": organization_id,
        "createdAt": now,
        "updatedAt": now,
        "isPublished": False,
        "isSubmitted": False,
        "isDeleted": False,
        "isSubscribed": False,
        "isPublishing": False,
        "isUnpublishing": False,
        "publishProgress": {"total": 0, "completed": 0, "failed": 0},
        "unpublishProgress": {"total": 0, "completed": 0, "failed": 0},
        "contributors": [],
        "correspondingAuthors": [],
        "associatedPublications": [],
        "funding": [],
        "totalSize": 0,
        "documentCount": 0,
        **{key: sent[key] for key in CLIENT_FIELDS if key in sent},
    }


def insert(
    connection: sqlite3.Connection, ids: CloudIds, fields: Json, dataset_id: str | None = None
) -> Dataset:
    """Store a new dataset."""
    dataset = Dataset(dataset_id or ids.new(), fields)
    connection.execute(
        "INSERT INTO datasets (id, created, fields) VALUES (?, ?, ?)",
        (dataset.id, time.time(), dump(fields)),
    )
    return dataset


def save(connection: sqlite3.Connection, dataset: Dataset) -> None:
    """Store changed fields."""
    connection.execute(
        "UPDATE datasets SET fields = ? WHERE id = ?", (dump(dataset.fields), dataset.id)
    )


def touch(
    connection: sqlite3.Connection,
    dataset_id: str,
    settings: Settings,
    *,
    documents: int = 0,
    size: int = 0,
    uploaded: bool = False,
) -> None:
    """Note that documents or files came or changed.

    ``documentCount`` is a counter that only ever rises: it drifts, as the real one (8.3).
    """
    row = connection.execute("SELECT fields FROM datasets WHERE id = ?", (dataset_id,)).fetchone()
    if row is None:
        return
    fields, now = json.loads(row["fields"]), iso(time.time())
    fields["documentCount"] = (fields.get("documentCount") or 0) + documents
    fields["totalSize"] = (fields.get("totalSize") or 0) + size
    if uploaded:
        fields["uploadedAt"] = now
    if settings.documents_touch_dataset:
        fields["updatedAt"] = now
    save(connection, Dataset(dataset_id, fields))


def list_row(dataset_id: str, fields: Json) -> Json:
    """The row of a list: exactly the fields of 4.2 that are defined."""
    return {"id": dataset_id, **{key: fields[key] for key in _ROW_FIELDS if key in fields}}


def with_id(dataset: Dataset) -> Json:
    """The answer to create, update and branch: the fields under ``id`` (4.4)."""
    return {"id": dataset.id, **dataset.fields}


def detail_text(
    connection: sqlite3.Connection, dataset: Dataset, documents: bool, before: float
) -> str:
    """The raw document of 4.3 with all document ids and files, as JSON text.

    ``before`` leaves out what came later (a stale read).
    """
    ids = "[]"
    if documents:
        ids = connection.execute(
            "SELECT '[' || ifnull(group_concat('\"' || id || '\"'), '') || ']' FROM"
            " (SELECT id FROM documents WHERE dataset_id = ? AND deleted = 0 AND created < ?"
            "  ORDER BY seq)",
            (dataset.id, before),
        ).fetchone()[0]
    files = connection.execute(
        "SELECT '[' || ifnull(group_concat(entry), '') || ']' FROM"
        " (SELECT entry FROM files WHERE dataset_id = ? AND created < ? ORDER BY seq)",
        (dataset.id, before),
    ).fetchone()[0]
    head = dump({"_id": dataset.id, "__v": 0, **dataset.fields})
    return f'{head[:-1]},"documents":{ids},"files":{files}}}'
