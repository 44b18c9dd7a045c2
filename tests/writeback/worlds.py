"""What tests of the write-back need: places, bodies, write-backs of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ndicloudfs.writeback import Place, WriteBack, new_ndi_id
from ndicloudfs.writeback.writeback import WriteBackOptions

DATASET, ORGANIZATION = "65f0c0ffee0000000000d001", "65f0c0ffee0000000000b001"


def place(
    ndi_id: str = "",
    class_name: str = "subject",
    *,
    document_id: str = "",
    dataset_id: str = DATASET,
    organization_id: str = ORGANIZATION,
) -> Place:
    """A document of the class, a new one unless told otherwise."""
    ndi_id = ndi_id or new_ndi_id()
    return Place(dataset_id, organization_id, class_name, ndi_id, document_id, ndi_id)


def body_of(where: Place, **fields: Any) -> dict[str, Any]:
    """A body that fits the place."""
    return {
        "base": {
            "id": where.ndi_id,
            "session_id": "41269430c597c3e6_c0c9895d35d19b54",
            "name": "",
            "datestamp": "2026-01-02T03:04:05.006Z",
        },
        "document_class": {"class_name": where.class_name, "class_version": 1},
        "depends_on": [],
        where.class_name: fields,
    }


def opened(folder: Path, account: str = "somebody@example.org") -> WriteBack:
    """A write-back that sends nothing."""
    return WriteBack(WriteBackOptions(folder), "127.0.0.1:1", account)
