"""Objects on a whole NDI Cloud: few requests, and never other bytes than the source's."""

from __future__ import annotations

import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from ndicloudfs.cache.blockfile import BLOCK
from ndicloudfs.cache.fetching import MIB
from ndicloudfs.cache.leases import MISSING_FOR
from ndicloudfs.cache.local import CacheOptions, LocalCache
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import (
    BadAnswer,
    NotFound,
    ObjectMissing,
    ServerFault,
    SizeChanged,
    TimedOut,
    Unreachable,
    UrlExpired,
)
from tests.sandbox.raw import Api, Json, file_body, login, upload
from tests.support.mounting import account_of
from tests.support.sandbox import Sandbox

KIB = 1 << 10
OBJECTS = "GET /objects"
FILE_DETAIL = "GET /datasets/{id}/files/{uid}/detail"
DETAIL = "GET /datasets/{id}"
SMALL = os.urandom(5000)
LARGE = os.urandom(4 * MIB + 12_345)


class Clock:
    """A clock that a test puts forward."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._start = 1_790_000_000.0

    def __call__(self) -> float:
        return self._start + self.ahead


@dataclass
class Lab:
    """A dataset with a small and a large object, and the cache of somebody who reads them."""

    sandbox: Sandbox
    api: Api
    dataset: str
    cache: LocalCache
    clock: Clock

    def read(self, uid: str) -> bytes:
        """All of an object, as a program reads it: 128 KiB at a time."""
        reader = self.cache.objects.open(self.dataset, uid)
        return b"".join(reader.read(at, 128 * KIB) for at in range(0, reader.size, 128 * KIB))

    def ranges(self) -> list[tuple[int, int]]:
        """First and last byte of what was asked of the object store."""
        found = (re.fullmatch(r"bytes=(\d+)-(\d+)", str(e["range"])) for e in self.requests())
        return [(int(match[1]), int(match[2])) for match in found if match]

    def requests(self) -> list[Json]:
        return self.sandbox.log(OBJECTS)

    def bytes_fetched(self) -> int:
        return sum(entry["response_bytes"] for entry in self.requests())


@contextmanager
def open_cache(
    sandbox: Sandbox, folder: Path, clock: Clock, **settings: float
) -> Iterator[LocalCache]:
    account = account_of(sandbox)
    config = CloudConfig(
        account["NDI_CLOUD_URL"],
        account["NDI_CLOUD_USERNAME"],
        account["NDI_CLOUD_PASSWORD"],
        **settings,  # type: ignore[arg-type]
    )
    with NdiCloud(config, sleep=lambda _: None) as cloud:
        cache = LocalCache(cloud, CacheOptions(folder, 1 << 30), clock)
        yield cache
        cache.close()


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Iterator[Lab]:
    clock = Clock()
    with (
        login(sandbox) as api,
        open_cache(sandbox, tmp_path / "cache", clock, read_timeout=10.0) as cache,
    ):
        dataset = api.dataset(sandbox.organization_id)
        upload(sandbox, api, dataset, "small", SMALL)
        upload(sandbox, api, dataset, "large", LARGE)
        sandbox.clear_log()
        yield Lab(sandbox, api, dataset, cache, clock)


def test_a_whole_object_comes_in_few_requests_and_not_twice(lab: Lab) -> None:
    assert lab.read("large") == LARGE
    assert len(lab.requests()) <= 8
    assert lab.bytes_fetched() <= 1.2 * len(LARGE)
    lab.sandbox.clear_log()
    assert lab.read("large") == LARGE
    assert lab.sandbox.log() == []


def test_random_reads_fetch_a_block_each(lab: Lab) -> None:
    source = os.urandom(16 * MIB)
    upload(lab.sandbox, lab.api, lab.dataset, "huge", source)
    reader = lab.cache.objects.open(lab.dataset, "huge")
    lab.sandbox.clear_log()
    places = random.Random(1).sample(range(0, len(source), 4 * KIB), 100)
    for place in places:
        assert reader.read(place, 4 * KIB) == source[place : place + 4 * KIB]
    assert lab.bytes_fetched() <= len(places) * BLOCK


def test_many_threads_fetch_each_block_once(lab: Lab) -> None:
    def read_backwards_or_forwards(number: int) -> bytes:
        reader = lab.cache.objects.open(lab.dataset, "large")
        places = range(0, reader.size, BLOCK)
        parts = {at: reader.read(at, BLOCK) for at in (places, places[::-1])[number % 2]}
        return b"".join(parts[at] for at in places)

    with ThreadPoolExecutor(16) as pool:
        for data in pool.map(read_backwards_or_forwards, range(32)):
            assert data == LARGE
    fetched = Counter(
        block for first, last in lab.ranges() for block in range(first // BLOCK, last // BLOCK + 1)
    )
    assert set(fetched) == set(range(-(-len(LARGE) // BLOCK)))
    assert set(fetched.values()) == {1}
    assert lab.sandbox.count(FILE_DETAIL) == 1


def test_an_object_without_bytes_is_an_empty_file(lab: Lab) -> None:
    upload(lab.sandbox, lab.api, lab.dataset, "empty", b"")
    assert lab.cache.objects.size(lab.dataset, "empty") == 0
    assert lab.read("empty") == b""


def test_reads_beyond_the_end_give_nothing(lab: Lab) -> None:
    reader = lab.cache.objects.open(lab.dataset, "small")
    assert reader.read(len(SMALL), 10) == b""
    assert reader.read(len(SMALL) + BLOCK, 10) == b""
    assert reader.read(len(SMALL) - 3, 10) == SMALL[-3:]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "no_range"},
        {"kind": "short", "bytes": 10},
        {"kind": "truncate", "bytes": 10},
        {"kind": "drop"},
        {"kind": "garbage"},
        {"kind": "status", "status": 503, "body": "<Error><Code>SlowDown</Code></Error>"},
        {"kind": "status", "status": 403, "body": "<Error><Code>AccessDenied</Code></Error>"},
    ],
    ids=lambda fault: str(fault["kind"]) + str(fault.get("status", "")),
)
def test_a_bad_object_store_gives_the_right_bytes_or_none(lab: Lab, fault: Json) -> None:
    lab.sandbox.fault(OBJECTS, skip=1, count=1, **fault)
    assert lab.read("large") == LARGE
    upload(lab.sandbox, lab.api, lab.dataset, "other", LARGE)
    reader = lab.cache.objects.open(lab.dataset, "other")
    lab.sandbox.fault(OBJECTS, count=-1, **fault)
    with pytest.raises((BadAnswer, ServerFault, Unreachable, UrlExpired)) as raised:
        reader.read(2 * MIB, 10)
    assert "X-Amz" not in str(raised.value)
    lab.sandbox.clear_faults()
    if isinstance(raised.value, Unreachable):
        return  # the store counts as away for a moment
    assert reader.read(2 * MIB, 10) == LARGE[2 * MIB :][:10]


def test_an_object_store_that_is_away_leaves_the_rest_as_it_is(lab: Lab) -> None:
    lab.sandbox.fault(OBJECTS, "drop", count=-1)
    with pytest.raises(Unreachable, match="object store"):
        lab.read("small")
    assert lab.cache.catalog.organizations().items
    assert lab.cache.catalog.fields(lab.dataset)["_id"] == lab.dataset
    assert lab.cache.outage is not None


def test_an_object_store_that_hangs_is_given_up(lab: Lab, tmp_path: Path) -> None:
    with open_cache(
        lab.sandbox, tmp_path / "other", lab.clock, read_timeout=0.3, budget=1.0
    ) as cache:
        assert cache.objects.size(lab.dataset, "small") == len(SMALL)
        lab.sandbox.fault(OBJECTS, "hang", count=-1)
        with pytest.raises(TimedOut):
            cache.objects.open(lab.dataset, "small")
        lab.sandbox.clear_faults()


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken"])
def test_a_url_that_expires_while_a_file_is_read_is_renewed(lab: Lab, code: str) -> None:
    lab.sandbox.set(expired_url=code)
    reader = lab.cache.objects.open(lab.dataset, "large")
    lab.sandbox.expire(urls=True)
    assert reader.read(MIB, 1000) == LARGE[MIB:][:1000]
    assert lab.sandbox.count(FILE_DETAIL) == 2


def test_a_url_is_not_used_beyond_its_life(lab: Lab) -> None:
    reader = lab.cache.objects.open(lab.dataset, "large")
    lab.clock.ahead += 3600.0
    assert reader.read(MIB, 1000) == LARGE[MIB:][:1000]
    assert lab.sandbox.count(FILE_DETAIL) == 2


def describe_large(lab: Lab) -> None:
    """Fetch a document that names the large object."""
    (document,) = lab.sandbox.plant(lab.dataset, documents=[{"body": file_body(1, "large")}])
    lab.cache.bodies.described(lab.dataset, document)


def test_a_file_whose_document_has_just_come_is_read_without_asking_where_it_is(lab: Lab) -> None:
    describe_large(lab)
    assert lab.read("large") == LARGE
    assert lab.sandbox.count(FILE_DETAIL) == 0


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken"])
def test_a_url_that_came_with_a_document_and_expired_is_renewed(lab: Lab, code: str) -> None:
    describe_large(lab)
    lab.sandbox.set(expired_url=code)
    lab.sandbox.expire(urls=True)
    assert lab.read("large") == LARGE
    assert lab.sandbox.count(FILE_DETAIL) == 1


def test_a_url_that_came_with_a_document_is_not_used_beyond_its_life(lab: Lab) -> None:
    describe_large(lab)
    lab.clock.ahead += 3600.0
    assert lab.read("large") == LARGE
    assert lab.sandbox.count(FILE_DETAIL) == 1


def never_uploaded(lab: Lab) -> None:
    """Nothing at all: file detail is a 404."""


def registered_without_url(lab: Lab) -> None:
    lab.sandbox.plant(lab.dataset, files=[{"uid": "ghost", "uploaded": False, "size": 7}])


def on_its_way(lab: Lab) -> None:
    upload(lab.sandbox, lab.api, lab.dataset, "ghost", SMALL)
    lab.sandbox.plant(lab.dataset, files=[{"uid": "ghost", "uploaded": False}])
    lab.sandbox.set(file_detail_url=False)


@pytest.mark.parametrize("state", [never_uploaded, registered_without_url, on_its_way])
def test_an_object_that_is_not_there_is_missing_and_noted_once(
    lab: Lab, state: Callable[[Lab], None], caplog: pytest.LogCaptureFixture
) -> None:
    state(lab)
    for _ in range(3):
        with pytest.raises(ObjectMissing):
            lab.cache.objects.size(lab.dataset, "ghost")
        with pytest.raises(ObjectMissing):
            lab.cache.objects.open(lab.dataset, "ghost")
        lab.clock.ahead += MISSING_FOR + 1
    (line,) = caplog.messages
    assert "File ghost" in line
    assert "never uploaded" in line
    lab.sandbox.set(file_detail_url=True)
    upload(lab.sandbox, lab.api, lab.dataset, "ghost", SMALL)
    assert lab.read("ghost") == SMALL


def test_bytes_that_are_gone_from_the_store_are_missing(lab: Lab) -> None:
    lab.sandbox.plant(lab.dataset, remove_objects=["small"])
    with pytest.raises(ObjectMissing):
        lab.cache.objects.open(lab.dataset, "small")
    with pytest.raises(ObjectMissing):
        lab.cache.objects.size(lab.dataset, "small")


@pytest.mark.parametrize("size", [0, 10, len(SMALL) + 1, 10 * MIB])
def test_a_size_that_is_stated_wrongly_is_right_after_the_first_open(lab: Lab, size: int) -> None:
    lab.sandbox.plant(lab.dataset, files=[{"uid": "small", "uploaded": True, "size": size}])
    lab.cache.catalog.fetch_detail(lab.dataset)
    assert lab.cache.objects.size(lab.dataset, "small") == size
    with pytest.raises(SizeChanged):
        lab.cache.objects.open(lab.dataset, "small")
    assert lab.cache.objects.size(lab.dataset, "small") == len(SMALL)
    assert lab.read("small") == SMALL
    lab.cache.catalog._fetch_detail(lab.dataset)
    assert lab.cache.objects.size(lab.dataset, "small") == len(SMALL)


@pytest.mark.parametrize("entry", [{"uid": "small"}, {"uid": "small", "size": "many"}, "small"])
def test_a_size_that_nobody_states_is_that_of_the_object(lab: Lab, entry: object) -> None:
    lab.sandbox.set(file_detail_size=False)
    lab.sandbox.plant(lab.dataset, files=[entry])
    for _ in range(4):
        assert lab.cache.objects.size(lab.dataset, "small") == len(SMALL)
    assert lab.read("small") == SMALL


def test_an_object_that_changed_under_its_uid_is_an_error_and_no_mixture(lab: Lab) -> None:
    reader = lab.cache.objects.open(lab.dataset, "large")
    assert reader.read(0, 10) == LARGE[:10]
    upload(lab.sandbox, lab.api, lab.dataset, "large", SMALL)
    with pytest.raises(SizeChanged, match="has 5000 bytes now"):
        reader.read(4 * MIB, 10)
    assert lab.read("large") == SMALL


def test_a_list_of_sizes_that_fails_is_not_asked_for_again_with_every_file(lab: Lab) -> None:
    for number in range(10):
        upload(lab.sandbox, lab.api, lab.dataset, f"uid {number}", SMALL)
    lab.sandbox.clear_log()
    lab.sandbox.fault(DETAIL, "status", count=-1, status=504)
    for number in range(10):
        assert lab.cache.objects.size(lab.dataset, f"uid {number}") == len(SMALL)
    assert lab.sandbox.count(DETAIL) == 4  # once, and three times tried again
    assert lab.sandbox.count(FILE_DETAIL) == 10


def read_and_keep(lab: Lab, folder: Path) -> None:
    """Read the large object; a reader has it before the disk, but a cache that ends does not."""
    with open_cache(lab.sandbox, folder, lab.clock) as lab.cache:
        assert lab.read("large") == LARGE


def test_damaged_blocks_are_fetched_again(lab: Lab, tmp_path: Path) -> None:
    read_and_keep(lab, tmp_path / "cache")
    for file in (tmp_path / "cache").rglob("*.val"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    with open_cache(lab.sandbox, tmp_path / "cache", lab.clock) as cache:
        lab.cache = cache
        assert lab.read("large") == LARGE


def test_lost_block_files_are_fetched_again(lab: Lab, tmp_path: Path) -> None:
    read_and_keep(lab, tmp_path / "cache")
    for file in (tmp_path / "cache").rglob("*.val"):
        file.unlink()
    with open_cache(lab.sandbox, tmp_path / "cache", lab.clock) as cache:
        lab.cache = cache
        assert lab.read("large") == LARGE


def test_objects_are_read_from_the_cache_while_the_server_is_away(lab: Lab, tmp_path: Path) -> None:
    read_and_keep(lab, tmp_path / "cache")
    lab.sandbox.stop()
    with open_cache(lab.sandbox, tmp_path / "cache", lab.clock) as cache:
        lab.cache = cache
        assert lab.read("large") == LARGE
        with pytest.raises(Unreachable):
            lab.read("small")


def test_a_uid_that_no_path_can_hold_is_missing(lab: Lab) -> None:
    for uid in ("", ".", ".."):
        with pytest.raises((ObjectMissing, NotFound)):
            lab.cache.objects.size(lab.dataset, uid)


@pytest.mark.parametrize("size", [len(SMALL), 1])
def test_another_thing_than_the_object_is_not_taken_for_it(lab: Lab, size: int) -> None:
    lab.sandbox.plant(lab.dataset, files=[{"uid": "small", "size": size, "uploaded": True}])
    assert lab.cache.objects.size(lab.dataset, "small") == size
    lab.sandbox.fault(OBJECTS, "garbage")
    with suppress(BadAnswer, SizeChanged):
        assert lab.read("small") == SMALL
    with suppress(SizeChanged):
        assert lab.read("small") == SMALL
    assert lab.read("small") == SMALL
