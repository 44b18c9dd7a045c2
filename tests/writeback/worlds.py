"""What tests of the write-back need: places, bodies, write-backs, and what a server holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.values import Document, Json, Summary
from ndicloudfs.writeback import (
    Entry,
    Limits,
    Place,
    Timing,
    WriteBack,
    WriteBackOptions,
    new_ndi_id,
)
from tests.support.sandbox import Sandbox

DATASET, ORGANIZATION = "65f0c0ffee0000000000d001", "65f0c0ffee0000000000b001"
NOWHERE = CloudConfig("http://127.0.0.1:9/v1", "somebody@example.org", "secret")
# A server whose delays are a twentieth of the real ones, or none.
QUICK = replace(Timing().scaled(0.05), silence=0.3, longest_open=5.0)
# Where writers are killed under load, the sandbox has taken more than 3 s to show what was sent,
# and what comes after all patience may stand where something newer should.
PATIENT = replace(QUICK, patience=15.0)


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


def body_of(where: Place, **fields: Any) -> Json:
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


def data_of(where: Place, **fields: Any) -> bytes:
    """The bytes of a body that fits the place."""
    return json.dumps(body_of(where, **fields)).encode()


@dataclass
class Told:
    """What the write-back has told of what arrived."""

    stored: list[tuple[str, Document]] = field(default_factory=list)
    deleted: list[tuple[str, str]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    datasets: list[str] = field(default_factory=list)

    def document_stored(self, dataset_id: str, document: Document) -> None:
        self.stored.append((dataset_id, document))

    def document_deleted(self, dataset_id: str, document_id: str) -> None:
        self.deleted.append((dataset_id, document_id))

    def file_stored(self, dataset_id: str, uid: str, size: int, path: Path) -> None:
        self.files[uid] = path.read_bytes()
        assert len(self.files[uid]) == size

    def dataset_changed(self, organization_id: str, dataset_id: str) -> None:
        self.datasets.append(dataset_id)


def opened(folder: Path, account: str = "somebody@example.org") -> WriteBack:
    """A write-back that sends nothing."""
    return WriteBack(NdiCloud(NOWHERE), account, WriteBackOptions(folder), Told())


@dataclass
class Lab:
    """A dataset on a sandbox, and a write-back to it that can be ended and begun again."""

    sandbox: Sandbox
    cloud: NdiCloud
    dataset_id: str
    state: Path
    options: WriteBackOptions
    told: Told = field(default_factory=Told)
    back: WriteBack = field(init=False)

    def begin(self) -> WriteBack:
        """Open the journal and begin to send."""
        self.back = WriteBack(self.cloud, self.sandbox.email, self.options, self.told)
        self.back.start()
        return self.back

    def place(self, ndi_id: str = "", class_name: str = "subject", document_id: str = "") -> Place:
        """A document of the dataset, a new one unless told otherwise."""
        return place(
            ndi_id,
            class_name,
            document_id=document_id,
            dataset_id=self.dataset_id,
            organization_id=self.sandbox.organization_id,
        )

    def write(self, where: Place, **fields: Any) -> Entry:
        """Commit a new document."""
        return self.back.commit_document(where, data_of(where, **fields), "")

    def attach(self, where: Place, name: str, data: bytes, replaces: str = "") -> Entry:
        """Commit a file of a document."""
        draft = self.back.stage()
        try:
            draft.pwrite(data, 0)
            return self.back.commit_file(where, name, draft, replaces)
        finally:
            draft.discard()

    def existing(self, **fields: Any) -> Place:
        """A document that the server has already."""
        where = self.place()
        document_id = self.cloud.documents.add(self.dataset_id, body_of(where, **fields))
        return self.place(where.ndi_id, document_id=document_id)

    def sync(self) -> None:
        """Wait until the server has everything, or the test fails."""
        remaining = self.back.sync()
        assert (remaining.entries, remaining.outage) == (0, None), self.back.queue()

    def documents(self) -> dict[str, Json]:
        """What the server holds: bodies by ndi id. Fails where one is there twice."""
        return held(self.cloud, self.dataset_id)

    def object(self, uid: str) -> bytes:
        """The bytes of an object on the server."""
        detail = self.cloud.files.detail(self.dataset_id, uid)
        assert detail.url is not None, f"{uid} has no bytes"
        return self.cloud.objects.read(detail.url, 0, 1 << 26).data


def held(cloud: NdiCloud, dataset_id: str) -> dict[str, Json]:
    """The documents of a dataset by ndi id. Fails where one is there twice."""
    rows: list[Summary] = []
    number = 1
    while page := cloud.documents.page(dataset_id, number).documents:
        rows += page
        number += 1
    ids = [row.ndi_id for row in rows]
    assert len(set(ids)) == len(ids), "a document is there twice"
    found: dict[str, Json] = {}
    for start in range(0, len(rows), 500):
        part = [row.id for row in rows[start : start + 500]]
        for document in cloud.documents.fetch(dataset_id, part).documents:
            found[document.summary.ndi_id] = document.body
    assert len(found) == len(ids)
    return found


@contextmanager
def laboratory(
    sandbox: Sandbox, state: Path, timing: Timing = QUICK, limits: Limits | None = None
) -> Iterator[Lab]:
    """A new dataset on the sandbox and a write-back that sends to it."""
    config = CloudConfig(sandbox.url, sandbox.email, sandbox.password)
    with NdiCloud(config) as cloud:
        dataset_id = cloud.datasets.create(sandbox.organization_id, {"name": "written"})
        options = WriteBackOptions(state, timing, limits or Limits())
        lab = Lab(sandbox, cloud, dataset_id, state, options)
        lab.begin()
        try:
            yield lab
        finally:
            lab.back.close()
