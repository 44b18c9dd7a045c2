"""Random work on a tree that can be written, against a plain model of it.

The model is what a disk would be: documents with their files, as dictionaries. After every step the
tree must list, measure and read like the model; after ``sync``, and at the end, so must the server.
Meanwhile uploads go on, calls fail, mounts end and begin, and other clients change the server.

``NDICLOUDFS_MODEL_EXAMPLES`` is the number of random runs; the default is a few, always the same.
"""

from __future__ import annotations

import errno
import functools
import json
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from ndicloudfs.writeback import Limits
from tests.sandbox.raw import Api, Json, login
from tests.support.mounting import BINDINGS, account_of, machine
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.trees import MountedTree, Tree, core_tree
from tests.support.written import CLASS, PACE, SESSION_ID, everything, stored

EXAMPLES = os.environ.get("NDICLOUDFS_MODEL_EXAMPLES")
# The core without a kernel is quick; a mount shows what the kernel believes.
FEW = {"core": 6, "zips": 4, "mfusepy": 3, "fusepy": 2}
STEPS = 25
PATIENCE = {"mfusepy": 2.0, "fusepy": 3.0}

# A program chooses the first names, the others are ids.
STEMS = ("one", "two", "three")
IDS = tuple(f"41269430c7ae00{number:02x}_40dc5489899dc92a" for number in range(2))
NAMES = (*STEMS, *IDS)
FILES = ("a.bin", "b.bin")
SCRATCH = (".one.json.Qz81", "two.json~")
HANDLES = (0, 1)
SIZES = (0, 5, 70_000, 1_500_000)
OFFSETS = (0, 3, 60_000, 1_048_576, 1_600_000)
NOT_DOCUMENTS = ("{broken", "[1]", '{"a": 1, "a": 2}')
# Calls of the uploader alone: a failed read is an error that a program is told.
SENDING = (
    "POST /datasets/{id}/documents",
    "POST /datasets/{id}/documents/{docId}",
    "POST /datasets/{id}/documents/bulk-upload",
    "POST /datasets/{id}/documents/bulk-delete",
    "GET /datasets/{orgId}/{id}/files/{uid}",
    "POST /datasets/{orgId}/{id}/files/bulk",
    "PUT /objects",
)
FAULTS = (
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 504},
    {"kind": "drop"},
    {"kind": "after"},
    {"kind": "garbage"},
)

names = st.sampled_from(NAMES)
stems = st.sampled_from(STEMS)
files = st.sampled_from(FILES)
handles = st.sampled_from(HANDLES)
values = st.integers(0, 9)
data = st.builds(
    lambda size, letter: letter * size, st.sampled_from(SIZES), st.sampled_from((b"x", b"y"))
)


@dataclass(eq=False)
class Content:
    """A file: what programs see, and what was closed."""

    data: bytearray
    kept: bytes = b""

    def write(self, data: bytes, offset: int) -> None:
        self.cut(max(len(self.data), offset))
        self.data[offset : offset + len(data)] = data

    def cut(self, size: int) -> None:
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))

    def keep(self) -> None:
        self.kept = bytes(self.data)


@dataclass(eq=False)
class Document:
    """A document, and its files by name."""

    ndi_id: str
    stem: str  # the name that it was given last; its id is one, too
    value: int
    sent: bool = False  # the server has it for sure
    files: dict[str, Content] = field(default_factory=dict)
    # Those it had before it was moved aside; it has what was still to be sent of them.
    before: dict[str, Content] = field(default_factory=dict)

    def is_named(self, stem: str) -> bool:
        return stem in (self.ndi_id, self.stem)


@dataclass
class Opened:
    """A file that a program has open."""

    handle: int
    stem: str
    document: Document
    content: Content


@dataclass(frozen=True)
class World:
    """What outlives a run: a server, somebody else who uses it, and a mount."""

    sandbox: Sandbox
    api: Api
    tree: Tree
    patience: float = 0.0  # s that a kernel may believe what it was told before
    failures: list[tuple[str, Exception]] = field(default_factory=list)


