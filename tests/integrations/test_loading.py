"""Loading into a server that is slow, fails or never gets ready: a fake client stands for it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import pytest

from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.errors import ServerFault, TimedOut
from ndicloudfs.cloud.values import BulkJob, DatasetDetail, Json
from ndicloudfs.integrations import loading
from ndicloudfs.integrations.loading import Loader, NotLoaded, Progress, batches, in_parallel


@dataclass(frozen=True, slots=True)
class Item:
    uid: str
    data: bytes
    promised: int | None = None

    @property
    def size(self) -> int:
        return len(self.data) if self.promised is None else self.promised

    @property
    def open(self) -> Callable[[], BinaryIO]:
        return partial(io.BytesIO, self.data)


@dataclass
class FakeCloud:
    """Holds what was sent; shows documents and files only after some looks."""

    looks: int = 0
    documents_lost: int = 0
    failing: str = ""
    job_state: str = "complete"
    zip_loses: bool = False
    documents: list[Json] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    published: bool = False

    def as_client(self) -> NdiCloud:
        client = SimpleNamespace(
            datasets=self, documents=self, files=self, objects=SimpleNamespace(put=self.put)
        )
        return cast("NdiCloud", client)

    def bulk_upload(self, dataset_id: str, bodies: list[Json]) -> int:
        self.documents += bodies
        return len(bodies)

    def document_count(self, dataset_id: str) -> int:
        self.looks -= 1
        return max(0, len(self.documents) - self.documents_lost) if self.looks < 0 else 0

    def upload_url(self, organization_id: str, dataset_id: str, uid: str) -> str:
        return f"{organization_id}/{dataset_id}/{uid}"

    def bulk_upload_url(self, organization_id: str, dataset_id: str) -> tuple[str, str | None]:
        return f"{organization_id}/{dataset_id}/zip", "job" if self.job_state else None

    def put(self, url: str, body: BinaryIO, size: int) -> None:
        uid = url.rpartition("/")[2]
        if uid == self.failing:
            raise ServerFault("The object store failed")
        data = body.read(size)
        if len(data) < size:
            raise ValueError("the file ended before the size given for it")
        if uid != "zip":
            self.objects[uid] = data
        elif not self.zip_loses:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                self.objects.update({name: archive.read(name) for name in archive.namelist()})

    def job(self, job_id: str) -> BulkJob:
        return BulkJob(job_id, self.job_state, 0, 0, "disk full")

    def detail(self, dataset_id: str) -> DatasetDetail:
        files = [
            {"uid": uid, "size": len(data), "uploaded": True} for uid, data in self.objects.items()
        ]
        detail = DatasetDetail.from_json(
            {"_id": dataset_id, "files": files, "isPublished": self.published}
        )
        assert detail is not None
        return detail

    def publish(self, dataset_id: str) -> None:
        self.published = True


class Clock:
    """Time that passes by sleeping only."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def loader(cloud: FakeCloud, clock: Clock | None = None, **more: Any) -> Loader:
    clock = clock or Clock()
    return Loader(
        cloud.as_client(), "org", "set", sleep=clock.sleep, monotonic=lambda: clock.now, **more
    )


def bodies(count: int) -> list[Json]:
    return [{"base": {"id": str(number)}} for number in range(count)]


def test_everything_arrives_and_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SMALL", 100)
    monkeypatch.setattr(loading, "DOCUMENTS_PER_ZIP", 3)
    cloud, told = FakeCloud(looks=3), list[Progress]()
    items = [Item(f"u{number}", bytes(30 * number)) for number in range(6)]
    done = loader(cloud, on_progress=told.append).load(bodies(10), items)
    assert cloud.objects == {item.uid: item.data for item in items}
    assert sorted(cloud.documents, key=str) == sorted(bodies(10), key=str)
    assert done == told[-1] == Progress(10, 6, 30 * 15, waiting=True)
    assert [one.size for one in told] == sorted(one.size for one in told)


def test_nothing_is_a_load_too() -> None:
    assert loader(FakeCloud()).load([], []) == Progress(waiting=True)


def test_a_failed_put_is_reported_by_uid() -> None:
    cloud = FakeCloud(failing="big")
    with pytest.raises(NotLoaded, match="file big was not loaded: The object store failed"):
        loader(cloud).load(bodies(1), [Item("big", bytes(loading.SMALL))])
    assert not cloud.documents


def test_a_failed_zip_names_the_first_and_counts_the_rest() -> None:
    with pytest.raises(NotLoaded, match="2 files, a the first, were not loaded"):
        loader(FakeCloud(failing="zip")).load([], [Item("a", b"1"), Item("b", b"2")])


@pytest.mark.parametrize("other", [[], [Item("b", b"")]], ids=["single", "zip"])
@pytest.mark.parametrize("promised", [2, 4])
def test_a_file_that_changes_size_is_reported(promised: int, other: list[Item]) -> None:
    with pytest.raises(NotLoaded, match=r"a (was|the first, were) not loaded"):
        loader(FakeCloud()).load([], [Item("a", b"123", promised), *other])


def test_a_failed_job_is_reported() -> None:
    cloud = FakeCloud(job_state="failed")
    with pytest.raises(NotLoaded, match="could not unpack 2 files: disk full"):
        loader(cloud).load([], [Item("a", b"1"), Item("b", b"2")])


@pytest.mark.parametrize("job_state", ["", "queued"], ids=["old server", "stuck"])
def test_files_that_never_come_end_the_wait(job_state: str) -> None:
    clock, cloud = Clock(), FakeCloud(job_state=job_state, zip_loses=True)
    with pytest.raises(TimedOut, match=r"0 of 2 (unpacked )?files of dataset set"):
        loader(cloud, clock, patience=30).load([], [Item("a", b"1"), Item("b", b"2")])
    assert 30 <= clock.now < 40


def test_documents_that_never_come_end_the_wait() -> None:
    clock, cloud = Clock(), FakeCloud(documents_lost=1)
    with pytest.raises(TimedOut, match="2 of 3 documents of dataset set"):
        loader(cloud, clock, patience=30).load(bodies(3), [])
    assert 30 <= clock.now < 40


def test_publish_waits_until_published() -> None:
    cloud = FakeCloud()
    loader(cloud).publish()
    assert cloud.published


def test_batches_fill_zips_and_leave_large_objects_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "SMALL", 10)
    monkeypatch.setattr(loading, "ZIP_SIZE", 20)
    monkeypatch.setattr(loading, "ZIP_MEMBERS", 3)
    sizes = [9, 9, 9, 10, 0, 0, 0, 0]
    found = list(batches(Item(str(number), bytes(size)) for number, size in enumerate(sizes)))
    assert [[item.size for item in batch] for batch in found] == [[9, 9], [10], [9, 0, 0], [0, 0]]


def test_in_parallel_takes_no_more_tasks_than_workers() -> None:
    taken = 0

    def tasks() -> Any:
        nonlocal taken
        for number in range(100):
            taken += 1
            yield lambda number=number: number

    results = in_parallel(tasks(), workers=3)
    next(results)
    assert taken <= 4
    results.close()  # type: ignore[attr-defined]
