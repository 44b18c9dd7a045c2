"""The tables of the metadata index."""

from __future__ import annotations

SCHEMA_VERSION = 3
SCHEMA = """
CREATE TABLE clock (            -- the last tick that was drawn, by any mount
    tick INTEGER NOT NULL
);
INSERT INTO clock VALUES (0);
CREATE TABLE listing (          -- what was fetched as a whole, and when (epoch s)
    key TEXT PRIMARY KEY,
    fetched_at REAL NOT NULL,
    version INTEGER NOT NULL    -- another one whenever the rows may be others
) WITHOUT ROWID;
CREATE TABLE organization (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    can_upload INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE dataset (          -- a row of a dataset list, once per list that shows it
    list TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    organization_id TEXT NOT NULL,
    updated_at TEXT NOT NULL,
    is_published INTEGER NOT NULL,
    PRIMARY KEY (list, id)
) WITHOUT ROWID;
CREATE TABLE dataset_fields (   -- dataset detail without its arrays, as JSON
    dataset_id TEXT PRIMARY KEY,
    fields TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE class_count (
    dataset_id TEXT NOT NULL,
    class_name TEXT NOT NULL,
    documents INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, class_name)
) WITHOUT ROWID;
CREATE TABLE document (         -- size, mtime and has_files are known once the body was seen
    dataset_id TEXT NOT NULL,
    id TEXT NOT NULL,
    ndi_id TEXT NOT NULL,
    class_name TEXT NOT NULL,
    name TEXT NOT NULL,
    seen INTEGER NOT NULL,      -- tick of the newest answer that showed it
    body_at REAL,               -- when its body was last fetched
    size INTEGER,               -- bytes of the rendered body
    mtime_ns INTEGER,
    has_files INTEGER,
    digest BLOB,                -- of the rendered body
    PRIMARY KEY (dataset_id, class_name, ndi_id, id), -- a class is listed in this order
    UNIQUE (dataset_id, id)
) WITHOUT ROWID;
CREATE TABLE whole (            -- tick from which on all documents of a class, or '', were listed
    dataset_id TEXT NOT NULL,
    class_name TEXT NOT NULL,
    tick INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, class_name)
) WITHOUT ROWID;
CREATE TABLE gone (             -- documents that the server no longer had at a tick
    dataset_id TEXT NOT NULL,
    id TEXT NOT NULL,
    tick INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, id)
) WITHOUT ROWID;
CREATE TABLE document_file (    -- the files a document names, in its own order
    dataset_id TEXT NOT NULL,
    document_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    PRIMARY KEY (dataset_id, document_id, position),
    FOREIGN KEY (dataset_id, document_id) REFERENCES document (dataset_id, id) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE TABLE object (           -- size as a list stated it, or verified against the object itself
    dataset_id TEXT NOT NULL,
    uid TEXT NOT NULL,
    size INTEGER NOT NULL,
    verified INTEGER NOT NULL,
    PRIMARY KEY (dataset_id, uid)
) WITHOUT ROWID;
"""
