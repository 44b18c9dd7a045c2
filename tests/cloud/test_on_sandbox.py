"""The client against a whole NDI Cloud, with its faults and its variants."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.errors import (
    BadAnswer,
    CloudError,
    NotFound,
    NotSignedIn,
    ObjectMissing,
    PermissionDenied,
    Refused,
    ServerFault,
    TimedOut,
    Unreachable,
    UrlExpired,
    WrongCredentials,
)
from ndicloudfs.cloud.values import Json
from tests.support.sandbox import Sandbox

COUNT = "GET /datasets/{id}/document-count"
FETCH = "POST /datasets/{id}/documents/bulk-fetch"
OBJECTS = "GET /objects"
DATA = bytes(range(256)) * 40


def body(number: int) -> Json:
    return {
        "base": {"id": f"41269430c7aed0aa_{number:016x}", "name": f"subject {number}"},
        "document_class": {"class_name": "subject", "superclasses": []},
        "subject": {"local_identifier": f"rat{number}@lab.example.org", "v": "__NDI__NaN__"},
    }


def open_client(sandbox: Sandbox, **settings: object) -> NdiCloud:
    account = {"email": sandbox.email, "password": sandbox.password, "read_timeout": 10.0}
    config = CloudConfig(sandbox.url, **{**account, **settings})  # type: ignore[arg-type]
    return NdiCloud(config, sleep=lambda _: None)


@pytest.fixture
def cloud(sandbox: Sandbox) -> Iterator[NdiCloud]:
    with open_client(sandbox) as client:
        yield client


@pytest.fixture
def dataset(sandbox: Sandbox, cloud: NdiCloud) -> str:
    return cloud.datasets.create(sandbox.organization_id, {"name": "Dataset: a/b"})


def upload(sandbox: Sandbox, cloud: NdiCloud, dataset: str, uid: str, data: bytes = DATA) -> str:
    """Upload a file; gives the URL to read it."""
    url = cloud.files.upload_url(sandbox.organization_id, dataset, uid)
    cloud.objects.put(url, io.BytesIO(data), len(data))
    sandbox.idle()
    detail = cloud.files.detail(dataset, uid)
    assert detail.url is not None
    return detail.url


def test_from_sign_in_to_bytes(sandbox: Sandbox, cloud: NdiCloud) -> None:
    (organization,) = cloud.account.user().organizations
    assert organization.id == sandbox.organization_id
    assert cloud.datasets.of_organization(organization.id) == []
    dataset = cloud.datasets.create(organization.id, {"name": "Dataset: a/b"})
    (row,) = cloud.datasets.of_organization(organization.id)
    assert (row.id, row.name, row.is_published) == (dataset, "Dataset: a/b", False)
    ids = [cloud.documents.add(dataset, body(number)) for number in range(3)]
    page = cloud.documents.page(dataset, 1)
    assert sorted(each.id for each in page.documents) == sorted(ids)
    found = cloud.documents.fetch(dataset, [*ids, "0" * 24]).documents
    assert {each.summary.id: each.body for each in found} == {
        ids[number]: body(number) for number in range(3)
    }
    assert cloud.documents.get(dataset, ids[1]).body == body(1)
    matches = cloud.documents.query(dataset, [{"operation": "isa", "param1": "subject"}])
    assert (matches.rows, matches.total) == (3, 3)
    assert cloud.datasets.class_counts(dataset) == {"subject": 3}
    url = upload(sandbox, cloud, dataset, "uid/with #odd? name")
    part = cloud.objects.read(url, 5, 7)
    assert (part.data, part.total) == (DATA[5:12], len(DATA))
    (entry,) = cloud.datasets.detail(dataset).files
    assert (entry.uid, entry.size) == ("uid/with #odd? name", len(DATA))


def test_documents_change_and_go(cloud: NdiCloud, sandbox: Sandbox, dataset: str) -> None:
    document = cloud.documents.add(dataset, body(1))
    cloud.documents.update(dataset, document, body(2))
    assert cloud.documents.get(dataset, document).body == body(2)
    cloud.documents.delete(dataset, document)
    assert cloud.datasets.document_count(dataset) == 0
    assert cloud.datasets.document_count(dataset, include_deleted=True) == 1
    assert [each.id for each in cloud.documents.deleted(dataset).documents] == [document]
    assert cloud.documents.fetch(dataset, [document]).documents == ()
    with pytest.raises(NotFound):
        cloud.documents.get(dataset, document)


def test_a_zip_of_documents_is_imported(cloud: NdiCloud, sandbox: Sandbox, dataset: str) -> None:
    assert cloud.documents.bulk_upload(dataset, (body(number) for number in range(300))) == 300
    sandbox.idle()
    page = cloud.documents.page(dataset, 1)
    assert (page.rows, page.total) == (300, 300)
    found = cloud.documents.fetch(dataset, [each.id for each in page.documents]).documents
    assert sorted(each.body["base"]["name"] for each in found) == sorted(
        body(number)["base"]["name"] for number in range(300)
    )
    url = cloud.documents.bulk_download_url(dataset, [page.documents[0].id])
    sandbox.idle()
    assert cloud.objects.read(url, 0, 4).data == b"PK\x03\x04"


def test_a_bulk_upload_of_files_is_a_job(cloud: NdiCloud, sandbox: Sandbox, dataset: str) -> None:
    _, job = cloud.files.bulk_upload_url(sandbox.organization_id, dataset)
    assert job is not None
    assert cloud.files.job(job).state == "queued"
    assert [each.id for each in cloud.files.jobs(dataset)] == [job]
    assert cloud.files.jobs(dataset, "failed") == []
    with pytest.raises(NotFound):
        cloud.files.job("0" * 24)


def test_a_published_dataset_is_read_without_account(
    cloud: NdiCloud, sandbox: Sandbox, dataset: str
) -> None:
    document = cloud.documents.add(dataset, body(1))
    upload(sandbox, cloud, dataset, "uid")
    cloud.datasets.publish(dataset)
    sandbox.idle()
    with open_client(sandbox, email="", password="") as anonymous:
        assert [each.id for each in anonymous.datasets.published()] == [dataset]
        assert anonymous.documents.get(dataset, document).body == body(1)
        url = anonymous.files.detail(dataset, "uid").url
        assert url is not None
        assert anonymous.objects.read(url, 0, 3).data == DATA[:3]
        with pytest.raises(NotSignedIn):
            anonymous.datasets.of_organization(sandbox.organization_id)
    cloud.datasets.unpublish(dataset)
    sandbox.idle()
    assert cloud.datasets.published() == []


def test_a_dataset_is_deleted_and_brought_back(
    cloud: NdiCloud, sandbox: Sandbox, dataset: str
) -> None:
    cloud.datasets.update(dataset, {"name": "renamed"})
    cloud.datasets.submit(dataset)
    assert cloud.datasets.detail(dataset).fields["isSubmitted"] is True
    cloud.datasets.delete(dataset)
    assert cloud.datasets.of_organization(sandbox.organization_id) == []
    cloud.datasets.undelete(dataset)
    sandbox.idle()
    (row,) = cloud.datasets.of_organization(sandbox.organization_id)
    assert row.name == "renamed"
    cloud.datasets.delete(dataset, "now")
    sandbox.idle()
    with pytest.raises(NotFound):
        cloud.datasets.detail(dataset)


@pytest.mark.parametrize("shape", ["datasets", "branches", "list"])
def test_branches(cloud: NdiCloud, sandbox: Sandbox, dataset: str, shape: str) -> None:
    sandbox.set(branches_shape=shape)
    branch = cloud.datasets.branch(dataset, "second")
    assert branch in [each.id for each in cloud.datasets.branches(dataset)]


def test_wrong_credentials_are_tried_once(sandbox: Sandbox) -> None:
    with open_client(sandbox, password="wrong") as cloud:
        for _ in range(3):
            with pytest.raises(WrongCredentials):
                cloud.account.user()
    assert sandbox.count("POST /auth/login") == 1


def test_64_threads_survive_the_end_of_their_token(
    sandbox: Sandbox, cloud: NdiCloud, dataset: str
) -> None:
    sandbox.expire(tokens=True)
    with ThreadPoolExecutor(64) as pool:
        counts = list(pool.map(lambda _: cloud.datasets.document_count(dataset), range(128)))
    assert counts == [0] * 128
    assert sandbox.count("POST /auth/login") == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"kind": "status", "status": 503}, ServerFault),
        ({"kind": "status", "status": 502, "body": "<html>Bad Gateway</html>"}, ServerFault),
        ({"kind": "drop"}, Unreachable),
        ({"kind": "truncate"}, BadAnswer),
        ({"kind": "garbage"}, BadAnswer),
    ],
)
def test_three_faults_are_passed_over_and_the_fourth_is_an_error(
    sandbox: Sandbox, cloud: NdiCloud, dataset: str, fault: Json, kind: type[CloudError]
) -> None:
    sandbox.fault(COUNT, count=3, **fault)
    assert cloud.datasets.document_count(dataset) == 0
    sandbox.fault(COUNT, count=4, **fault)
    with pytest.raises(kind) as caught:
        cloud.datasets.document_count(dataset)
    assert type(caught.value) is kind


def test_a_server_that_hangs_ends_with_the_budget(sandbox: Sandbox, dataset: str) -> None:
    with open_client(sandbox, read_timeout=0.1, budget=0.4) as cloud:
        cloud.account.sign_in()
        sandbox.fault(COUNT, "hang", count=-1)
        started = time.monotonic()
        with pytest.raises(TimedOut):
            cloud.datasets.document_count(dataset)
        assert time.monotonic() - started < 5
        sandbox.clear_faults()


@pytest.mark.parametrize("kind", ["after", "drop"])
def test_a_write_whose_answer_is_lost_is_not_repeated(
    sandbox: Sandbox, cloud: NdiCloud, dataset: str, kind: str
) -> None:
    sandbox.fault("POST /datasets/{id}/documents", kind)
    with pytest.raises(Unreachable):
        cloud.documents.add(dataset, body(1))
    assert sandbox.count("POST /datasets/{id}/documents") == 1
    assert cloud.datasets.document_count(dataset) == (1 if kind == "after" else 0)


def test_hollow_bodies_are_fetched_again(sandbox: Sandbox, cloud: NdiCloud, dataset: str) -> None:
    ids = [cloud.documents.add(dataset, body(number)) for number in range(3)]
    sandbox.fault(FETCH, "hollow")
    assert {each.summary.id for each in cloud.documents.fetch(dataset, ids).documents} == set(ids)
    assert sandbox.count(FETCH) == 2
    sandbox.fault(FETCH, "hollow", count=2)
    assert cloud.documents.fetch(dataset, ids).documents == ()


def test_what_the_server_omits_is_absent(sandbox: Sandbox, cloud: NdiCloud, dataset: str) -> None:
    ids = [cloud.documents.add(dataset, body(number)) for number in range(3)]
    sandbox.fault(FETCH, "omit", documents=1)
    assert len(cloud.documents.fetch(dataset, ids).documents) == 2


def test_ids_that_the_server_does_not_understand(cloud: NdiCloud, dataset: str) -> None:
    with pytest.raises(NotFound):
        cloud.documents.get(dataset, "41269430c7aed0aa_40c0a675929cea61")
    with pytest.raises(NotFound):
        cloud.datasets.detail("0" * 24)
    with pytest.raises(Refused):
        cloud.documents.fetch(dataset, ["not-hex"])


@pytest.mark.parametrize(
    ("status", "kind"), [(401, NotSignedIn), (403, PermissionDenied), (404, NotFound)]
)
def test_somebody_elses_private_dataset(
    sandbox: Sandbox, dataset: str, status: int, kind: type[CloudError]
) -> None:
    sandbox.set(private_status=status)
    sandbox.add_user("other@example.org", "Passw0rd!")
    with open_client(sandbox, email="other@example.org", password="Passw0rd!") as other:
        for _ in range(3):
            with pytest.raises(kind):
                other.datasets.detail(dataset)
        other.account.user()


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken"])
def test_an_expired_url_says_so(sandbox: Sandbox, cloud: NdiCloud, dataset: str, code: str) -> None:
    sandbox.set(expired_url=code)
    url = upload(sandbox, cloud, dataset, "uid")
    sandbox.expire(urls=True)
    with pytest.raises(UrlExpired):
        cloud.objects.read(url, 0, 10)
    assert sandbox.count(OBJECTS) == 1
    fresh = cloud.files.detail(dataset, "uid").url
    assert fresh is not None
    assert cloud.objects.read(fresh, 0, 10).data == DATA[:10]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "status", "status": 503, "body": "<Error><Code>SlowDown</Code></Error>"},
        {"kind": "drop"},
        {"kind": "truncate", "bytes": 10},
        {"kind": "short", "bytes": 10},
    ],
)
def test_an_object_arrives_whole_or_not_at_all(
    sandbox: Sandbox, cloud: NdiCloud, dataset: str, fault: Json
) -> None:
    url = upload(sandbox, cloud, dataset, "uid")
    sandbox.fault(OBJECTS, count=2, **fault)
    assert cloud.objects.read(url, 100, 5000).data == DATA[100:5100]
    assert sandbox.count(OBJECTS) == 3
    sandbox.fault(OBJECTS, count=4, **fault)
    with pytest.raises((ServerFault, Unreachable, BadAnswer)):
        cloud.objects.read(url, 100, 5000)


def test_a_store_without_ranges(sandbox: Sandbox, cloud: NdiCloud, dataset: str) -> None:
    url = upload(sandbox, cloud, dataset, "uid")
    sandbox.fault(OBJECTS, "no_range")
    assert cloud.objects.read(url, 100, 50).data == DATA[100:150]
    large = upload(sandbox, cloud, dataset, "large", DATA * 100)
    sandbox.fault(OBJECTS, "no_range", count=-1)
    with pytest.raises(BadAnswer, match="the whole object"):
        cloud.objects.read(large, 500_000, 50)


def test_the_ends_of_objects(sandbox: Sandbox, cloud: NdiCloud, dataset: str) -> None:
    url = upload(sandbox, cloud, dataset, "uid")
    assert cloud.objects.read(url, len(DATA) - 3, 100).data == DATA[-3:]
    assert cloud.objects.read(url, len(DATA), 100).total == len(DATA)
    empty = upload(sandbox, cloud, dataset, "empty", b"")
    assert cloud.objects.read(empty, 0, 100).total == 0


def test_bytes_that_never_came(sandbox: Sandbox, cloud: NdiCloud, dataset: str) -> None:
    url = upload(sandbox, cloud, dataset, "ghost")
    sandbox.plant(dataset, remove_objects=["ghost"])
    with pytest.raises(ObjectMissing):
        cloud.objects.read(url, 0, 10)
    sandbox.set(file_detail_url=False)
    assert cloud.files.detail(dataset, "ghost").url is None
    with pytest.raises(NotFound):
        cloud.files.detail(dataset, "no such uid")
