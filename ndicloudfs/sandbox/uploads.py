"""What is to become of an object that a client will PUT."""

from __future__ import annotations

import json
import secrets
import sqlite3

from ndicloudfs.sandbox.settings import Settings
from ndicloudfs.sandbox.tasks import plan

FILE, DOCUMENTS_ZIP, FILES_ZIP = "file", "documents-zip", "files-zip"
REGISTER_FILE, IMPORT_DOCUMENTS, EXTRACT_FILES = (
    "register_file",
    "import_documents",
    "extract_files",
)


def new_object_key() -> str:
    """The name of an object: opaque, says nothing of what is in it."""
    return secrets.token_hex(20)


def new_upload(
    connection: sqlite3.Connection,
    purpose: str,
    dataset_id: str,
    uid: str | None = None,
    job_id: str | None = None,
) -> str:
    """Note what an object is for; gives its key. A uid keeps its key, so a PUT overwrites (6.3)."""
    if uid is not None:
        known = connection.execute(
            "SELECT object_key FROM uploads WHERE dataset_id = ? AND uid = ?", (dataset_id, uid)
        ).fetchone()
        if known is not None:
            return str(known["object_key"])
    object_key = new_object_key()
    connection.execute(
        "INSERT INTO uploads (object_key, purpose, dataset_id, uid, job_id) VALUES (?, ?, ?, ?, ?)",
        (object_key, purpose, dataset_id, uid, job_id),
    )
    return object_key


def plan_what_follows(connection: sqlite3.Connection, settings: Settings, object_key: str) -> None:
    """An object has arrived: plan its registration, import or extraction."""
    upload = connection.execute(
        "SELECT * FROM uploads WHERE object_key = ?", (object_key,)
    ).fetchone()
    if upload is None:
        return
    kind, delay = {
        FILE: (REGISTER_FILE, settings.file_registration),
        DOCUMENTS_ZIP: (IMPORT_DOCUMENTS, settings.document_import),
        FILES_ZIP: (EXTRACT_FILES, 0.0),
    }[upload["purpose"]]
    plan(connection, kind, delay, dict(upload))


def file_entry(dataset_id: str, uid: str, size: int) -> str:
    """An element of the ``files`` array of a dataset's detail (4.3)."""
    entry = {"uid": uid, "uploaded": True, "size": size, "sourceDatasetId": dataset_id}
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
