"""What the kernel keeps of files: right, kept where it may be, and dropped when it is not."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sandbox.raw import Api, body, login
from tests.support.mounting import BINDINGS, Machine, account_of, machine, serving
from tests.support.sandbox import Sandbox
from tests.support.system import until

COUNT = 30


@dataclass
class Lab:
    """A dataset with documents of one class, and a mount of it."""

    api: Api
    dataset: str
    ids: list[str]
    user: Machine
    root: Path

    @property
    def folder(self) -> Path:
        return self.root / self.dataset / "documents" / "subject"

    def path(self, number: int) -> Path:
        return self.folder / f"{body(number)['base']['id']}.json"

    def update(self, number: int, note: str) -> None:
        path = f"/datasets/{self.dataset}/documents/{self.ids[number]}"
        self.api.post(path, body(number, note=note)).raise_for_status()


@pytest.fixture(params=BINDINGS)
def lab(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Lab]:
    with login(sandbox) as api:
        dataset = api.dataset(sandbox.organization_id)
        ids = sandbox.plant(dataset, documents=[{"body": body(n)} for n in range(COUNT)])
        account = account_of(sandbox)
        with machine(tmp_path / "home", account, binding=request.param) as user:
            yield Lab(api, dataset, ids, user, user.mount())


@contextmanager
def stopped(root: Path) -> Iterator[None]:
    """The process of a mount does nothing: what is answered the kernel answers."""
    (pid,) = serving(root)
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def in_page_cache(path: Path) -> bool:
    """Whether the kernel has the first page of a file that is opened anew."""
    library = ctypes.CDLL(None, use_errno=True)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        resident = (ctypes.c_ubyte * 1)()
        library.mmap.restype = ctypes.c_void_p
        library.mmap.argtypes = [
            ctypes.c_void_p,
            ctypes.c_size_t,
            *[ctypes.c_int] * 3,
            ctypes.c_long,
        ]
        address = library.mmap(None, len(mapped), mmap.PROT_READ, 1, file.fileno(), 0)
        library.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
        assert library.mincore(address, 1, resident) == 0
        library.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        library.munmap(address, len(mapped))
        return bool(resident[0] & 1)


def read_here_and_there(file: int) -> bytes:
    return b"".join(os.pread(file, 100, offset) for offset in range(0, 600_000, 9999))


def test_what_was_listed_the_kernel_answers_by_itself(lab: Lab) -> None:
    if lab.user.binding != "mfusepy":
        sizes = [entry.stat().st_size for entry in os.scandir(lab.folder)]
        assert sizes == [path.stat().st_size for path in map(lab.path, range(COUNT))]
        return
    sizes = [lab.path(number).stat().st_size for number in range(COUNT)]
    again = lab.user.home / "again"
    lab.user.umount(lab.root)
    lab.root = lab.user.mount("again")
    names = os.listdir(lab.folder)  # noqa: PTH208 - and nothing else
    assert len(names) == COUNT
    with stopped(again), ThreadPoolExecutor(1) as pool:
        found = pool.map(lambda number: lab.path(number).stat().st_size, range(COUNT), timeout=5)
        assert list(found) == sizes


def test_a_refresh_shows_at_once_what_the_kernel_had_believed(lab: Lab) -> None:
    paths = [lab.path(number) for number in range(3)]
    before = [path.stat().st_size for path in paths]
    for number in range(3):
        lab.update(number, "x" * 1000)
    result = lab.user.run("refresh", str(lab.folder))
    assert result.returncode == 0, result.stderr
    until(lambda: all(p.stat().st_size > s + 900 for p, s in zip(paths, before, strict=True)), 5)
    assert all(json.loads(path.read_text())["note"] == "x" * 1000 for path in paths)


def test_a_document_that_is_gone_goes_away_in_the_kernel_too(lab: Lab) -> None:
    assert lab.path(4).stat().st_size
    path = f"/datasets/{lab.dataset}/documents/{lab.ids[4]}"
    lab.api.delete(path, when="now").raise_for_status()
    assert lab.user.run("refresh", str(lab.folder)).returncode == 0
    until(lambda: not lab.path(4).exists(), 5)
    assert lab.path(5).exists()


def test_an_unchanged_document_stays_in_the_page_cache_and_a_changed_one_does_not(lab: Lab) -> None:
    path = lab.path(0)
    path.read_bytes()
    assert in_page_cache(path)
    assert lab.user.run("refresh", str(lab.folder)).returncode == 0
    assert in_page_cache(path)
    same_size = json.loads(path.read_text())["base"]["name"]
    changed = body(0)
    changed["base"]["name"] = same_size[::-1] or "x"
    lab.api.post(f"/datasets/{lab.dataset}/documents/{lab.ids[0]}", changed).raise_for_status()
    assert lab.user.run("refresh", str(lab.folder)).returncode == 0
    until(lambda: json.loads(path.read_text()) == changed, 5)


def test_who_reads_an_older_version_never_spoils_the_newer_one(lab: Lab) -> None:
    lab.update(0, "old" * 200_000)
    with lab.path(0).open("rb", buffering=0) as older:
        os.posix_fadvise(older.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
        assert older.read(10)
        lab.update(0, "new" * 200_000)  # as long as the old one
        assert lab.user.run("refresh", str(lab.folder)).returncode == 0
        with lab.path(0).open("rb", buffering=0) as newer:
            os.posix_fadvise(newer.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            assert newer.read(10)
            with pytest.raises(OSError, match="Stale"):
                read_here_and_there(older.fileno())
            assert b"old" not in read_here_and_there(newer.fileno())
    assert b"old" not in lab.path(0).read_bytes()