def step(**drawn: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A rule, after which the tree is compared with the model."""

    def decorate(work: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(work)
        def run(self: Machine, **arguments: Any) -> None:
            self.sound = False
            self.steps.append(f"{work.__name__}({arguments})"[:120])
            try:
                work(self, **arguments)
                self.compare()
            except (AssertionError, OSError) as error:
                self.failed(error)
            self.sound = True

        made: Callable[..., None] = rule(**drawn)(run)  # type: ignore[no-untyped-call]
        return made

    return decorate


class Machine(RuleBasedStateMachine):
    """One dataset, from its first document to the last look at the server."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.tree = world.tree
        self.documents: list[Document] = []
        self.scratch: dict[str, bytes] = {}
        self.opened: dict[int, Opened] = {}
        self.aside: dict[str, dict[str, Content]] = {}  # files of documents that were moved aside
        self.sound = True
        self.steps: list[str] = []

    @initialize()
    def begin(self) -> None:
        self.dataset = self.world.api.dataset(self.world.sandbox.organization_id)
        self.folder = f"{self.dataset}/documents/{CLASS}"
        self.tree.mkdir(self.folder)
        self.write_document(stem=STEMS[0], value=0, indent=None)

    def teardown(self) -> None:
        self.world.sandbox.clear_faults()
        try:
            if self.sound:
                self.sound = False
                self.close_everything()
                self.settle()
                self.compare()
        except (AssertionError, OSError) as error:
            self.failed(error)
        finally:
            for opened in self.opened.values():
                self.tree.close(opened.handle)

    def failed(self, error: Exception) -> None:
        """Keep what a run has come to; how uploads fall into it is different each time."""
        self.world.failures.append(("\n".join(self.steps), error))
        raise error

    # Documents

    @step(stem=names, value=values, indent=st.sampled_from((None, 2, 4)))
    def write_document(self, stem: str, value: int, indent: int | None) -> None:
        document = self.find(stem)
        self.write(self.json(stem), json.dumps(self.body(stem, value), indent=indent).encode())
        self.wrote(stem, document, value)

    @step(stem=stems, ndi_id=st.sampled_from(IDS), value=values)
    def write_document_with_an_id(self, stem: str, ndi_id: str, value: int) -> None:
        document = self.find(stem)
        if document is not None and document.ndi_id == ndi_id:
            return
        text = json.dumps({"base": {"id": ndi_id}, CLASS: {"value": value}}).encode()
        if document is not None or self.find(ndi_id) is not None:
            self.fails(errno.EINVAL, lambda: self.write(self.json(stem), text))
        else:
            self.write(self.json(stem), text)
            self.made(ndi_id, stem, value)

    @step(stem=names, text=st.sampled_from(NOT_DOCUMENTS))
    def write_no_document(self, stem: str, text: str) -> None:
        self.fails(errno.EINVAL, lambda: self.write(self.json(stem), text.encode()))

    @step(stem=names, value=values)
    def save_by_replacing(self, stem: str, value: int) -> None:
        """As rsync and most libraries do."""
        document = self.find(stem)
        scratch = f"{self.folder}/.{stem}.json.tmp"
        self.write(scratch, json.dumps(self.body(stem, value)).encode())
        self.tree.rename(scratch, self.json(stem))
        self.wrote(stem, document, value)

    @step(stem=names, value=values)
    def save_with_a_backup(self, stem: str, value: int) -> None:
        """As vim does."""
        stem, document = self.existing(stem)
        if document is None:
            return
        stem = document.stem  # one that was never sent has no other name to come back to
        text = json.dumps(self.body(stem, value)).encode()
        self.close_files_of(document)
        backup = f"{self.folder}/{stem}.json.bak~"
        self.tree.rename(self.json(stem), backup)
        self.write(self.json(stem), text)
        self.tree.unlink(backup)
        document.value = value

    @step(stem=names)
    def remove_document(self, stem: str) -> None:
        stem, document = self.existing(stem)
        if document is None:
            self.fails(errno.ENOENT, lambda: self.tree.unlink(self.json(stem)))
            return
        self.close_files_of(document)
        self.tree.unlink(self.json(stem))
        self.documents.remove(document)

    @step(old=names, new=stems)
    def rename_document(self, old: str, new: str) -> None:
        document, there = self.find(old), self.find(new)
        if document is None:
            self.fails(errno.ENOENT, lambda: self.tree.rename(self.json(old), self.json(new)))
        elif there is document:
            return
        elif there is not None or document.sent:
            self.fails(errno.EPERM, lambda: self.tree.rename(self.json(old), self.json(new)))
        else:
            try:
                self.tree.rename(self.json(old), self.json(new))
            except PermissionError:
                document.sent = True  # it was faster
            else:
                document.stem = new

    # Scratch files

    @step(name=st.sampled_from(SCRATCH), stem=names)
    def move_back(self, name: str, stem: str) -> None:
        """What was moved aside, as a document again."""
        text = self.scratch.get(name, b"")
        if b"document_class" not in text:
            return
        body = json.loads(text)
        ndi_id, value = body["base"]["id"], body[CLASS]["value"]
        there, same = self.find(stem), self.find(ndi_id)
        paths = f"{self.folder}/{name}", self.json(stem)
        if there is None and stem in IDS and stem != ndi_id:
            return
        if there is same:
            self.tree.rename(*paths)
            del self.scratch[name]
            if same is None:
                self.made(ndi_id, stem, value)
            else:
                same.value = value
        else:
            self.fails(errno.EINVAL, lambda: self.tree.rename(*paths))

    @step(name=st.sampled_from(SCRATCH), written=data)
    def write_scratch(self, name: str, written: bytes) -> None:
        self.write(f"{self.folder}/{name}", written)
        self.scratch[name] = written

    @step(stem=names, name=st.sampled_from(SCRATCH))
    def move_document_aside(self, stem: str, name: str) -> None:
        stem, document = self.existing(stem)
        if document is None:
            return
        self.close_files_of(document)
        text = self.read(self.json(stem))
        self.tree.rename(self.json(stem), f"{self.folder}/{name}")
        self.scratch[name] = text
        self.documents.remove(document)
        self.aside[document.ndi_id] = document.files

    @step(old=st.sampled_from(SCRATCH), new=st.sampled_from(SCRATCH))
    def rename_scratch(self, old: str, new: str) -> None:
        if old in self.scratch:
            self.tree.rename(f"{self.folder}/{old}", f"{self.folder}/{new}")
            self.scratch[new] = self.scratch.pop(old)

    @step(name=st.sampled_from(SCRATCH))
    def remove_scratch(self, name: str) -> None:
        if self.scratch.pop(name, None) is None:
            self.fails(errno.ENOENT, lambda: self.tree.unlink(f"{self.folder}/{name}"))
        else:
            self.tree.unlink(f"{self.folder}/{name}")

    # Files

    @step(stem=names, name=files, written=data)
    def write_file(self, stem: str, name: str, written: bytes) -> None:
        stem, document = self.existing(stem)
        path = self.file(stem, name)
        if document is None:
            self.fails(errno.ENOENT, lambda: self.write(path, written))
            return
        self.write(path, written)
        content = document.files.setdefault(name, Content(bytearray()))
        content.data[:] = written
        content.keep()

    @step(stem=names, name=files, written=data)
    def append_to_file(self, stem: str, name: str, written: bytes) -> None:
        stem, document = self.existing(stem)
        if document is None:
            return
        self.write(self.file(stem, name), written, os.O_APPEND)
        content = document.files.setdefault(name, Content(bytearray()))
        content.data += written
        content.keep()

    @step(stem=names, name=files, written=data, offset=st.sampled_from(OFFSETS))
    def change_file(self, stem: str, name: str, written: bytes, offset: int) -> None:
        stem, document = self.existing(stem)
        content = None if document is None else document.files.get(name)
        if content is None:
            path = self.file(stem, name)
            self.fails(errno.ENOENT, lambda: self.tree.open(path, os.O_WRONLY))
            return
        self.write(self.file(stem, name), written, 0, offset)
        if written:
            content.write(written, offset)
        content.keep()

    @step(stem=names, name=files, size=st.sampled_from(OFFSETS))
    def truncate_file(self, stem: str, name: str, size: int) -> None:
        stem, document = self.existing(stem)
        content = None if document is None else document.files.get(name)
        if content is None:
            path = self.file(stem, name)
            self.fails(errno.ENOENT, lambda: self.tree.truncate(path, size))
            return
        self.tree.truncate(self.file(stem, name), size)
        content.cut(size)
        if not any(opened.content is content for opened in self.opened.values()):
            content.keep()

    @step(stem=names, old=files, new=files)
    def rename_file(self, stem: str, old: str, new: str) -> None:
        stem, document = self.existing(stem)
        if document is None or old not in document.files:
            paths = self.file(stem, old), self.file(stem, new)
            if old == new and self.world.patience:  # libfuse may wait for ever (docs/semantics.md)
                self.fails(errno.ENOENT, lambda: self.tree.size(paths[0]))
            else:
                self.fails(errno.ENOENT, lambda: self.tree.rename(*paths))
        elif old != new:
            self.close_under_other_names(stem, document, old, new)
            self.tree.rename(self.file(stem, old), self.file(stem, new))
            document.files[new] = document.files.pop(old)

    @step(stem=names, older=files, written=st.tuples(data, data), turned=st.booleans())
    def rename_file_onto_another(
        self, stem: str, older: str, written: tuple[bytes, bytes], turned: bool
    ) -> None:
        stem, document = self.existing(stem)
        if document is None:
            return
        pair = (older, FILES[1 - FILES.index(older)])
        for name, text in zip(pair, written, strict=True):
            if name not in document.files:
                self.write(self.file(stem, name), text)
                document.files[name] = Content(bytearray(text), text)
        old, new = reversed(pair) if turned else pair
        self.close_under_other_names(stem, document, old, new)
        self.tree.rename(self.file(stem, old), self.file(stem, new))
        document.files[new] = document.files.pop(old)

    @step(stem=names, name=files, written=data)
    def replace_file(self, stem: str, name: str, written: bytes) -> None:
        stem, document = self.existing(stem)
        if document is None:
            return
        scratch = self.file(stem, f".{name}.tmp")
        self.write(scratch, written)
        self.close_under_other_names(stem, document, name)
        self.tree.rename(scratch, self.file(stem, name))
        document.files[name] = Content(bytearray(written), written)

    @step(stem=names, name=files)
    def remove_file(self, stem: str, name: str) -> None:
        stem, document = self.existing(stem)
        if document is None or name not in document.files:
            path = self.file(stem, name)
            self.fails(errno.ENOENT, lambda: self.tree.unlink(path))
        else:
            self.close_under_other_names(stem, document, name)
            self.tree.unlink(self.file(stem, name))
            del document.files[name]

    @step(number=handles, stem=names, name=files, empty=st.booleans())
    def open_file(self, number: int, stem: str, name: str, empty: bool) -> None:
        stem, document = self.existing(stem)
        if document is None or number in self.opened:
            return
        flags = os.O_RDWR | os.O_CREAT | (os.O_TRUNC if empty else 0)
        handle = self.tree.open(self.file(stem, name), flags)
        content = document.files.setdefault(name, Content(bytearray()))
        if empty:
            content.cut(0)
        self.opened[number] = Opened(handle, stem, document, content)

    @step(number=handles, written=data, offset=st.sampled_from(OFFSETS))
    def write_by_handle(self, number: int, written: bytes, offset: int) -> None:
        opened = self.opened.get(number)
        if opened is not None and written:
            self.tree.write(opened.handle, written, offset)
            opened.content.write(written, offset)

    @step(number=handles, size=st.sampled_from(OFFSETS))
    def cut_by_handle(self, number: int, size: int) -> None:
        opened = self.opened.get(number)
        if opened is not None:
            self.tree.cut(opened.handle, size)
            opened.content.cut(size)

    @step(number=handles)
    def sync_by_handle(self, number: int) -> None:
        opened = self.opened.get(number)
        if opened is not None:
            self.tree.sync_file(opened.handle)
            opened.content.keep()

    @step(number=handles)
    def close_file(self, number: int) -> None:
        if number in self.opened:
            self.close_file_of(number)

    # The server, and the way to it

    @step()
    def sync(self) -> None:
        self.settle()

    @step()
    def remount(self) -> None:
        self.close_everything()
        self.tree.remount()

    @step(route=st.sampled_from(SENDING), fault=st.sampled_from(FAULTS))
    def a_call_will_fail(self, route: str, fault: dict[str, Any]) -> None:
        self.world.sandbox.fault(route, **fault)

    @step()
    def nothing_is_taken_for_a_while(self) -> None:
        for route in SENDING:
            self.world.sandbox.fault(route, "status", -1, status=503)

    @step(tokens=st.booleans(), urls=st.booleans())
    def what_was_given_expires(self, tokens: bool, urls: bool) -> None:
        self.world.sandbox.expire(tokens=tokens, urls=urls)
        if tokens:
            self.world.api.close()
            object.__setattr__(self.world, "api", login(self.world.sandbox))

    @step(stem=names, value=values)
    def somebody_changes_a_document(self, stem: str, value: int) -> None:
        stem, document = self.existing(stem)
        if document is None:
            return
        self.settle()
        (known,) = (one for one in self.on_server() if one.summary.ndi_id == document.ndi_id)
        changed = {**known.body, CLASS: {"value": value}}
        path = f"/datasets/{self.dataset}/documents/{known.summary.id}"
        assert self.world.api.post(path, changed).status_code == 200
        self.tree.refresh(self.folder)
        document.value = value

    @step(stem=names)
    def somebody_removes_a_document(self, stem: str) -> None:
        stem, document = self.existing(stem)
        if document is None:
            return
        self.close_files_of(document)
        self.settle()
        (known,) = (one for one in self.on_server() if one.summary.ndi_id == document.ndi_id)
        path = f"/datasets/{self.dataset}/documents/{known.summary.id}"
        assert self.world.api.delete(path).status_code == 200
        self.tree.refresh(self.folder)
        self.documents.remove(document)

    @step(ndi_id=st.sampled_from(IDS), value=values)
    def somebody_makes_a_document(self, ndi_id: str, value: int) -> None:
        self.settle()
        if self.find(ndi_id) is not None:
            return
        body = {
            "base": {
                "id": ndi_id,
                "session_id": SESSION_ID,
                "name": "",
                "datestamp": "2026-01-02T03:04:05.006Z",
            },
            "document_class": {"class_name": CLASS},
            CLASS: {"value": value},
        }
        self.world.api.document(self.dataset, body)
        self.tree.refresh(self.folder)
        self.documents.append(Document(ndi_id, ndi_id, value, sent=True))

    # What the steps are made of

    def find(self, stem: str) -> Document | None:
        return next((one for one in self.documents if one.is_named(stem)), None)

    def existing(self, stem: str) -> tuple[str, Document | None]:
        """The document of this name, or else another one with its name."""
        found = self.find(stem)
        if found is None and self.documents:
            found = self.documents[NAMES.index(stem) % len(self.documents)]
            return found.stem, found
        return stem, found

    def json(self, stem: str) -> str:
        return f"{self.folder}/{stem}.json"

    def file(self, stem: str, name: str) -> str:
        return f"{self.dataset}/files/{CLASS}/{stem}/{name}"

    def body(self, stem: str, value: int) -> Json:
        """What is there with another value, or something new."""
        if self.find(stem) is None:
            return {CLASS: {"value": value}}
        return {**json.loads(self.read(self.json(stem))), CLASS: {"value": value}}

    def wrote(self, stem: str, document: Document | None, value: int) -> None:
        if document is not None:
            document.value = value
            return
        ndi_id = json.loads(self.read(self.json(stem)))["base"]["id"]
        assert self.find(ndi_id) is None
        self.made(ndi_id, stem, value)

    def made(self, ndi_id: str, stem: str, value: int) -> None:
        before = self.aside.pop(ndi_id, {})
        self.documents.append(Document(ndi_id, stem, value, before=before))

    def write(self, path: str, written: bytes, how: int = os.O_TRUNC, offset: int = -1) -> None:
        """Write and close; at ``offset`` into what is there, where one is given."""
        made = os.O_CREAT if offset < 0 else 0
        handle = self.tree.open(path, os.O_WRONLY | made | how)
        try:
            if written:
                self.tree.write(handle, written, max(0, offset))
        finally:
            self.tree.close(handle)

    def read(self, path: str) -> bytes:
        handle = self.tree.open(path, os.O_RDONLY)
        try:
            found = b""
            while part := self.tree.read(handle, len(found), 1 << 20):
                found += part
            return found
        finally:
            self.tree.close(handle)

    def fails(self, number: int, work: Callable[[], object]) -> None:
        with pytest.RaisesExc(OSError, check=lambda error: error.errno == number):
            work()

    def close_files_of(self, document: Document | None = None) -> None:
        for number, opened in list(self.opened.items()):
            if document in (None, opened.document):
                self.close_file_of(number)

    close_everything = close_files_of

    def close_under_other_names(self, stem: str, document: Document, *files: str) -> None:
        """Through the kernel, what takes the place of an open file under another name of it counts.

        The kernel has one size of both (docs/semantics.md).
        """
        changed = [document.files.get(name) for name in files]
        for number, opened in list(self.opened.items()):
            if self.world.patience and opened.stem != stem and opened.content in changed:
                self.close_file_of(number)

    def close_file_of(self, number: int) -> None:
        opened = self.opened.pop(number)
        self.tree.close(opened.handle)
        opened.content.keep()

    # Comparing

    def compare(self) -> None:
        """The tree is what the model is, as soon as the kernel knows."""
        if self.world.patience:
            with suppress(pytest.fail.Exception):
                until(self.agrees, self.world.patience)
                return
        self.compare_now()

    def agrees(self) -> bool:
        try:
            self.compare_now()
        except (AssertionError, OSError):
            return False
        return True

    def compare_now(self) -> None:
        listed = self.tree.names(self.folder)
        for document in self.documents:
            shown = [f"{name}.json" for name in {document.ndi_id, document.stem}]
            assert sum(listed.count(name) for name in shown) == 1, (shown, listed)
            for name in {document.ndi_id, document.stem}:
                self.compare_document(name, document)
        assert len(listed) == len(self.documents) + len(self.scratch), listed
        for name, written in self.scratch.items():
            assert name in listed
            assert self.read(f"{self.folder}/{name}") == written
            assert self.tree.state(f"{self.folder}/{name}") == "local"
        for stem in NAMES:
            if self.find(stem) is None:
                self.fails(errno.ENOENT, functools.partial(self.read, self.json(stem)))
        for part in ("documents", "files"):
            assert self.tree.names(f"{self.dataset}/{part}") == [CLASS]
        with_files = sorted(self.tree.names(f"{self.dataset}/files/{CLASS}"))
        # A file that nobody has closed yet may be seen by its name alone.
        being_made = {id(opened.content) for opened in self.opened.values()}
        there = [{id(one) for one in document.files.values()} for document in self.documents]
        least = sum(bool(some - being_made) for some in there)
        assert least <= len(with_files) <= sum(map(bool, there)), with_files
        for opened in self.opened.values():
            self.compare_bytes(opened.handle, opened.content)

    def compare_document(self, name: str, document: Document) -> None:
        text = self.read(self.json(name))
        assert self.tree.size(self.json(name)) == len(text)
        body = json.loads(text)
        assert (body["base"]["id"], body[CLASS]) == (document.ndi_id, {"value": document.value})
        states = {"clean"} if document.sent else {"clean", "pending", "uploading"}
        assert self.tree.state(self.json(name)) in states | {"pending", "uploading"}
        names = self.tree.names(self.file(name, ""))
        document.files |= {name: document.before[name] for name in names if name in document.before}
        document.before = {}
        assert names == sorted(document.files)
        for file_name, content in document.files.items():
            path = self.file(name, file_name)
            handle = self.tree.open(path, os.O_RDONLY)
            try:
                self.compare_bytes(handle, content)
            finally:
                self.tree.close(handle)
            assert self.tree.size(path) == len(content.data)

    def compare_bytes(self, handle: int, content: Content) -> None:
        found = b""
        while part := self.tree.read(handle, len(found), 1 << 20):
            found += part
        assert len(found) == len(content.data)
        assert found == content.data, "other bytes"

    def settle(self) -> None:
        """Wait for the server, and compare it with what was closed."""
        self.close_everything()
        self.world.sandbox.clear_faults()
        # What has failed several times while faults lasted is not tried for long by one call.
        until(lambda: self.tree.sync() == [], 60)
        found = {one.summary.ndi_id: one.body for one in self.on_server()}
        assert sorted(found) == sorted(one.ndi_id for one in self.documents)
        for document in self.documents:
            document.sent = True
            body = found[document.ndi_id]
            assert body[CLASS] == {"value": document.value}
            there = {
                item["name"]: stored(self.world.api, self.dataset, item["locations"][0]["uid"])
                for item in body.get("files", {}).get("file_info", [])
            }
            assert sorted(there) == sorted(document.files)
            for name, content in document.files.items():
                assert there[name] == content.kept, f"{name} is another one on the server"

    def on_server(self) -> list[Any]:
        found = everything(self.world.sandbox, self.dataset)
        ids = [one.summary.ndi_id for one in found]
        assert len(set(ids)) == len(ids), "the server has an id twice"
        return found


@pytest.fixture(params=FEW)
def world(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[World]:
    account, home = account_of(sandbox), tmp_path / "home"
    with login(sandbox) as api:
        if request.param in BINDINGS:
            pace = f"--write-pace={PACE}"
            with machine(home, account, pace, binding=request.param) as user:
                yield World(sandbox, api, MountedTree(user), PATIENCE[request.param])
        else:
            limits = Limits(most_posts=0) if request.param == "zips" else Limits()
            with core_tree(account, home, limits) as core:
                yield World(sandbox, api, core)


@pytest.mark.timeout(0 if EXAMPLES else 120)
def test_a_tree_is_what_a_disk_would_be(world: World, request: pytest.FixtureRequest) -> None:
    few = FEW[request.node.callspec.params["world"]]
    options = settings(
        max_examples=int(EXAMPLES or few),
        stateful_step_count=STEPS,
        derandomize=EXAMPLES is None,
        database=None,
        deadline=None,
        phases=(Phase.generate,),  # uploads fall into each run at other moments: no shrinking
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    try:
        machine: Any = functools.partial(Machine, world)
        run_state_machine_as_test(machine, settings=options)
    except Exception:
        if not world.failures:
            raise
        steps, error = world.failures[0]  # what it leaves behind lets others fail
        pytest.fail(f"after\n{steps}\n{''.join(traceback.format_exception(error))}")
