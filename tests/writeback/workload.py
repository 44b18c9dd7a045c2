"""A workload to be killed: writes what it is about to do, does it, writes that it has done it.

Arguments: the folder of the state, the manifest, a seed, the dataset, the organization, and
``create`` for a workload that only creates documents.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import threading
from pathlib import Path
from typing import Any

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.writeback import Place, WriteBack, WriteBackOptions, fingerprint
from tests.writeback.worlds import PATIENT, Told, body_of, data_of

State = dict[str, Any] | None  # text, and files: name -> hash of the bytes; None: deleted
Manifest = dict[str, dict[str, Any]]  # by ndi id


class Workload:
    """Creates, changes and deletes documents and files at random."""

    def __init__(
        self, back: WriteBack, manifest: Path, seed: int, dataset_id: str, organization_id: str
    ) -> None:
        self._back = back
        self._random = random.Random(seed)
        self._dataset_id = dataset_id
        self._organization_id = organization_id
        self._model, unsure = read_manifest(manifest)
        for ndi_id in unsure:  # nobody may build on what may have happened
            self._model.pop(ndi_id, None)
        self._uids: dict[tuple[str, str], str] = read_uids(manifest)
        self._out = os.open(manifest, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def run(self, *, only_create: bool) -> None:
        """Work until killed."""
        pause = threading.Event()
        while True:
            known = sorted(self._model)
            step = self._random.random()
            if only_create or len(known) < 3 or step < 0.5:
                self._create()
            elif step < 0.65:
                self._edit(self._random.choice(known))
            elif step < 0.75:
                self._delete(self._random.choice(known))
            else:
                self._file(self._random.choice(known))
            pause.wait(self._random.random() ** 4 * 0.05)

    def _say(self, **what: Any) -> None:
        os.write(self._out, json.dumps(what).encode() + b"\n")

    def _place(self, ndi_id: str) -> Place:
        return Place(self._dataset_id, self._organization_id, "subject", ndi_id, "", ndi_id)

    def _create(self) -> None:
        for _ in range(self._random.choice([1, 1, 1, 30])):
            ndi_id = f"{self._random.getrandbits(64):016x}_{self._random.getrandbits(64):016x}"
            self._put(ndi_id, "", {})

    def _edit(self, ndi_id: str) -> None:
        before = self._model[ndi_id]
        base = fingerprint(body_of(self._place(ndi_id), text=before["text"]))
        self._put(ndi_id, base, before["files"])

    def _put(self, ndi_id: str, base: str, files: dict[str, str]) -> None:
        text = f"{self._random.getrandbits(32)}"
        state = {"text": text, "files": files}
        self._say(doing=ndi_id, state=state)
        where = self._place(ndi_id)
        self._back.commit_document(where, data_of(where, text=text), base)
        self._say(done=ndi_id, state=state)
        self._model[ndi_id] = state

    def _delete(self, ndi_id: str) -> None:
        self._say(doing=ndi_id, state=None)
        self._back.commit_deletion(self._place(ndi_id), "")
        self._say(done=ndi_id, state=None)
        del self._model[ndi_id]

    def _file(self, ndi_id: str) -> None:
        before, where = self._model[ndi_id], self._place(ndi_id)
        name = self._random.choice(["a.bin", "b.bin"])
        files = dict(before["files"])
        uid = self._uids.get((ndi_id, name), "")
        if name in files and self._random.random() < 0.4:
            del files[name]
            state = {**before, "files": files}
            self._say(doing=ndi_id, state=state)
            self._back.commit_detachment(where, name, uid)
            self._say(done=ndi_id, state=state)
        else:
            data = self._random.randbytes(self._random.choice([0, 10, 1000, 200_000]))
            files[name] = hashlib.sha256(data).hexdigest()
            state = {**before, "files": files}
            self._say(doing=ndi_id, state=state)
            draft = self._back.stage()
            draft.pwrite(data, 0)
            replaces = uid if name in before["files"] else ""
            entry = self._back.commit_file(where, name, draft, replaces)
            draft.discard()
            self._say(done=ndi_id, state=state, name=name, uid=entry.uid)
            self._uids[ndi_id, name] = entry.uid
        self._model[ndi_id] = state


def read_manifest(manifest: Path) -> tuple[Manifest, dict[str, State]]:
    """What was done, and what a kill left unsaid: the state that a document may have got then."""
    model: Manifest = {}
    unsure: dict[str, State] = {}
    doing: tuple[str, State] | None = None
    for line in manifest.read_text().splitlines() if manifest.exists() else []:
        said = json.loads(line)
        if "doing" in said:
            if doing is not None:
                unsure[doing[0]] = doing[1]
            doing = (said["doing"], said["state"])
            continue
        doing = None
        if said["state"] is None:
            model.pop(said["done"], None)
        else:
            model[said["done"]] = said["state"]
    if doing is not None:
        unsure[doing[0]] = doing[1]
    return model, unsure


def read_uids(manifest: Path) -> dict[tuple[str, str], str]:
    """The uid of each file that was attached: (ndi id, name) -> uid."""
    lines = manifest.read_text().splitlines() if manifest.exists() else []
    said = [json.loads(line) for line in lines]
    return {(one["done"], one["name"]): one["uid"] for one in said if "uid" in one}


def main() -> None:
    state, manifest, seed, dataset_id, organization_id = sys.argv[1:6]
    config = CloudConfig.from_environment(os.environ)
    with NdiCloud(config) as cloud:
        back = WriteBack(cloud, config.email, WriteBackOptions(Path(state), PATIENT), Told())
        back.start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        workload = Workload(back, Path(manifest), int(seed), dataset_id, organization_id)
        workload.run(only_create="create" in sys.argv)


if __name__ == "__main__":
    main()
