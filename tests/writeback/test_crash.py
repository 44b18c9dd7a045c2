"""Killed at random moments: the server ends up with exactly what was closed."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.writeback import WriteBack, WriteBackOptions
from ndicloudfs.writeback.documents import DocumentSender
from ndicloudfs.writeback.work import Work
from tests.support.mounting import account_of
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.writeback.workload import read_manifest
from tests.writeback.worlds import PATIENT, Lab, Told

KILLS = 5
UPLOAD_DOCUMENTS = "POST /datasets/{id}/documents/bulk-upload"
FAULTS: list[tuple[str, str, dict[str, object]]] = [
    ("PUT /objects", "after", {}),
    ("PUT /objects", "drop", {}),
    ("PUT /objects", "status", {"status": 503}),
    ("POST /datasets/{id}/documents", "after", {}),
    ("POST /datasets/{id}/documents", "status", {"status": 504}),
    ("POST /datasets/{id}/documents/{docId}", "after", {}),
    ("POST /datasets/{id}/documents/bulk-delete", "after", {}),
    ("POST /datasets/{id}/documents/bulk-fetch", "omit", {"documents": 1}),
    (UPLOAD_DOCUMENTS, "status", {"status": 500}),
    ("POST /ndiquery", "status", {"status": 502}),
    ("GET /datasets/{id}", "stale", {"seconds": 1}),
]


class Crash:
    """A lab whose write-back lives in processes that are killed."""

    def __init__(self, sandbox: Sandbox, folder: Path, seed: int) -> None:
        self._sandbox = sandbox
        self._state, self._manifest = folder / "state", folder / "manifest"
        self._random = random.Random(seed)
        self._seed = seed
        self._config = CloudConfig(sandbox.url, sandbox.email, sandbox.password)
        with NdiCloud(self._config) as cloud:
            self._dataset_id = cloud.datasets.create(
                sandbox.organization_id, {"name": "written while dying"}
            )

    def kill_one(self, *kind: str, when: Callable[[], bool] | None = None) -> None:
        """Let a process write and send for a moment, or until ``when``, then kill it."""
        self._seed += 1000
        program = [sys.executable, "-m", "tests.writeback.workload"]
        arguments = [
            *(str(self._state), str(self._manifest), str(self._seed)),
            *(self._dataset_id, self._sandbox.organization_id, *kind),
        ]
        with subprocess.Popen(
            [*program, *arguments],
            env={**os.environ, **account_of(self._sandbox)},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if when is None:
                threading.Event().wait(self._random.random() ** 2 * 1.5)
            else:
                until(when)
            process.kill()

    def spoil(self) -> None:
        """Let some of the next calls fail, in ways that leave open what the server has done."""
        for route, kind, options in self._random.sample(FAULTS, 4):
            self._sandbox.fault(route, kind, 1, skip=self._random.randrange(3), **options)

    def check(self) -> None:
        """Send what is left; then the server must hold exactly what was closed."""
        self._sandbox.clear_faults()
        with NdiCloud(self._config) as cloud:
            options = WriteBackOptions(self._state, PATIENT)
            back = WriteBack(cloud, self._sandbox.email, options, Told())
            lab = Lab(self._sandbox, cloud, self._dataset_id, self._state, options)
            lab.back = back
            back.start()
            try:
                lab.sync()
                assert back.queue() == []
                self._sandbox.idle()
                self._compare(lab)
            finally:
                back.close()

    def _compare(self, lab: Lab) -> None:
        model, unsure = read_manifest(self._manifest)
        found = {ndi_id: _shown(lab, body) for ndi_id, body in lab.documents().items()}
        for ndi_id, state in unsure.items():  # killed before it could say that it was done
            assert found.get(ndi_id) in (state, model.get(ndi_id))
            found.pop(ndi_id, None)
            model.pop(ndi_id, None)
        assert found == model


def _shown(lab: Lab, body: dict[str, Any]) -> dict[str, Any]:
    """A document as the manifest has it, its files read from the server."""
    infos = body.get("files", {}).get("file_info", [])
    return {
        "text": body["subject"]["text"],
        "files": {
            info["name"]: hashlib.sha256(lab.object(info["locations"][0]["uid"])).hexdigest()
            for info in infos
        },
    }


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_lost_or_doubled_by_kills(sandbox: Sandbox, tmp_path: Path, seed: int) -> None:
    sandbox.set(document_import=0.3, file_extraction=0.2, file_registration=0.1)
    crash = Crash(sandbox, tmp_path, seed)
    for _ in range(KILLS):
        crash.kill_one()
    crash.check()


@pytest.mark.parametrize("seed", range(100, 105))
def test_nor_by_kills_and_a_server_that_fails(sandbox: Sandbox, tmp_path: Path, seed: int) -> None:
    sandbox.set(document_import=0.3, file_extraction=0.2, file_registration=0.1)
    crash = Crash(sandbox, tmp_path, seed)
    for _ in range(KILLS):
        crash.spoil()
        crash.kill_one()
    crash.check()


def test_a_write_back_that_does_not_look_is_noticed(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crash test finds what it is there to find: doubles of what was sent and not yet seen."""

    looking = DocumentSender._located

    def without_looking(self: DocumentSender, dataset_id: str, works: list[Work]) -> list[Work]:
        new = [work for work in works if work.one.is_new and not work.deletes]
        self._read(new)
        for work in new:  # nor remember, or it would find the doubles afterwards
            work.main = replace(work.one, sends=0, sent_at=None)
        return new + looking(self, dataset_id, [work for work in works if work not in new])

    sandbox.set(document_import=1.0)
    crash = Crash(sandbox, tmp_path, 7)
    crash.kill_one(
        "create", when=lambda: any(call["status"] for call in sandbox.log("PUT /objects"))
    )
    monkeypatch.setattr(DocumentSender, "_located", without_looking)
    with pytest.raises(AssertionError, match="there twice"):
        crash.check()
