"""Reading ahead: as far as a reader has come, and within limits for all of them together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ndicloudfs.cache.blockfile import BLOCK, BLOCKS
from ndicloudfs.cache.fetching import AHEAD_LIMIT, MIB
from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cache.objects import FIRST
from ndicloudfs.cache.reader import ObjectReader
from ndicloudfs.cloud.errors import CloudError
from tests.cache.test_objects import OBJECTS, Clock, Lab, open_cache
from tests.sandbox.raw import login, upload
from tests.support.sandbox import Sandbox
from tests.support.system import until

SOURCE = os.urandom(24 * MIB + 777)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("reader")
    clock = Clock()
    with (
        Sandbox(folder / "sandbox") as sandbox,
        login(sandbox) as api,
        open_cache(sandbox, folder / "cache", clock) as cache,
    ):
        dataset = api.dataset(sandbox.organization_id)
        upload(sandbox, api, dataset, "source", SOURCE)
        yield Lab(sandbox, api, dataset, cache, clock)


@pytest.fixture
def empty(lab: Lab, tmp_path: Path) -> Iterator[LocalCache]:
    """A cache with nothing in it."""
    with open_cache(lab.sandbox, tmp_path / "cache", lab.clock) as cache:
        yield cache


@pytest.fixture
def fresh(lab: Lab, empty: LocalCache) -> Iterator[ObjectReader]:
    """The object, opened with an empty cache."""
    reader = empty.objects.open(lab.dataset, "source")
    lab.sandbox.clear_log()
    lab.sandbox.clear_faults()
    yield reader
    reader.close()


def in_order(reader: ObjectReader, start: int, stop: int) -> bytes:
    return b"".join(reader.read(at, min(BLOCK, stop - at)) for at in range(start, stop, BLOCK))


def quiet(reader: ObjectReader) -> None:
    """Wait until nothing is under way."""
    until(lambda: not reader._memory.coming)


def test_a_file_read_in_order_comes_in_long_ranges_and_each_byte_once(
    lab: Lab, fresh: ObjectReader
) -> None:
    assert in_order(fresh, 0, len(SOURCE)) == SOURCE
    quiet(fresh)
    assert lab.bytes_fetched() == len(SOURCE) - FIRST  # which came when it was opened
    assert len(lab.requests()) <= len(SOURCE) // (BLOCKS * BLOCK) + 8


def test_a_reader_that_stops_has_fetched_three_times_what_it_read_at_most(
    lab: Lab, fresh: ObjectReader
) -> None:
    start = 8 * MIB
    assert in_order(fresh, start, start + 2 * MIB) == SOURCE[start:][: 2 * MIB]
    quiet(fresh)
    assert lab.bytes_fetched() <= 3 * 2 * MIB + BLOCKS * BLOCK


def test_a_look_at_a_few_places_fetches_their_blocks_alone(lab: Lab, fresh: ObjectReader) -> None:
    for place in (20 * MIB, 3 * MIB, 11 * MIB, 0):
        assert fresh.read(place, 4096) == SOURCE[place : place + 4096]
    quiet(fresh)
    assert lab.bytes_fetched() == 3 * BLOCK


def test_two_readers_in_turns_in_one_file_are_both_read_ahead_of(
    lab: Lab, fresh: ObjectReader
) -> None:
    for step in range(64):
        for start in (0, 12 * MIB):
            at = start + step * BLOCK
            assert fresh.read(at, BLOCK) == SOURCE[at : at + BLOCK]
    quiet(fresh)
    assert len(lab.requests()) <= 24


def test_what_is_fetched_ahead_never_exceeds_its_limit(lab: Lab, fresh: ObjectReader) -> None:
    lab.sandbox.fault(OBJECTS, "hang", count=-1, skip=8)
    fetcher = fresh._fetcher
    for at in range(0, 3 * MIB, BLOCK):
        fresh.read(at, BLOCK)
        assert 0 <= fetcher.ahead <= AHEAD_LIMIT
    lab.sandbox.clear_faults()
    quiet(fresh)
    until(lambda: fetcher.ahead == 0)


def test_a_reader_that_goes_away_takes_back_what_was_not_begun(
    lab: Lab, empty: LocalCache, fresh: ObjectReader
) -> None:
    in_order(fresh, 0, 2 * MIB)
    fresh.close()
    quiet(fresh)
    other = empty.objects.open(lab.dataset, "source")
    assert in_order(other, 0, len(SOURCE)) == SOURCE
    other.close()


def test_what_is_fetched_ahead_is_given_up_when_the_last_reader_goes_away(
    lab: Lab, empty: LocalCache
) -> None:
    lab.sandbox.set(object_bandwidth=4e6)
    reader = empty.objects.open(lab.dataset, "source")
    assert reader.read(0, MIB) == SOURCE[:MIB]
    assert reader.read(MIB, MIB) == SOURCE[MIB : 2 * MIB]
    assert reader._fetcher.ahead > 8 * MIB
    reader.close()
    quiet(reader)
    lab.sandbox.set(object_bandwidth=0)
    assert empty.used() < 6 * MIB
    other = empty.objects.open(lab.dataset, "source")
    assert in_order(other, 0, len(SOURCE)) == SOURCE
    other.close()


def test_a_failure_while_reading_ahead_is_not_the_readers(lab: Lab, fresh: ObjectReader) -> None:
    in_order(fresh, 0, MIB)
    quiet(fresh)
    lab.sandbox.fault(OBJECTS, "status", count=-1, status=500)
    assert fresh.read(MIB, BLOCK) == SOURCE[MIB : MIB + BLOCK]  # at hand: only what is ahead fails
    quiet(fresh)
    lab.sandbox.clear_faults()
    assert in_order(fresh, 0, len(SOURCE)) == SOURCE


reads = st.lists(
    st.tuples(st.integers(0, len(SOURCE) + BLOCK), st.integers(1, 3 * MIB)),
    min_size=1,
    max_size=12,
)
faults = st.sampled_from(["no_range", "short", "truncate", "drop", "garbage", "status", ""])


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example([(0, 1), (3 * BLOCK, 1), (0, 3 * BLOCK + 1)], "no_range", 0)  # pieces that overlap
@given(reads, faults, st.integers(0, 3))
def test_every_byte_equals_the_source_whatever_is_read_and_whatever_fails(
    lab: Lab,
    tmp_path_factory: pytest.TempPathFactory,
    places: list[tuple[int, int]],
    fault: str,
    skip: int,
) -> None:
    lab.sandbox.clear_faults()
    with open_cache(lab.sandbox, tmp_path_factory.mktemp("cache"), lab.clock) as cache:
        reader = cache.objects.open(lab.dataset, "source")
        if fault:
            options = {"status": 503} if fault == "status" else {"bytes": 1000}
            lab.sandbox.fault(OBJECTS, fault, skip=skip, count=2, **options)
        for offset, length in places:
            assert reader.read(offset, length) == SOURCE[offset : offset + length]
        reader.close()
    lab.sandbox.clear_faults()


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(reads, faults, st.sampled_from([1, 3, 8]), st.booleans())
def test_two_mounts_on_one_cache_never_show_a_wrong_byte(
    lab: Lab,
    tmp_path_factory: pytest.TempPathFactory,
    places: list[tuple[int, int]],
    fault: str,
    count: int,
    expire: bool,
) -> None:
    lab.sandbox.clear_faults()
    folder = tmp_path_factory.mktemp("shared")
    with (
        open_cache(lab.sandbox, folder, lab.clock) as first,
        open_cache(lab.sandbox, folder, lab.clock) as second,
    ):
        readers = [cache.objects.open(lab.dataset, "source") for cache in (first, second)]
        if expire:
            lab.sandbox.expire(urls=True)
        if fault:
            options = {"status": 503} if fault == "status" else {"bytes": 1000}
            lab.sandbox.fault(OBJECTS, fault, skip=1, count=count, **options)
        for number, (offset, length) in enumerate(places):
            with suppress(CloudError):  # an error is allowed, another byte is not
                data = readers[number % 2].read(offset, length)
                assert data == SOURCE[offset : offset + length]
        lab.sandbox.clear_faults()
        for reader in readers:
            reader.close()
