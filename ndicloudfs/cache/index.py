"""The metadata index: what is known of organizations, datasets, documents and objects.

One SQLite file per server and account, so that nobody sees another account's drafts. Everything in
it can be fetched again. A *listing* is a set of rows that was fetched as a whole; ``listing`` says
when, and a listing that is not in it is not known, however many of its rows are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from ndicloudfs.cache.document_index import BodyFacts, DocumentIndex, DocumentName, DocumentRow
from ndicloudfs.cache.schema import SCHEMA_VERSION
from ndicloudfs.cache.tables import Row, mark_listing, whatever_the_disk_does
from ndicloudfs.cloud.values import DatasetRow, Json, Organization

__all__ = ["SCHEMA_VERSION", "BodyFacts", "DocumentName", "DocumentRow", "Index"]


class Index(DocumentIndex):
    """Typed questions to the index."""

    # Organizations and datasets

    @whatever_the_disk_does
    def replace_organizations(self, key: str, rows: Iterable[Organization], now: float) -> None:
        """Keep ``rows`` as all organizations of the account."""
        with self.database.write() as database:
            database.execute("DELETE FROM organization")
            database.executemany(
                "INSERT OR IGNORE INTO organization VALUES (?, ?, ?)",
                [(row.id, row.name, row.can_upload) for row in rows],
            )
            mark_listing(database, key, now)

    def organizations(self) -> list[Organization]:
        """All organizations, by id."""
        rows = self.all("SELECT id, name, can_upload FROM organization ORDER BY id")
        return [Organization(id_, name, bool(upload)) for id_, name, upload in rows]

    @whatever_the_disk_does
    def replace_datasets(self, key: str, rows: Iterable[DatasetRow], now: float) -> None:
        """Keep ``rows`` as the whole of dataset list ``key``."""
        with self.database.write() as database:
            database.execute("DELETE FROM dataset WHERE list = ?", (key,))
            database.executemany(
                "INSERT OR IGNORE INTO dataset VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (key, row.id, row.name, row.organization_id, row.updated_at, row.is_published)
                    for row in rows
                ],
            )
            mark_listing(database, key, now)

    def datasets(self, key: str) -> list[DatasetRow]:
        """The datasets of list ``key``, by id."""
        rows = self.all(
            "SELECT id, name, organization_id, updated_at, is_published FROM dataset"
            " WHERE list = ? ORDER BY id",
            (key,),
        )
        return [_dataset_row(row) for row in rows]

    def dataset(self, dataset_id: str) -> DatasetRow | None:
        """The dataset in whichever list shows it."""
        row = self.one(
            "SELECT id, name, organization_id, updated_at, is_published FROM dataset"
            " WHERE id = ? ORDER BY updated_at DESC LIMIT 1",
            (dataset_id,),
        )
        return None if row is None else _dataset_row(row)

    @whatever_the_disk_does
    def put_detail(
        self,
        key: str,
        dataset_id: str,
        fields: Json,
        sizes: Iterable[tuple[str, int]],
        now: float,
    ) -> None:
        """Keep the fields of dataset detail and the object sizes (uid, bytes) that it states."""
        with self.database.write() as database:
            database.execute(
                "INSERT OR REPLACE INTO dataset_fields VALUES (?, ?)",
                (dataset_id, json.dumps(fields)),
            )
            database.executemany(
                "INSERT INTO object VALUES (?, ?, ?, 0) ON CONFLICT DO UPDATE"
                " SET size = excluded.size WHERE NOT verified",
                [(dataset_id, uid, size) for uid, size in sizes],
            )
            mark_listing(database, key, now)

    def dataset_fields(self, dataset_id: str) -> Json | None:
        """The fields of dataset detail, if they were ever fetched."""
        row = self.one("SELECT fields FROM dataset_fields WHERE dataset_id = ?", (dataset_id,))
        fields: Json | None = None if row is None else json.loads(row[0])
        return fields

    # Classes

    @whatever_the_disk_does
    def replace_classes(
        self, key: str, dataset_id: str, counts: Iterable[tuple[str, int]], now: float
    ) -> None:
        """Keep ``counts`` (class, documents) as all classes of the dataset."""
        with self.database.write() as database:
            database.execute("DELETE FROM class_count WHERE dataset_id = ?", (dataset_id,))
            database.executemany(
                "INSERT INTO class_count VALUES (?, ?, ?)",
                [(dataset_id, class_name, count) for class_name, count in counts],
            )
            mark_listing(database, key, now)

    def class_counts(self, dataset_id: str) -> list[tuple[str, int]]:
        """Classes and their number of documents, by class.

        A class of documents that are listed is among them, whatever the server counts: rows
        without a class are counted under that of their body.
        """
        return self.all(
            "WITH counted AS"
            " (SELECT class_name, documents FROM class_count WHERE dataset_id = ?)"
            " SELECT * FROM counted UNION ALL"
            " SELECT class_name, count(*) FROM document WHERE dataset_id = ?"
            "  AND class_name NOT IN (SELECT class_name FROM counted) GROUP BY class_name"
            " ORDER BY class_name",
            (dataset_id, dataset_id),
        )

    # Objects

    def object_size(self, dataset_id: str, uid: str) -> tuple[int, bool] | None:
        """The size of an object in bytes and whether it was verified, or None."""
        row = self.one(
            "SELECT size, verified FROM object WHERE dataset_id = ? AND uid = ?",
            (dataset_id, uid),
        )
        return None if row is None else (row[0], bool(row[1]))

    @whatever_the_disk_does
    def put_object_size(self, dataset_id: str, uid: str, size: int, *, verified: bool) -> None:
        """Keep the size of an object in bytes."""
        with self.database.write() as database:
            database.execute(
                "INSERT INTO object VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET size = excluded.size, verified = excluded.verified"
                " WHERE excluded.verified OR NOT verified",
                (dataset_id, uid, size, verified),
            )


def _dataset_row(row: Row) -> DatasetRow:
    id_, name, organization_id, updated_at, is_published = row
    return DatasetRow(id_, name, organization_id, updated_at, bool(is_published))
