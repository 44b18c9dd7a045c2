"""The store: bytes that come back as they were, or not at all."""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sqlite3
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ndicloudfs.cache.blockfile import BLOCK, HEAD
from ndicloudfs.cache.blocks import Blocks
from ndicloudfs.cache.byte_cache import value_files
from ndicloudfs.cache.store import Store
from tests.support.system import tiny_disk

LIMIT = 64 << 20
BIG = os.urandom(100_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store", LIMIT)
    yield opened
    opened.close()


def test_bytes_come_back(store: Store) -> None:
    store.put([("small", b"abc"), ("empty", b""), ("big", BIG)])
    assert store.get("small") == b"abc"
    assert store.get("empty") == b""
    assert store.get("big") == BIG
    assert store.get("other") is None


def test_bytes_come_back_after_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path, LIMIT)
    first.put([("big", BIG)])
    first.close()
    second = Store(tmp_path, LIMIT)
    assert second.get("big") == BIG
    second.close()


def test_two_processes_share_a_folder(tmp_path: Path) -> None:
    mine, other = Store(tmp_path, LIMIT), Store(tmp_path, LIMIT)
    mine.put([("key", BIG)])
    assert other.get("key") == BIG
    mine.close()
    other.close()


def test_many_keys_are_read_at_once(store: Store) -> None:
    store.put([("b", b"1"), ("d", b"2")])
    assert store.get_many(["a", "b", "c", "d"]) == [None, b"1", None, b"2"]
    assert store.get_many([]) == []


def test_the_limit_is_kept_and_what_was_used_last_stays(tmp_path: Path) -> None:
    store = Store(tmp_path, 4 << 20)
    store.put([("kept", BIG)])
    for number in range(100):
        store.put([(f"key {number}", BIG)])
        assert store.get("kept") == BIG
        assert taken(tmp_path) <= 4 << 20
    assert store.volume() <= 4 << 20
    assert store.get("key 0") is None
    assert store.get("key 99") == BIG
    store.close()


def taken(folder: Path) -> int:
    """Bytes that the values in files take on the disk."""
    return sum(found.st_blocks * 512 for _, found in value_files(folder))


def test_what_does_not_fit_at_all_is_not_kept_and_evicts_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, 1 << 20)
    store.put([("small", BIG)])
    store.put([("huge", bytes(2 << 20))])
    assert store.get("huge") is None
    assert store.get("small") == BIG
    store.close()


def file_of(folder: Path, key: str) -> str:
    """The file of an entry, as a path in the folder."""
    with closing(sqlite3.connect(folder / "cache.db")) as database:
        query = "SELECT filename FROM Cache WHERE key = ?"
        (name,) = database.execute(query, (key,)).fetchone()
    return str(name)


def test_verify_drops_what_is_damaged_or_lost_and_counts_the_rest(tmp_path: Path) -> None:
    store = Store(tmp_path, LIMIT)
    store.put([("in the database", b"abc"), ("whole", BIG), ("damaged", BIG), ("lost", BIG)])
    blocks = Blocks(store)
    blocks.write("part", [(at, memoryview(bytes([at]) * BLOCK)) for at in range(4)])
    blocks.close()
    flip(tmp_path / file_of(tmp_path, "part"), HEAD + 2 * BLOCK + 17)
    damaged, lost = (tmp_path / file_of(tmp_path, key) for key in ("damaged", "lost"))
    flip(damaged, 5000)
    lost.unlink()
    seen: list[tuple[int, int]] = []
    found = store.verify(lambda *step: seen.append(step))
    assert (found.entries, found.dropped) == (3, 3)
    assert 3 * BLOCK + len(BIG) < found.size < 3 * BLOCK + len(BIG) + 100
    assert seen == [(done, 5) for done in range(1, 6)]
    assert store.get("whole") == BIG
    assert store.get("damaged") is None
    assert store.verify().dropped == 0
    store.close()


