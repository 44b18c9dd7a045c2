"""A dataset on a real mount that can be written, and a look at what the server has of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.values import Document
from tests.sandbox.raw import Api, Json, fetch, login, ok, upload
from tests.support.mounting import Machine, account_of, machine
from tests.support.sandbox import Sandbox
from tests.support.system import until

CLASS = "recording"
NDI_ID = "41269430c7aed020_40dc5489899dc92a"
OTHER_ID = "41269430c7aed021_40dc5489899dc92a"
SESSION_ID = "41269430c597c3e6_c0c9895d35d19b54"
# All times of writing back are scaled down by so much; those of the sandbox are short.
PACE = 0.05


def body(ndi_id: str = NDI_ID, text: str = "", uid: str = "") -> Json:
    """A document, with a file where there is a ``uid``."""
    made: Json = {
        "base": {
            "id": ndi_id,
            "session_id": SESSION_ID,
            "name": text,
            "datestamp": "2026-01-02T03:04:05.006Z",
        },
        "document_class": {"class_name": CLASS},
    }
    if uid:
        made["files"] = {"file_info": {"name": "a.bin", "locations": {"uid": uid, "location": ""}}}
    return made


@dataclass
class Written:
    """A dataset of two documents, one of which has a file ``a.bin`` of ``content``."""

    sandbox: Sandbox
    api: Api
    user: Machine
    mount: Path
    dataset: str
    document: str
    content: bytes

    @property
    def tree(self) -> Path:
        """The dataset in the mount."""
        return self.mount / self.dataset

    @property
    def documents(self) -> Path:
        """The class folder."""
        return self.tree / "documents" / CLASS

    @property
    def json(self) -> Path:
        """The document that has a file."""
        return self.documents / f"{NDI_ID}.json"

    @property
    def files(self) -> Path:
        """The folder of that document's files."""
        return self.tree / "files" / CLASS / NDI_ID

    def queue(self) -> list[dict[str, Any]]:
        """What the server does not have yet."""
        entries: list[dict[str, Any]] = json.loads(self.control("queue.json"))["entries"]
        return entries

    def control(self, name: str) -> str:
        """A file of ``.ndicloudfs/``."""
        return (self.mount / ".ndicloudfs" / name).read_text()

    def settle(self) -> None:
        """Wait until the server has everything."""
        until(lambda: not self.queue(), 60)

    def on_server(self, dataset: str = "") -> dict[str, Json]:
        """Every document that the server has, by ndi id; fails where an id is there twice."""
        found = everything(self.sandbox, dataset or self.dataset)
        bodies = {document.summary.ndi_id: document.body for document in found}
        assert len(bodies) == len(found), "the server has an id twice"
        return bodies

    def files_on_server(self, ndi_id: str = NDI_ID, dataset: str = "") -> dict[str, bytes]:
        """The files that a document of the server names, with their bytes there."""
        here = dataset or self.dataset
        info = self.on_server(here)[ndi_id].get("files", {}).get("file_info", [])
        found = {}
        for item in info if isinstance(info, list) else [info]:
            locations = item["locations"]
            location = locations[0] if isinstance(locations, list) else locations
            found[item["name"]] = stored(self.api, here, location["uid"])
        return found

    def dataset_named(self, name: str) -> str:
        """The id of a dataset of the organization."""
        with NdiCloud(CloudConfig.from_environment(account_of(self.sandbox))) as cloud:
            found = cloud.datasets.of_organization(self.sandbox.organization_id)
        (id_,) = (row.id for row in found if row.name == name)
        return id_

    def state(self, path: Path) -> str:
        """The xattr ``user.ndi.state``."""
        return os.getxattr(path, "user.ndi.state").decode()

    def remount(self) -> None:
        """End the mount and begin another one."""
        self.user.umount(self.mount)
        self.user.mount()


def everything(sandbox: Sandbox, dataset: str) -> list[Document]:
    """Every document of a dataset as the server has it now."""
    with NdiCloud(CloudConfig.from_environment(account_of(sandbox))) as cloud:
        page = cloud.documents.page(dataset, 1)
        ids = [summary.id for summary in page.documents]
        return list(cloud.documents.fetch(dataset, ids).documents) if ids else []


def stored(api: Api, dataset: str, uid: str) -> bytes:
    """The bytes of an object as the server has them now."""
    with fetch(str(ok(api.file_detail(dataset, uid))["downloadUrl"])) as answer:
        assert answer.status_code == 200, answer.text
        return answer.content


@contextmanager
def written(
    sandbox: Sandbox, home: Path, *arguments: str, binding: str = "mfusepy"
) -> Iterator[Written]:
    """The dataset, mounted."""
    with login(sandbox) as api:
        facts = _filled(sandbox, api)
        with _machine(sandbox, home, arguments, binding) as user:
            yield Written(sandbox, api, user, user.mount(), *facts)


@dataclass(frozen=True)
class SharedMount:
    """A mount for many tests, each with a dataset of its own, which sends all before the next."""

    sandbox: Sandbox
    api: Api
    user: Machine
    mount: Path

    @contextmanager
    def dataset(self) -> Iterator[Written]:
        """A dataset that nobody has looked at."""
        facts = _filled(self.sandbox, self.api)
        made = Written(self.sandbox, self.api, self.user, self.mount, *facts)
        yield made
        self.sandbox.clear_faults()
        made.settle()


@contextmanager
def shared_mount(folder: Path, binding: str) -> Iterator[SharedMount]:
    """A sandbox without datasets, mounted."""
    with (
        Sandbox(folder / "sandbox") as sandbox,
        login(sandbox) as api,
        _machine(sandbox, folder / "home", (), binding) as user,
    ):
        yield SharedMount(sandbox, api, user, user.mount())


def _machine(
    sandbox: Sandbox, home: Path, arguments: tuple[str, ...], binding: str
) -> AbstractContextManager[Machine]:
    pace = f"--write-pace={PACE}"
    return machine(home, account_of(sandbox), pace, *arguments, binding=binding)


def _filled(sandbox: Sandbox, api: Api) -> tuple[str, str, bytes]:
    """A dataset, its document with a file, and the bytes of that."""
    content = os.urandom(300_000)
    dataset = api.dataset(sandbox.organization_id)
    upload(sandbox, api, dataset, "u1", content)
    document = api.document(dataset, body(uid="u1"))
    api.document(dataset, body(OTHER_ID))
    return dataset, document, content
