"""Blocks on the disk: they come back as they were or not at all, and within the limit."""

from __future__ import annotations

import logging
import os
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ndicloudfs.cache.blockfile import BLOCK, BLOCKS, HEAD
from ndicloudfs.cache.blocks import OPEN_FILES, Blocks
from ndicloudfs.cache.store import Store
from tests.cache.test_store import flip, taken
from tests.support.system import tiny_disk

MIB = 1 << 20
LIMIT = 64 * MIB
SOURCE = os.urandom(BLOCKS * BLOCK - 1000)  # an object whose last block is short


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store", LIMIT)
    yield opened
    opened.close()


@pytest.fixture
def blocks(store: Store) -> Iterator[Blocks]:
    opened = Blocks(store)
    yield opened
    opened.close()


def block(position: int) -> tuple[int, memoryview]:
    return position, memoryview(SOURCE)[position * BLOCK : (position + 1) * BLOCK]


def read(blocks: Blocks, positions: range, key: str = "key") -> dict[int, bytes]:
    """Those of ``positions`` that came, each compared with the source."""
    size = len(SOURCE[positions.start * BLOCK : positions.stop * BLOCK])
    into = memoryview(bytearray(size))
    found = {}
    for position in blocks.read(key, positions, into):
        at = (position - positions.start) * BLOCK
        found[position] = bytes(into[at : at + BLOCK])
        assert found[position] == block(position)[1]
    return found


def test_blocks_come_back_and_holes_do_not(blocks: Blocks) -> None:
    blocks.write("key", [block(2), block(BLOCKS - 1)])
    blocks.write("key", [block(5)])
    assert list(read(blocks, range(BLOCKS))) == [2, 5, BLOCKS - 1]
    assert list(read(blocks, range(3, 5))) == []
    assert read(blocks, range(BLOCKS), "another") == {}


def test_a_hole_takes_no_space(blocks: Blocks, store: Store) -> None:
    before = store.volume()
    blocks.write("key", [block(20)])
    assert taken(store.folder) <= BLOCK + 2 * HEAD
    assert BLOCK <= store.volume() - before <= BLOCK + 2 * HEAD


