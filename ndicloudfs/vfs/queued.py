"""Journal entries as they are told to people and programs: queue.json and `ndicloudfs queue`."""

from __future__ import annotations

from typing import Any

from ndicloudfs.writeback import Entry


def facts(entry: Entry, now: float) -> dict[str, Any]:
    """What is told of an entry; ``now`` in seconds of the epoch."""
    return {
        "id": entry.generation,
        "kind": entry.kind.value,
        "state": entry.state.value,
        "dataset_id": entry.dataset_id,
        "class": entry.class_name,
        "ndi_id": entry.ndi_id,
        "cloud_id": entry.document_id,
        "name": entry.name,
        "uid": entry.uid,
        "size": entry.size,
        "age_seconds": round(max(0.0, now - entry.queued_at), 1),
        "reason": entry.reason,
    }
