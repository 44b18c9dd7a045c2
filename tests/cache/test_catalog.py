"""Listings of a whole NDI Cloud that pages, counts and answers in odd ways; and of a bad disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from ndicloudfs.cache.local import CacheOptions, LocalCache, index_path
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    NotSignedIn,
    ServerFault,
    TimedOut,
    Unreachable,
)
from tests.sandbox.raw import Api, Json, body, login
from tests.support.sandbox import Sandbox
from tests.support.system import tiny_disk

QUERY = "POST /ndiquery"
COUNTS = "GET /datasets/{id}/document-class-counts"
COUNT = "GET /datasets/{id}/document-count"
LIST = "GET /datasets/{id}/documents"
SUBJECTS, TREATMENTS = 1200, 900
NOTHING: Json = {"kind": "status", "status": 200, "body": {"documents": [], "number_matches": 0}}


@contextmanager
def open_cache(sandbox: Sandbox, folder: Path, **settings: object) -> Iterator[LocalCache]:
    account = {"email": sandbox.email, "password": sandbox.password, "read_timeout": 10.0}
    config = CloudConfig(sandbox.url, **{**account, **settings})  # type: ignore[arg-type]
    with NdiCloud(config, sleep=lambda _: None) as cloud:
        cache = LocalCache(cloud, CacheOptions(folder, 1 << 30))
        try:
            yield cache
        finally:
            cache.close()


@dataclass(frozen=True)
class Lab:
    """A sandbox with a dataset of two classes, more documents than a page takes."""

    sandbox: Sandbox
    dataset: str


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Sandbox(tmp_path_factory.mktemp("lab")) as sandbox, login(sandbox) as api:
        dataset = api.dataset(sandbox.organization_id, name="Many")
        classes = ["subject"] * SUBJECTS + ["treatment"] * TREATMENTS
        sandbox.plant(
            dataset, documents=[{"body": body(n, name)} for n, name in enumerate(classes)]
        )
        api.post(f"/datasets/{dataset}/publish")
        sandbox.idle()
        yield Lab(sandbox, dataset)


@pytest.fixture
def lab(full: Lab) -> Iterator[Lab]:
    full.sandbox.clear_log()
    yield full
    full.sandbox.clear_faults()
    full.sandbox.set(document_list_total=True, document_order="insertion", anonymous_query="empty")


def sizes(cache: LocalCache, dataset: str) -> tuple[int, int]:
    """How many documents are listed of the two classes."""
    subjects, treatments = (
        len({row.id for row in cache.catalog.documents(dataset, name)})
        for name in ("subject", "treatment")
    )
    return subjects, treatments


def nothing(sandbox: Sandbox) -> None:
    pass


def a_query_that_answers_nothing(sandbox: Sandbox) -> None:
    sandbox.fault(QUERY, count=-1, **NOTHING)


def a_list_without_total(sandbox: Sandbox) -> None:
    sandbox.set(document_list_total=False)
    sandbox.fault(QUERY, count=-1, **NOTHING)


def a_list_without_total_or_count(sandbox: Sandbox) -> None:
    a_list_without_total(sandbox)
    sandbox.fault(COUNT, "status", count=-1, status=504)


def a_reversed_list(sandbox: Sandbox) -> None:
    sandbox.set(document_order="reversed")


def class_counts_that_time_out(sandbox: Sandbox) -> None:
    sandbox.fault(COUNTS, "status", count=-1, status=504)


def pages_that_fail_once(sandbox: Sandbox) -> None:
    for route in (LIST, QUERY, COUNTS):
        sandbox.fault(route, "truncate")
        sandbox.fault(route, "garbage", skip=1)


@pytest.mark.parametrize(
    "oddity",
    [
        nothing,
        a_query_that_answers_nothing,
        a_list_without_total,
        a_list_without_total_or_count,
        a_reversed_list,
        class_counts_that_time_out,
        pages_that_fail_once,
    ],
)
@pytest.mark.parametrize("anonymous", [False, True])
def test_every_document_is_listed(
    lab: Lab, tmp_path: Path, oddity: Callable[[Sandbox], None], anonymous: bool
) -> None:
    oddity(lab.sandbox)
    nobody = {"email": "", "password": ""} if anonymous else {}
    with open_cache(lab.sandbox, tmp_path, **nobody) as cache:
        listed = dict(cache.catalog.classes(lab.dataset).items)
        assert listed == {"subject": SUBJECTS, "treatment": TREATMENTS}
        assert sizes(cache, lab.dataset) == (SUBJECTS, TREATMENTS)
        (found,) = cache.catalog.documents_with_ndi_id(
            lab.dataset, "treatment", str(body(SUBJECTS + 7)["base"]["id"])
        )
        assert found.class_name == "treatment"


def test_a_document_is_found_by_its_ndi_id_where_queries_answer_nothing(
    lab: Lab, tmp_path: Path
) -> None:
    a_query_that_answers_nothing(lab.sandbox)
    with open_cache(lab.sandbox, tmp_path) as cache:
        ndi_id = str(body(3)["base"]["id"])
        assert len(cache.catalog.documents_with_ndi_id(lab.dataset, "subject", ndi_id)) == 1
        assert cache.catalog.documents_with_ndi_id(lab.dataset, "treatment", ndi_id) == []


FAULTS = [
    ({"kind": "garbage"}, BadAnswer),
    ({"kind": "truncate", "bytes": 5}, BadAnswer),
    ({"kind": "status", "status": 500}, ServerFault),
    ({"kind": "status", "status": 200, "body": {"message": "ok"}}, BadAnswer),
    ({"kind": "status", "status": 200, "body": "<html>maintenance</html>"}, BadAnswer),
    ({"kind": "status", "status": 200, "body": {"documents": 5, "datasets": 5}}, BadAnswer),
    ({"kind": "status", "status": 401, "body": {"errors": "Unauthorized"}}, NotSignedIn),
    ({"kind": "drop"}, Unreachable),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.parametrize("route", ["datasets", "documents", "detail", "user"])
def test_a_read_that_always_fails_is_an_error_and_nothing_is_believed(
    lab: Lab, tmp_path: Path, route: str, fault: Json, error: type[CloudError]
) -> None:
    with open_cache(lab.sandbox, tmp_path) as cache:
        catalog = cache.catalog
        routes: dict[str, tuple[str, Callable[[], object]]] = {
            "datasets": (
                "GET /organizations/{orgId}/datasets",
                lambda: catalog.datasets(lab.sandbox.organization_id).items,
            ),
            "documents": (LIST, lambda: sizes(cache, lab.dataset)),
            "detail": ("GET /datasets/{id}", lambda: catalog.fields(lab.dataset)),
            "user": ("GET /users/me", lambda: catalog.organizations().items),
        }
        template, ask = routes[route]
        catalog.published()
        lab.sandbox.fault(template, count=-1, **fault)
        lab.sandbox.fault(QUERY, count=-1, **NOTHING)
        with pytest.raises(error) as raised:
            ask()
        assert str(raised.value)
        assert lab.sandbox.password not in str(raised.value)
        assert [row.name for row in catalog.published().items] == ["Many"]
        lab.sandbox.clear_faults()
        if error is not Unreachable:  # then the server counts as away for a moment
            assert ask()


def test_a_server_that_hangs_is_given_up(lab: Lab, tmp_path: Path) -> None:
    with open_cache(lab.sandbox, tmp_path, read_timeout=0.1, budget=0.4) as cache:
        assert cache.catalog.organizations().items
        lab.sandbox.fault(COUNTS, "hang", count=-1)
        with pytest.raises(TimedOut, match="did not answer"):
            cache.catalog.classes(lab.dataset)
        assert cache.catalog.published().items
        lab.sandbox.clear_faults()
        assert cache.catalog.classes(lab.dataset).items


def test_what_was_deleted_on_the_server_goes_with_the_next_listing(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    with login(sandbox) as api:
        dataset = api.dataset(sandbox.organization_id)
        ids = [api.document(dataset, body(number)) for number in range(3)]
        with open_cache(sandbox, tmp_path / "cache") as cache:
            assert [row.id for row in cache.catalog.documents(dataset, "subject")] == ids
        api.delete(f"/datasets/{dataset}/documents/{ids[1]}").raise_for_status()
        with open_cache(sandbox, tmp_path / "other cache") as cache:
            found = [row.id for row in cache.catalog.documents(dataset, "subject")]
            assert found == [ids[0], ids[2]]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_dataset_that_may_not_be_seen_is_not_there(
    sandbox: Sandbox, tmp_path: Path, status: int
) -> None:
    sandbox.set(private_status=status)
    sandbox.add_user("other@example.org", "Passw0rd!")
    with login(sandbox) as api:
        draft = api.dataset(sandbox.organization_id)
    for account in ({"email": "other@example.org", "password": "Passw0rd!"}, {"email": ""}):
        nobody = {"password": ""} if not account["email"] else {}
        with open_cache(sandbox, tmp_path / account["email"], **account, **nobody) as cache:
            assert cache.catalog.dataset(draft) is None


def test_the_end_of_a_token_is_no_absence(sandbox: Sandbox, tmp_path: Path) -> None:
    with login(sandbox) as api:
        draft = api.dataset(sandbox.organization_id)
        with open_cache(sandbox, tmp_path, email="", password="", token=api.token) as cache:
            assert cache.catalog.organizations().items
            sandbox.expire(tokens=True)
            with pytest.raises(NotSignedIn, match="NDI_CLOUD_TOKEN"):
                cache.catalog.dataset(draft)


def test_accounts_that_share_a_cache_folder_share_no_names(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.add_user("other@example.org", "Passw0rd!", "Other Lab")
    seen = set()
    with login(sandbox) as mine, login(sandbox, "other@example.org") as other:
        for account in (
            {},
            {"email": "other@example.org", "password": "Passw0rd!"},
            {"email": "", "password": "", "token": without_email(mine)},
            {"email": "", "password": "", "token": without_email(other)},
        ):
            with open_cache(sandbox, tmp_path, **account) as cache:
                seen.add(index_path(tmp_path, cache.host, cache.account))
    assert len(seen) == 4


def without_email(api: Api) -> str:
    """A token that does not say whose it is."""
    return api.token.split(".")[2]


# Bad disks


@pytest.mark.parametrize("where", ["start", "middle"])
def test_a_damaged_index_is_started_afresh(
    lab: Lab, tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    with open_cache(lab.sandbox, tmp_path) as cache:
        assert sizes(cache, lab.dataset) == (SUBJECTS, TREATMENTS)
    (index,) = tmp_path.rglob("*.sqlite")
    with index.open("r+b") as file:
        file.seek(0 if where == "start" else 4096)
        file.write(os.urandom(index.stat().st_size - file.tell()))
    for _ in range(2):
        with open_cache(lab.sandbox, tmp_path) as cache:
            assert sizes(cache, lab.dataset) == (SUBJECTS, TREATMENTS)
    assert len(caplog.records) == (0 if where == "start" else 1)
    lab.sandbox.clear_log()
    with open_cache(lab.sandbox, tmp_path) as cache:
        assert sizes(cache, lab.dataset) == (SUBJECTS, TREATMENTS)
    assert lab.sandbox.log() == []


def test_damaged_blocks_are_started_afresh(lab: Lab, tmp_path: Path) -> None:
    with open_cache(lab.sandbox, tmp_path) as cache:
        assert sizes(cache, lab.dataset) == (SUBJECTS, TREATMENTS)
    (tmp_path / "blocks/cache.db").write_bytes(os.urandom(10_000))
    with open_cache(lab.sandbox, tmp_path) as cache:
        (row, *_) = cache.catalog.documents(lab.dataset, "subject")
        assert cache.bodies.read(lab.dataset, row.id)
        assert cache.used() > 0
        assert cache.folder == tmp_path / "blocks"


def test_a_cache_folder_that_cannot_be_used_is_replaced_for_the_time_of_the_mount(
    lab: Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    with open_cache(lab.sandbox, tmp_path / "file/cache") as cache:
        folder = cache.folder
        assert sizes(cache, lab.dataset) == (SUBJECTS, TREATMENTS)
        assert folder.exists()
        assert cache.disk().f_bsize
    assert not folder.exists()
    (line,) = caplog.messages
    assert f"{tmp_path}/file/cache cannot be used" in line


@pytest.mark.parametrize("size", [8 << 10, 200 << 10])
def test_a_full_disk_is_a_warning_and_everything_is_listed_and_read(
    lab: Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    with tiny_disk(tmp_path / "disk", size) as disk:
        with open_cache(lab.sandbox, disk / "cache") as cache:
            for _ in range(2):
                assert sizes(cache, lab.dataset) == (SUBJECTS, TREATMENTS)
                for row in list(cache.catalog.documents(lab.dataset, "subject"))[::400]:
                    assert row.ndi_id.encode() in cache.bodies.read(lab.dataset, row.id)
        assert 1 <= len(caplog.messages) <= 2
        assert all("cannot be used" in line for line in caplog.messages)
