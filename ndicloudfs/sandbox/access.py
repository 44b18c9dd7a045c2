"""Who asks, and which datasets they may see and change."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from ndicloudfs.sandbox.answers import Json, Refusal, cast_error, refused
from ndicloudfs.sandbox.ids import is_cloud_id
from ndicloudfs.sandbox.settings import Settings


@dataclass(frozen=True, slots=True)
class Caller:
    """A user with the organizations they belong to, or nobody in particular."""

    user_id: str | None = None
    admin: bool = False
    organizations: frozenset[str] = frozenset()

    def belongs_to(self, organization_id: str | None) -> bool:
        """Whether what the organization owns is theirs to see and change."""
        return self.admin or organization_id in self.organizations


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as it is stored: ``fields`` without documents and files."""

    id: str
    fields: Json
    created: float = 0

    @property
    def organization_id(self) -> str | None:
        """The owner; None where odd data were planted."""
        return self.fields.get("organizationId")

    @property
    def published(self) -> bool:
        """Whether everybody may see it."""
        return self.fields.get("isPublished") is True

    @property
    def deleted(self) -> bool:
        """Whether its deletion is pending."""
        return self.fields.get("isDeleted") is True


def load_caller(connection: sqlite3.Connection, user_id: str | None) -> Caller:
    """The user with this id; without an id nobody. Raises Refusal (401) for an unknown user."""
    if user_id is None:
        return Caller()
    user = connection.execute("SELECT admin FROM users WHERE id = ?", (user_id,)).fetchone()
    if user is None:
        raise unauthorized()
    rows = connection.execute("SELECT organization_id FROM members WHERE user_id = ?", (user_id,))
    return Caller(user_id, bool(user["admin"]), frozenset(row[0] for row in rows))


def unauthorized() -> Refusal:
    """No token, or one that is malformed, forged, expired or of nobody (2.2)."""
    return Refusal(401, {"errors": "Unauthorized"})


def load_dataset(connection: sqlite3.Connection, dataset_id: str) -> Dataset:
    """The dataset, whoever asks. Raises Refusal (404, or 500 for a malformed id)."""
    if not is_cloud_id(dataset_id):
        raise cast_error(dataset_id, "Dataset")
    row = connection.execute(
        "SELECT id, fields, created FROM datasets WHERE id = ?", (dataset_id.lower(),)
    ).fetchone()
    if row is None:
        raise refused(404, "Dataset not found")
    return Dataset(row["id"], json.loads(row["fields"]), row["created"])


def visible_dataset(
    connection: sqlite3.Connection, caller: Caller, dataset_id: str, settings: Settings
) -> Dataset:
    """A dataset that ``caller`` may read: published, or of an organization of theirs (2.2)."""
    dataset = load_dataset(connection, dataset_id)
    owner = caller.belongs_to(dataset.organization_id)
    if dataset.deleted and (not owner or settings.deleted_detail == 404):
        raise refused(404, "Dataset not found")
    if not owner and not dataset.published:
        raise refused(settings.private_status, "You do not have access to this dataset")
    return dataset


def own_dataset(
    connection: sqlite3.Connection, caller: Caller, dataset_id: str, settings: Settings
) -> Dataset:
    """A dataset that ``caller`` may change: of an organization of theirs, not being deleted."""
    dataset = load_dataset(connection, dataset_id)
    if not caller.belongs_to(dataset.organization_id):
        status = 403 if dataset.published else settings.private_status
        raise refused(status, "You do not have access to this dataset")
    if dataset.deleted:
        raise refused(404, "Dataset not found")
    if dataset.published and settings.published_read_only:
        raise refused(403, "A published dataset cannot be changed")
    return dataset
