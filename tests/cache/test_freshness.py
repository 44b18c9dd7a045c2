"""When what is remembered is believed, when it is fetched again, and what a bad clock does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cache.upstream import TOO_OLD
from ndicloudfs.cloud.errors import BadAnswer
from ndicloudfs.cloud.values import SummaryPage
from tests.cache.test_objects import Clock, open_cache
from tests.sandbox.raw import Api, Json, login
from tests.support.sandbox import Sandbox
from tests.support.system import until

LIST = "GET /datasets/{id}/documents"
DETAIL = "GET /datasets/{id}"
FETCH = "POST /datasets/{id}/documents/bulk-fetch"


def body(number: int, **more: object) -> Json:
    return {
        "base": {"id": f"{number:016x}_40dc5489899dc92a", "name": ""},
        "document_class": {"class_name": "subject"},
        **more,
    }


@dataclass
class Lab:
    """A dataset of 30 documents, and the cache of somebody who reads it."""

    sandbox: Sandbox
    api: Api
    dataset: str
    cache: LocalCache
    clock: Clock

    def ids(self) -> list[str]:
        return [row.id for row in self.cache.catalog.documents(self.dataset, "subject")]

    def count(self, route: str) -> int:
        return self.sandbox.count(route)


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Iterator[Lab]:
    clock = Clock()
    with login(sandbox) as api, open_cache(sandbox, tmp_path / "cache", clock) as cache:
        dataset = api.dataset(sandbox.organization_id)
        for number in range(30):
            api.document(dataset, body(number))
        yield Lab(sandbox, api, dataset, cache, clock)


def test_a_listing_is_believed_for_a_while_then_refreshed_behind_the_reader(lab: Lab) -> None:
    first = lab.ids()
    added = lab.api.document(lab.dataset, body(30))
    lab.clock.ahead = 30
    assert lab.ids() == first
    lab.clock.ahead = 61
    assert lab.ids() == first
    until(lambda: added in lab.ids())


def test_a_listing_of_yesterday_is_refreshed_before_it_is_shown(lab: Lab) -> None:
    lab.ids()
    added = lab.api.document(lab.dataset, body(30))
    lab.clock.ahead = TOO_OLD + 1
    assert added in lab.ids()


def test_a_listing_of_yesterday_is_shown_where_the_server_is_away(lab: Lab) -> None:
    first = lab.ids()
    lab.sandbox.stop()
    lab.clock.ahead = TOO_OLD + 1
    assert lab.ids() == first


@pytest.mark.parametrize("step", [-2.0, -100_000.0])
def test_a_clock_that_is_set_back_loses_nothing(lab: Lab, step: float) -> None:
    assert len(lab.ids()) == 30
    lab.clock.ahead = step
    added = lab.api.document(lab.dataset, body(30))
    assert added in lab.ids()
    assert len(lab.ids()) == 31


def test_a_list_that_is_announced_and_does_not_come_is_an_error_and_deletes_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lab.ids()
    lab.clock.ahead = TOO_OLD + 1
    documents = lab.cache.catalog._up.cloud.documents
    with monkeypatch.context() as patch:
        # No fault of the sandbox says one thing and sends another.
        patch.setattr(documents, "page", lambda *_: SummaryPage((), 0, 30))
        with pytest.raises(BadAnswer, match="announces 30 documents"):
            lab.cache.catalog._documents.fetch_all(lab.dataset)
        assert lab.ids() == first
    assert lab.ids() == first


def test_a_changed_dataset_shows_its_new_metadata_without_waiting_for_itself(lab: Lab) -> None:
    lab.cache.catalog.datasets(lab.sandbox.organization_id)
    assert lab.cache.catalog.fields(lab.dataset)["name"] == "D"
    lab.api.post(f"/datasets/{lab.dataset}", {"name": "E"})
    lab.clock.ahead = TOO_OLD + 1
    lab.cache.catalog.datasets(lab.sandbox.organization_id)
    lab.sandbox.clear_log()
    until(lambda: lab.cache.catalog.fields(lab.dataset)["name"] == "E", 10)
    assert lab.count(DETAIL) == 1


def test_files_that_a_document_gains_are_seen_without_reading_the_document(lab: Lab) -> None:
    (document, *_) = lab.ids()
    assert lab.cache.bodies.files(lab.dataset, document) == []
    files = {"file_info": [{"name": "a.bin", "locations": [{"uid": "u"}]}]}
    lab.api.post(f"/datasets/{lab.dataset}/documents/{document}", body(0, files=files))
    lab.clock.ahead = 61
    until(lambda: len(lab.cache.bodies.files(lab.dataset, document)) == 1)


def test_a_reader_that_outruns_the_server_renews_each_body_once(lab: Lab) -> None:
    ids = lab.ids()
    for document in ids:
        lab.cache.bodies.read(lab.dataset, document)
    lab.clock.ahead = 61
    lab.sandbox.clear_log()
    lab.sandbox.set(api_latency=0.05)
    for _ in range(20):
        for document in ids:
            lab.cache.bodies.read(lab.dataset, document)
    until(lambda: not lab.cache.bodies._renewing)
    assert 1 <= lab.count(FETCH) <= 3


@pytest.mark.parametrize(
    "datestamp", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-02-30T00:00:00Z", "x"]
)
def test_an_odd_date_leaves_its_document_and_the_others_readable(lab: Lab, datestamp: str) -> None:
    odd = body(99)
    odd["base"]["datestamp"] = datestamp
    added = lab.api.document(lab.dataset, odd)
    assert added in lab.ids()
    for document in lab.ids():
        assert lab.cache.bodies.read(lab.dataset, document)
    assert lab.cache.bodies.described(lab.dataset, added).size