@pytest.mark.parametrize("place", [HEAD + 3 * BLOCK, HEAD + 3 * BLOCK + 70_000, 3 * 12, 3 * 12 + 8])
def test_a_flipped_bit_costs_one_block_which_can_be_written_again(
    blocks: Blocks, store: Store, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    blocks.write("key", [block(position) for position in range(6)])
    blocks.close()
    (file,) = store.folder.glob("??/??/*")
    flip(file, place)
    assert list(read(blocks, range(6))) == [0, 1, 2, 4, 5]
    # A length that no block can have is none at all.
    assert ("damaged" in caplog.text) == (place != 3 * 12 + 8)
    blocks.write("key", [block(3)])
    assert list(read(blocks, range(6))) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("size", [0, 7, HEAD, HEAD + BLOCK, HEAD + 3 * BLOCK + 1])
def test_a_file_that_was_cut_gives_what_is_left(blocks: Blocks, store: Store, size: int) -> None:
    blocks.write("key", [block(position) for position in range(6)])
    blocks.close()
    (file,) = store.folder.glob("??/??/*")
    os.truncate(file, size)
    assert list(read(blocks, range(6))) == list(range(max(0, size - HEAD) // BLOCK))


def test_a_file_that_is_gone_reads_as_absent_and_is_made_anew(blocks: Blocks, store: Store) -> None:
    blocks.write("key", [block(0)])
    (file,) = store.folder.glob("??/??/*")
    file.unlink()
    assert read(blocks, range(1)) == {}
    blocks.write("key", [block(0)])
    assert list(read(blocks, range(1))) == [0]


def test_blocks_under_another_key_are_not_taken_for_it(blocks: Blocks, store: Store) -> None:
    blocks.write("mine", [block(0)])
    blocks.write("other", [block(1)])
    blocks.close()
    mine, other = (store.folder / str(store._cache.file_name(key)) for key in ("mine", "other"))
    other.write_bytes(mine.read_bytes())
    assert read(blocks, range(2), "other") == {}


def test_a_file_in_an_older_format_reads_as_absent_and_is_written_over(
    blocks: Blocks, store: Store
) -> None:
    blocks.write("key", [block(position) for position in range(6)])
    blocks.close()
    (file,) = store.folder.glob("??/??/*")
    table = b""
    for position, data in map(block, range(6)):
        checksum = zlib.crc32(data, zlib.crc32(bytes([position]), zlib.crc32(b"key")))
        table += struct.pack("<II", checksum, len(data))
    with file.open("r+b") as changed:
        changed.write(table.ljust(HEAD, b"\0"))
    assert read(blocks, range(BLOCKS)) == {}
    blocks.write("key", [block(position) for position in range(6)])
    assert list(read(blocks, range(BLOCKS))) == [0, 1, 2, 3, 4, 5]


def test_two_mounts_share_a_folder_and_see_each_others_blocks(tmp_path: Path) -> None:
    stores = [Store(tmp_path, LIMIT), Store(tmp_path, LIMIT)]
    mine, other = (Blocks(store) for store in stores)
    mine.write("key", [block(0)])
    assert list(read(other, range(2))) == [0]
    other.write("key", [block(1)])
    assert list(read(mine, range(2))) == [0, 1]
    stores[0].clear()
    assert read(other, range(2)) == {}
    for blocks, store in zip((mine, other), stores, strict=True):
        blocks.close()
        store.close()


def test_the_limit_is_kept_while_blocks_are_written_by_several_mounts(tmp_path: Path) -> None:
    limit = 16 * MIB
    stores = [Store(tmp_path, limit), Store(tmp_path, limit)]

    def fill(number: int) -> None:
        blocks = Blocks(stores[number % 2])
        for part in range(12):
            key = f"{number}/{part}"
            for position in range(0, BLOCKS, 8):
                blocks.write(key, [block(at) for at in range(position, position + 8)])
                assert stores[number % 2].volume() <= limit
            assert set(read(blocks, range(BLOCKS), key)) <= set(range(BLOCKS))
        blocks.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(fill, range(4)))
    assert limit // 2 < taken(tmp_path) <= limit
    for store in stores:
        store.close()


def test_what_is_read_stays_and_what_is_not_goes(tmp_path: Path) -> None:
    store = Store(tmp_path, 32 * MIB)
    blocks = Blocks(store)
    everything = [block(position) for position in range(BLOCKS)]
    blocks.write("used", everything)
    for number in range(20):
        blocks.write(f"key {number}", everything)
        assert taken(tmp_path) <= 32 * MIB
        assert len(read(blocks, range(BLOCKS), "used")) == BLOCKS
    assert read(blocks, range(BLOCKS), "key 0") == {}
    blocks.close()
    store.close()


def test_few_files_are_open_and_none_that_was_evicted(tmp_path: Path) -> None:
    store = Store(tmp_path, 8 * MIB)
    blocks = Blocks(store)
    for number in range(2 * OPEN_FILES):
        blocks.write(f"key {number}", [block(0)])
    assert len(blocks._open) <= OPEN_FILES
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # that of the folder itself
            name = str(link.readlink())
            assert str(tmp_path) not in name or "(deleted)" not in name
    blocks.close("key")
    assert not blocks._open
    store.close()


def test_a_full_disk_keeps_what_fits_and_fails_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tiny_disk(tmp_path / "disk", 8 * MIB) as disk:
        store = Store(disk / "store", LIMIT)
        blocks = Blocks(store)
        for part in range(4):
            for position in range(BLOCKS):
                blocks.write(f"part {part}", [block(position)])
                read(blocks, range(BLOCKS), f"part {part}")
        blocks.close()
        store.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


WRITER = """
import sys
from pathlib import Path
from ndicloudfs.cache.blockfile import BLOCK, BLOCKS
from ndicloudfs.cache.blocks import Blocks
from ndicloudfs.cache.store import Store
blocks = Blocks(Store(Path(sys.argv[1]), 1 << 30))
source = memoryview(Path(sys.argv[2]).read_bytes())
for number in range(10**6):
    position = number % BLOCKS
    data = source[position * BLOCK : (position + 1) * BLOCK]
    blocks.write(f"part {number // BLOCKS}", [(position, data)])
    print(number, flush=True)
"""


def test_what_was_written_survives_kill_9_and_is_right(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(SOURCE)
    arguments = [sys.executable, "-c", WRITER, str(tmp_path / "store"), str(tmp_path / "source")]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last = [int(process.stdout.readline()) for _ in range(100)][-1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    store = Store(tmp_path / "store", 1 << 30)
    blocks = Blocks(store)
    for part in range((last + 1) // BLOCKS):
        assert len(read(blocks, range(BLOCKS), f"part {part}")) == BLOCKS
    assert store.verify().dropped == 0
    blocks.close()
    store.close()


steps = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 3), st.sets(st.integers(0, BLOCKS - 1), max_size=9)),
    st.tuples(st.just("read"), st.integers(0, 3), st.integers(0, BLOCKS - 1)),
    st.tuples(st.just("flip"), st.integers(0, 1 << 30), st.integers(0, 7)),
    st.tuples(st.just("cut"), st.integers(0, 1 << 30), st.integers(0, 7)),
    st.tuples(st.just("delete"), st.integers(0, 7), st.none()),
    st.tuples(st.just("verify"), st.none(), st.none()),
    st.tuples(st.just("clear"), st.none(), st.none()),
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(steps, min_size=1, max_size=25))
def test_whatever_happens_to_the_files_only_right_blocks_come_back(
    tmp_path_factory: pytest.TempPathFactory, sequence: list[tuple[str, object, object]]
) -> None:
    store = Store(tmp_path_factory.mktemp("blocks"), 10 * MIB)
    both = [Blocks(store), Blocks(store)]
    for number, (what, first, second) in enumerate(sequence):
        blocks = both[number % 2]
        if what == "write" and isinstance(second, set):
            blocks.write(f"part {first}", [block(position) for position in sorted(second)])
        elif what == "read" and isinstance(second, int):
            read(blocks, range(second, min(second + 9, BLOCKS)), f"part {first}")
        elif what == "verify":
            store.verify()
        elif what == "clear":
            store.clear()
        else:
            harm(store.folder, what, first, second)
        assert store.volume() <= 10 * MIB
    for blocks in both:
        blocks.close()
    store.close()


def harm(folder: Path, what: str, place: object, which: object) -> None:
    """Do something to one of the files that no program does on purpose."""
    files = sorted(folder.glob("??/??/*"))
    number = place if what == "delete" else which
    if not files or not isinstance(number, int) or not isinstance(place, int):
        return
    file = files[number % len(files)]
    size = file.stat().st_size
    if what == "delete":
        file.unlink()
    elif what == "cut":
        os.truncate(file, place % (size + 1))
    elif size:
        flip(file, place % size)
