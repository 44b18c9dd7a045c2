"""Lines about writing: many new documents, many small files, one large file."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import baselines
from benchmarks.datasets import NEW, document, plain_file
from benchmarks.figures import Figure
from benchmarks.lines.listing import first_ls
from benchmarks.processes import Failed, resident, timed
from benchmarks.world import KIB, MIB, World
from ndicloudfs.cloud import NdiCloud

_CLASS = "ontologyTableRow"
_SMALL = 100 * KIB
_DURABLE = "  time, as a multiple of one fsync each on the local disk"
_PAUSE = 0.05  # s between two looks at the memory of the mount


def new_documents(world: World) -> Iterator[Figure]:
    """Thousands of new documents by ``cp``, until the server has them."""
    count = world.sizes.new_documents
    with _folder(world) as source, world.mount() as root:
        _write_documents(source, count)
        target = root / NEW / "documents" / _CLASS
        target.mkdir(exist_ok=True)
        list(target.iterdir())  # the calls for what is there already are not those of the upload
        before = _document_count(world)
        world.clear_log()
        closing, _ = _copy(source, target)
        start = time.perf_counter()
        world.sync()
        arriving = time.perf_counter() - start
        calls = len(world.log("api"))
        if _document_count(world) != before + count:
            raise Failed(f"the server does not have the {count} new documents")
        plain = _durable_copy(source, world.folder / "copied")
    yield Figure(f"{count:,} new documents by cp", count / closing, "closes/s", at_least=1_000)
    yield Figure(_DURABLE, closing / plain, "x")
    yield Figure("  from there until they are on the server", arriving, "s")
    yield Figure("  API calls until they are", calls, "calls", at_most=10)
    yield from _mount_with_a_queue(world, count)


def _mount_with_a_queue(world: World, count: int) -> Iterator[Figure]:
    """A mount ends before its documents have left, and the next one begins."""
    with _folder(world) as source:
        _write_documents(source, count)
        with world.mount("--shutdown-timeout", "0") as root:
            _copy(source, root / NEW / "documents" / _CLASS)
    yield from first_ls(world, f"{count:,} documents in the queue")
    with world.mount() as root:
        world.sync()


def _write_documents(folder: Path, count: int) -> None:
    for number in range(count):
        (folder / f"{secrets.token_hex(4)}-{number}.json").write_bytes(document(number))


def new_files(world: World) -> Iterator[Figure]:
    """Hundreds of small files attached to a document, until the server has them."""
    count = world.sizes.new_files
    with _folder(world) as source, world.mount() as root:
        target = _new_document(world, root)
        for number in range(count):
            (source / f"{number}.bin").write_bytes(os.urandom(_SMALL))
        world.clear_log()
        closing, _ = _copy(source, target)
        start = time.perf_counter()
        world.sync()
        arriving = time.perf_counter() - start
        log = world.log()
        plain = _durable_copy(source, world.folder / "copied")
    sent = sum(entry["request_bytes"] for entry in log)
    overhead = 100 * (sent / (count * _SMALL) - 1)
    calls = sum(entry["port"] == "api" for entry in log)
    yield Figure(f"{count} new files of 100 KiB by cp", count / closing, "closes/s")
    yield Figure(_DURABLE, closing / plain, "x")
    yield Figure("  from there until they are on the server", arriving, "s")
    yield Figure("  bytes sent beside theirs", overhead, "%", at_most=5)
    yield Figure("  API calls until they are", calls, "calls", at_most=20)


def new_file(world: World) -> Iterator[Figure]:
    """A large file: memory while it is written and sent, and speed beside ``curl -T``."""
    size = world.sizes.new_file
    with _folder(world) as folder, world.mount() as root:
        source = plain_file(folder, size)
        curl = baselines.curl_upload(world, NEW, source)
        target = _new_document(world, root)
        with _watched(world.mount_pid) as memory:
            closing, _ = timed("cp", str(source), str(target / "large.bin"))
            start = time.perf_counter()
            world.sync()
            sending = time.perf_counter() - start
    for path in world.objects(size):
        path.unlink()  # or three runs would need the disk of six such files
    name = f"one new file of {size // MIB:,} MiB"
    yield Figure(f"{name}: cp", size / closing / 1e6, "MB/s")
    yield Figure("  sync", size / sending / 1e6, "MB/s")
    yield Figure("  curl -T", size / curl / 1e6, "MB/s")
    yield Figure("  sync, of curl -T", curl / sending, "x", at_least=0.8)
    growth = (max(memory) - memory[0]) / MIB
    yield Figure("  growth of the mount's memory", growth, "MiB", at_most=64)


@contextmanager
def _folder(world: World) -> Iterator[Path]:
    """A local folder for what is to be copied."""
    folder = world.folder / "source"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _copy(source: Path, target: Path) -> tuple[float, bytes]:
    return timed("cp", *(str(path) for path in source.iterdir()), str(target))


def _durable_copy(source: Path, target: Path) -> float:
    """Seconds that the local disk takes to keep the same files, each as safe as after close."""
    target.mkdir()
    start = time.perf_counter()
    for path in source.iterdir():
        with (target / path.name).open("wb", buffering=0) as file:
            file.write(path.read_bytes())
            os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    shutil.rmtree(target)
    return seconds


def _new_document(world: World, root: Path) -> Path:
    """The folder for files of a document that is made and on the server."""
    ndi_id = f"4126c{secrets.token_hex(6)[:11]}_40c{secrets.token_hex(7)[:13]}"
    body = json.loads(document(0))
    body["base"]["id"] = ndi_id
    folder = root / NEW / "documents" / _CLASS
    folder.mkdir(exist_ok=True)
    (folder / f"{ndi_id}.json").write_text(json.dumps(body))
    world.sync()
    return root / NEW / "files" / _CLASS / ndi_id


def _document_count(world: World) -> int:
    with NdiCloud(world.config) as cloud:
        return cloud.datasets.document_count(world.datasets[NEW])


@contextmanager
def _watched(pid: int) -> Iterator[list[int]]:
    """The memory of a process in this context: at its beginning, then again and again."""
    seen = [resident(pid)]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_PAUSE):
            seen.append(resident(pid))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
