"""Which reads of an open file are one reader in order, whatever order the kernel sends them in."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from ndicloudfs.cache.streams import BEHIND, LARGE_READ, Stream, Streams

PLENTY = 8000  # blocks: 1 GB
READS = 100
SEEDS = range(20)


def in_order(first: int, width: int) -> list[range]:
    """Reads of ``width`` blocks, one behind the other."""
    return [range(at, at + width) for at in range(first, first + READS * width, width)]


def overtaking(reads: list[range], chance: random.Random) -> list[range]:
    """The same reads, some of which arrive before those up to ``BEHIND`` places ahead of them."""
    arrival = {read: at + chance.uniform(0, BEHIND + 1) for at, read in enumerate(reads)}
    return sorted(reads, key=arrival.__getitem__)


def followed(streams: Streams, reads: Iterable[range]) -> set[Stream]:
    """The readers that reads are taken for."""
    return {streams.follow(read)[0] for read in reads}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("width", [LARGE_READ, 2 * LARGE_READ])
def test_large_requests_that_overtake_each_other_are_one_reader(width: int, seed: int) -> None:
    reads = overtaking(in_order(800, width), random.Random(seed))
    assert reads != sorted(reads, key=lambda read: read.start)
    (stream,) = followed(Streams(PLENTY), reads)
    assert stream.in_order
    assert stream.next == 800 + READS * width


@pytest.mark.parametrize("seed", SEEDS)
def test_two_readers_far_apart_are_two(seed: int) -> None:
    chance = random.Random(seed)
    streams = Streams(PLENTY)
    readers = [overtaking(in_order(first, LARGE_READ), chance) for first in (800, 4000)]
    met = [set[Stream](), set[Stream]()]
    for reads in zip(*readers, strict=True):  # in turns
        for reader, read in enumerate(reads):
            met[reader] |= followed(streams, [read])
    (one,), (other,) = met
    assert one is not other
    assert one.in_order
    assert other.in_order


def test_what_a_late_request_has_is_not_fetched_ahead_again() -> None:
    streams = Streams(PLENTY)
    first, second, third, *_ = in_order(0, LARGE_READ)
    (stream,) = followed(streams, [first, third])
    ahead = streams.ahead(stream, PLENTY)
    assert ahead[0].start == third.stop
    assert followed(streams, [second]) == {stream}
    assert stream.next == third.stop
    assert all(run.start >= third.stop for run in streams.ahead(stream, PLENTY))


def test_small_requests_here_and_there_are_no_reader_in_order() -> None:
    chance = random.Random(1)
    places = [chance.randrange(PLENTY) for _ in range(READS)]
    streams = Streams(PLENTY)
    assert not any(s.in_order for s in followed(streams, (range(at, at + 1) for at in places)))
