"""Bodies on a whole NDI Cloud that leaves out, hollows out, deletes and fails."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from ndicloudfs.cache.bodies import HollowBody
from ndicloudfs.cache.claims import BATCHES_AHEAD, FIRST_BATCH, LARGEST_BATCH
from ndicloudfs.cache.local import CacheOptions, LocalCache
from ndicloudfs.cache.store import Store
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import BadAnswer, NotFound, ServerFault, Unreachable
from tests.cache.test_store import in_an_older_format
from tests.sandbox.raw import Api, Json, body, login
from tests.support.sandbox import Sandbox
from tests.support.system import until

FETCH = "POST /datasets/{id}/documents/bulk-fetch"
COUNT = 450  # more than two batches


@dataclass
class Lab:
    """A dataset with documents of one class, which the cache has listed."""

    sandbox: Sandbox
    api: Api
    dataset: str
    ids: list[str]
    cache: LocalCache

    def read(self, number: int) -> Json:
        shown: Json = json.loads(self.cache.bodies.read(self.dataset, self.ids[number]))
        return shown

    def listed(self) -> list[str]:
        return [row.id for row in self.cache.catalog.documents(self.dataset, "subject")]


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Iterator[Lab]:
    config = CloudConfig(sandbox.url, sandbox.email, sandbox.password, read_timeout=10.0)
    with login(sandbox) as api, NdiCloud(config, sleep=lambda _: None) as cloud:
        dataset = api.dataset(sandbox.organization_id)
        ids = sandbox.plant(dataset, documents=[{"body": body(n)} for n in range(COUNT)])
        cache = LocalCache(cloud, CacheOptions(tmp_path / "cache", 1 << 30))
        lab = Lab(sandbox, api, dataset, ids, cache)
        assert lab.listed() == ids
        yield lab
        lab.cache.close()


def test_a_look_at_every_document_is_a_call_per_batch(lab: Lab) -> None:
    assert [lab.read(number) for number in range(COUNT)] == [body(n) for n in range(COUNT)]
    assert lab.sandbox.count(FETCH) == 1 + -(-(COUNT - FIRST_BATCH) // LARGEST_BATCH)


def test_a_walk_through_a_class_fetches_batches_ahead_of_itself(lab: Lab) -> None:
    dataset = lab.api.dataset(lab.sandbox.organization_id)
    lab.sandbox.plant(dataset, documents=[{"body": body(n)} for n in range(3600)])
    rows = [row.id for row in lab.cache.catalog.documents(dataset, "subject")]
    lab.sandbox.clear_log()
    for row in rows[: FIRST_BATCH + 1]:
        lab.cache.bodies.described(dataset, row)
    until(lambda: lab.sandbox.count(FETCH) == 1 + 1 + BATCHES_AHEAD)
    for row in rows:
        lab.cache.bodies.described(dataset, row)
    assert lab.sandbox.count(FETCH) == 1 + 3500 // LARGEST_BATCH


def test_a_reader_in_any_order_finds_batches_fetched_ahead(lab: Lab) -> None:
    dataset = lab.api.dataset(lab.sandbox.organization_id)
    lab.sandbox.plant(dataset, documents=[{"body": body(n)} for n in range(4000)])
    rows = [row.id for row in lab.cache.catalog.documents(dataset, "subject")]
    lab.sandbox.clear_log()
    random.Random(1).shuffle(rows)
    for row in rows:
        assert lab.cache.bodies.described(dataset, row).size
    assert lab.sandbox.count(FETCH) <= 1 + 4000 // LARGEST_BATCH + BATCHES_AHEAD


def test_two_looks_at_a_class_fetch_nothing_ahead(lab: Lab) -> None:
    for number in (3, 300):
        lab.cache.bodies.described(lab.dataset, lab.ids[number])
    assert lab.sandbox.count(FETCH) == 2
    lab.cache.bodies.close()
    assert lab.sandbox.count(FETCH) == 2


def test_many_threads_fetch_each_body_once(lab: Lab) -> None:
    with ThreadPoolExecutor(16) as pool:
        numbers = [*range(COUNT), *reversed(range(COUNT))]
        for number, shown in zip(numbers, pool.map(lab.read, numbers), strict=True):
            assert shown == body(number)
    sizes = Counter(entry["request_bytes"] for entry in lab.sandbox.log(FETCH))
    assert sum(size * calls for size, calls in sizes.items()) < 1.1 * COUNT * len('"", ' + "0" * 24)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "omit", "documents": 7},
        {"kind": "omit", "documents": 500},
        {"kind": "hollow"},
        {"kind": "garbage"},
        {"kind": "truncate"},
        {"kind": "drop"},
        {"kind": "status", "status": 502},
    ],
    ids=lambda fault: f"{fault['kind']}{fault.get('documents', '')}",
)
def test_a_bulk_fetch_that_fails_once_is_made_again(lab: Lab, fault: Json) -> None:
    lab.sandbox.fault(FETCH, **fault)
    assert [lab.read(number) for number in range(FIRST_BATCH)] == [
        body(n) for n in range(FIRST_BATCH)
    ]
    assert lab.sandbox.count(FETCH) == 2
    assert lab.listed() == lab.ids


def test_documents_that_are_always_left_out_are_gone_and_no_others(lab: Lab) -> None:
    lab.sandbox.fault(FETCH, "omit", count=-1, documents=7)
    assert lab.read(0) == body(0)
    with pytest.raises(NotFound, match="not in dataset"):
        lab.read(FIRST_BATCH - 1)
    lab.sandbox.clear_faults()
    assert lab.read(FIRST_BATCH) == body(FIRST_BATCH)


def test_a_deleted_document_is_gone_and_the_rest_goes_on(lab: Lab) -> None:
    lab.api.delete(f"/datasets/{lab.dataset}/documents/{lab.ids[3]}").raise_for_status()
    with pytest.raises(NotFound):
        lab.read(3)
    assert lab.listed() == [id_ for id_ in lab.ids if id_ != lab.ids[3]]
    assert [lab.read(number) for number in (2, 4)] == [body(2), body(4)]


def hollow_row(lab: Lab) -> str:
    """A document that the server lists with an ndi id and sends without content."""
    summary = {"ndiId": "41269430c7ae0003_0000000000000000", "className": "subject"}
    hollow = {"body": {"document_class": {"class_name": "subject"}}, "summary": summary}
    (document_id,) = lab.sandbox.plant(lab.dataset, documents=[hollow])
    return document_id


def test_a_document_that_is_always_hollow_is_an_error_of_its_own(
    lab: Lab,
) -> None:
    document_id = hollow_row(lab)
    for _ in range(2):
        with pytest.raises(HollowBody, match=f"{document_id} without its content"):
            lab.cache.bodies.read(lab.dataset, document_id)
    assert lab.read(3) == body(3)
    assert lab.read(4) == body(4)


def test_one_hollow_document_does_not_hide_the_files_of_others(
    sandbox: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = CloudConfig(sandbox.url, sandbox.email, sandbox.password)
    with login(sandbox) as api, NdiCloud(config, sleep=lambda _: None) as cloud:
        dataset = api.dataset(sandbox.organization_id)
        files = {"file_info": [{"name": "a.bin", "locations": [{"uid": "u"}]}]}
        sandbox.plant(dataset, documents=[{"body": body(n, files=files)} for n in (1, 5)])
        cache = LocalCache(cloud, CacheOptions(tmp_path / "cache", 1 << 30))
        hollow = hollow_row(Lab(sandbox, api, dataset, [], cache))
        cache.bodies.describe_class(dataset, "subject")
        rows = list(cache.catalog.documents(dataset, "subject"))
        assert [row.has_files for row in rows] == [True, None, True]
        assert hollow in caplog.text
        assert sandbox.count(FETCH) <= 4
        cache.close()


def test_a_body_in_an_older_format_is_fetched_again(lab: Lab) -> None:
    assert lab.read(0) == body(0)
    lab.cache.close()
    folder = lab.cache.folder
    with closing(Store(folder)) as store:
        for key, _ in store._cache.entries():
            store._cache._cache.set(key, in_an_older_format(key, b"{}"))
        assert store.counts() == (FIRST_BATCH, 0)
    lab.cache = LocalCache(lab.cache.cloud, CacheOptions(folder.parent, 1 << 30))
    lab.sandbox.clear_log()
    for number in range(FIRST_BATCH):
        assert lab.read(number) == body(number)
    assert lab.sandbox.count(FETCH) >= 1


def test_an_answer_that_is_too_large_is_asked_for_in_parts(lab: Lab) -> None:
    lab.sandbox.set(answer_limit=20_000)
    assert [lab.read(number) for number in range(COUNT)] == [body(n) for n in range(COUNT)]
    lab.ids.append(lab.api.document(lab.dataset, body(COUNT)))
    lab.sandbox.set(answer_limit=100)
    with pytest.raises(ServerFault):
        lab.read(COUNT)
    lab.sandbox.set(answer_limit=0)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ({"kind": "garbage"}, BadAnswer),
        ({"kind": "truncate"}, BadAnswer),
        ({"kind": "status", "status": 500}, ServerFault),
        ({"kind": "drop"}, Unreachable),
    ],
)
def test_a_bulk_fetch_that_always_fails_is_an_error_and_leaves_the_rest(
    lab: Lab, fault: Json, error: type[Exception]
) -> None:
    assert lab.read(0) == body(0)
    lab.sandbox.fault(FETCH, count=-1, **fault)
    with pytest.raises(error):
        lab.read(FIRST_BATCH)
    assert lab.read(1) == body(1)
    assert lab.listed() == lab.ids
    lab.sandbox.clear_faults()
    if error is not Unreachable:  # then the server counts as away for a moment
        assert lab.read(FIRST_BATCH) == body(FIRST_BATCH)


def test_damaged_bodies_are_fetched_again(lab: Lab, tmp_path: Path) -> None:
    big = {"note": "x" * 100_000}  # large enough for a file of its own
    document_id = lab.api.document(lab.dataset, body(COUNT, **big))
    data = lab.cache.bodies.read(lab.dataset, document_id)
    (file,) = (tmp_path / "cache").rglob("*.val")
    file.write_bytes(file.read_bytes().replace(b"xxx", b"yyy"))
    assert lab.cache.bodies.read(lab.dataset, document_id) == data