def test_verify_removes_files_that_a_killed_process_left_behind(tmp_path: Path) -> None:
    store = Store(tmp_path, LIMIT)
    left, new = tmp_path / "aa/bb/left.val", tmp_path / "aa/bb/new.val"
    left.parent.mkdir(parents=True)
    left.write_bytes(BIG)
    new.write_bytes(BIG)
    os.utime(left, (0, 0))
    assert store.verify().dropped == 1
    assert not left.exists()
    assert new.exists()  # somebody may be about to enter it in the index
    store.close()


def test_clear_leaves_nothing_and_the_store_goes_on(store: Store) -> None:
    store.put([("small", b"abc"), ("big", BIG)])
    blocks = Blocks(store)
    blocks.write("part", [(0, memoryview(BIG))])
    assert store.clear() > 2 * len(BIG)
    assert store.get("big") is None
    assert blocks.read("part", range(1), memoryview(bytearray(len(BIG)))) == []
    assert taken(store.folder) == 0
    store.put([("big", BIG)])
    assert store.get("big") == BIG
    blocks.close()


def flip(path: Path, place: int) -> None:
    """Change one bit of a file."""
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("damage", [b"x", b"", BIG[:-1]])
def test_a_damaged_file_reads_as_absent(
    store: Store, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.put([("big", BIG)])
    (file,) = store.folder.rglob("*.val")
    file.write_bytes(damage)
    assert store.get("big") is None
    store.put([("big", BIG)])
    assert store.get("big") == BIG
    assert "damaged" in caplog.text


def test_a_flipped_bit_reads_as_absent(store: Store) -> None:
    store.put([("big", BIG)])
    (file,) = store.folder.rglob("*.val")
    data = bytearray(file.read_bytes())
    data[5000] ^= 1
    file.write_bytes(data)
    assert store.get("big") is None


def in_an_older_format(key: str, data: bytes) -> bytes:
    """An entry with a CRC-32."""
    checksum = zlib.crc32(data, zlib.crc32(key.encode()))
    return struct.pack("<4sIQ", b"ndi2", checksum, len(data)) + data


@pytest.mark.parametrize("data", [b"", b"abcd", bytes(12), BIG], ids=len)
def test_an_entry_in_an_older_format_reads_as_absent_and_goes(
    store: Store, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("read", "verified"):
        store._cache._cache.set(key, in_an_older_format(key, data))
    assert store.get("read") is None
    assert store.counts() == (1, 0)
    assert store.verify().dropped == 1
    assert store.counts() == (0, 0)
    assert not caplog.records
    store.put([("read", data)])
    assert store.get("read") == data


class Poison:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch poisoned",)


def test_a_pickle_planted_in_the_folder_is_never_loaded(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store.put([("key", b"value")])
    with sqlite3.connect(store.folder / "cache.db") as database:
        database.execute("UPDATE Cache SET mode = 4, value = ?", (pickle.dumps(Poison()),))
    database.close()
    assert store.get("key") is None
    assert not (tmp_path / "poisoned").exists()


def test_the_folder_is_the_owners_alone(store: Store) -> None:
    assert store.folder.stat().st_mode & 0o777 == 0o700


def test_a_full_disk_stores_nothing_and_fails_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tiny_disk(tmp_path / "disk", 1 << 20) as disk:
        store = Store(disk / "store", LIMIT)
        for number in range(20):
            store.put([(f"key {number}", BIG)])
            assert store.get(f"key {number}") in (BIG, None)
        assert store.get("key 19") is None
        store.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


KILLED = """
import os, sys
from pathlib import Path
from ndicloudfs.cache.store import Store
store = Store(Path(sys.argv[1]), 1 << 30)
for number in range(10**6):
    store.put([(f"key {number}", bytes([number % 256]) * 50_000)])
    print(number, flush=True)
"""


def test_what_was_put_survives_kill_9_and_the_rest_is_absent(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    last = [int(process.stdout.readline()) for _ in range(30)][-1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store = Store(tmp_path, 1 << 30)
    for number in range(last + 1):
        assert store.get(f"key {number}") == bytes([number % 256]) * 50_000
    assert store.get(f"key {last + 2}") in (None, bytes([(last + 2) % 256]) * 50_000)
    store.close()
