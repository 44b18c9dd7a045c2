"""The mount is killed at random moments; the server ends up with exactly what was closed."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ndicloudfs.mount.mountpoint import unmount
from tests.sandbox.raw import Json
from tests.support.mounting import serving
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.written import CLASS, NDI_ID, OTHER_ID, Written, body, written

CRASHES = 50
AT_ONCE = 10  # of one mount, one after the other
DEAD = (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV)
# How a file may be: what it holds, None where there is none.
State = bytes | None


@dataclass
class Model:
    """What each path may hold: one thing, or two where the mount died in between."""

    states: dict[Path, set[State]] = field(default_factory=dict)

    def begins(self, path: Path, after: State) -> None:
        """From now on, until it has returned, it may or may not have happened."""
        self.states.setdefault(path, {None}).add(after)

    def returned(self, path: Path, after: State) -> None:
        """It has happened."""
        self.states[path] = {after}

    def settle(self, root: Path, read: Callable[[Path], State]) -> None:
        """Look at what is there: it must be one of what there may be, and that it stays."""
        for path, states in self.states.items():
            found = read(root / path)
            assert found in states, f"{path}: {found!r:.80} is none of {len(states)} states"
            self.states[path] = {found}


class Workload:
    """Somebody who writes until the mount dies."""

    def __init__(self, lab: Written, model: Model, chance: random.Random) -> None:
        self._lab = lab
        self._model = model
        self._chance = chance
        self._number = 0

    def run(self, most: int) -> None:
        """Up to ``most`` changes, fewer where the mount dies."""
        acts = (self._write_document, self._save, self._remove, self._attach, self._detach)
        try:
            for _ in range(most):
                self._chance.choice(acts)()
        except OSError as error:
            if error.errno not in DEAD:
                raise

    def _act(self, path: Path, after: State, act: Callable[[], None]) -> None:
        self._model.begins(path, after)
        act()
        self._model.returned(path, after)

    def _known(self, folder: str) -> list[Path]:
        return [path for path in self._model.states if path.parts[1] == folder]

    def _document(self) -> tuple[Path, bytes]:
        """A document to write, new or not, and what to write."""
        known = self._known("documents")
        self._number += 1
        if known and self._chance.random() < 0.5:
            path = self._chance.choice(known)
        else:
            ndi_id = f"{self._chance.getrandbits(64):016x}_{self._chance.getrandbits(64):016x}"
            path = self._lab.documents.relative_to(self._lab.mount) / f"{ndi_id}.json"
        made = body(path.stem, f"version {self._number} " + "x" * self._chance.randrange(5000))
        return path, _text(made)

    def _write_document(self) -> None:
        path, data = self._document()
        self._act(path, data, lambda: _write(self._lab.mount / path, data))

    def _save(self) -> None:
        path, data = self._document()
        target = self._lab.mount / path
        scratch = target.with_name(f".{target.name}.Qz81")
        _write(scratch, data)
        self._act(path, data, lambda: os.rename(scratch, target))  # noqa: PTH104

    def _remove(self) -> None:
        self._take_away("documents")

    def _attach(self) -> None:
        folder = self._lab.files.relative_to(self._lab.mount)
        path = folder / f"{self._chance.randrange(6)}.bin"
        data = self._chance.randbytes(self._chance.choice((10, 3000, 300_000)))
        self._act(path, data, lambda: _write(self._lab.mount / path, data))

    def _detach(self) -> None:
        self._take_away("files")

    def _take_away(self, folder: str) -> None:
        there = [path for path in self._known(folder) if None not in self._model.states[path]]
        if there:
            path = self._chance.choice(there)
            self._act(path, None, lambda: os.unlink(self._lab.mount / path))  # noqa: PTH108


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _text(value: Json) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _read(path: Path) -> State:
    """What is there, documents as they were written."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    return _text(json.loads(data)) if path.suffix == ".json" else data


@pytest.mark.parametrize("first", range(0, CRASHES, AT_ONCE))
def test_the_server_has_what_was_closed_however_the_mount_dies(
    sandbox: Sandbox, tmp_path: Path, first: int
) -> None:
    with written(sandbox, tmp_path / "home") as lab:
        model = Model()
        for seed in range(first, first + AT_ONCE):
            chance = random.Random(seed)
            # Every other time it dies while it is busy, else while it sends what was closed.
            busy = seed % 2 == 0
            delay = chance.uniform(0.0, 0.25) if busy else chance.uniform(0.05, 0.6)
            (process,) = serving(lab.mount)
            killer = threading.Timer(delay, os.kill, (process, signal.SIGKILL))
            killer.start()
            Workload(lab, model, chance).run(10_000 if busy else 6)
            killer.join()
            until(lambda: not serving(lab.mount))
            unmount(str(lab.mount), lazy=True)
            lab.user.mounts.remove(lab.mount)
            lab.user.mount()
            model.settle(lab.mount, _read)
        lab.settle()
        documents = {path.stem: found for path, found in _held(model, "documents").items()}
        on_server = lab.on_server()
        shown = {ndi_id: _text(found) for ndi_id, found in on_server.items()}
        assert {key: shown[key] for key in documents} == documents
        assert set(on_server) == {NDI_ID, OTHER_ID, *documents}
        files = {path.name: found for path, found in _held(model, "files").items()}
        assert lab.files_on_server() == {"a.bin": lab.content, **files}
        assert sorted(item.name for item in lab.documents.parent.iterdir()) == [CLASS]


def _held(model: Model, folder: str) -> dict[Path, bytes]:
    return {
        path: found
        for path, states in model.states.items()
        for found in states
        if found is not None and path.parts[1] == folder
    }
