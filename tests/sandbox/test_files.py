"""Sections 6.1 - 6.4: file detail, upload URLs, ZIPs of files and their jobs."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from tests.sandbox.raw import UNKNOWN_ID, Api, Json, fetch, ok, put, upload, zipped
from tests.support.sandbox import Sandbox


class TestDetail:
    def test_gives_a_url(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        upload(sandbox, api, dataset, "uid", b"12345")
        detail = ok(api.file_detail(dataset, "uid"))
        assert detail.pop("downloadUrl").startswith(sandbox.object_url)
        assert detail == {"uid": "uid", "size": 5, "uploaded": True}

    def test_members_that_are_not_certain(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        upload(sandbox, api, dataset, "uid", b"12345")
        sandbox.set(file_detail_size=False)
        assert set(ok(api.file_detail(dataset, "uid"))) == {"uid", "uploaded", "downloadUrl"}
        sandbox.set(file_detail_url=False)
        assert set(ok(api.file_detail(dataset, "uid"))) == {"uid", "uploaded"}

    def test_without_url_until_it_is_registered(
        self, sandbox: Sandbox, api: Api, dataset: str
    ) -> None:
        sandbox.set(file_registration=3600)
        url = api.upload_url(dataset, "uid")
        assert api.file_detail(dataset, "uid").status_code == 404
        put(url, b"12345")
        assert ok(api.file_detail(dataset, "uid")) == {"uid": "uid"}
        assert api.detail(dataset)["files"] == []

    def test_unknown_uid(self, api: Api, dataset: str) -> None:
        assert api.file_detail(dataset, "unknown").status_code == 404

    def test_is_open_when_published(
        self, sandbox: Sandbox, api: Api, nobody: Api, dataset: str, published: str
    ) -> None:
        for dataset_id, status in ((published, 200), (dataset, 403)):
            upload(sandbox, api, dataset_id, "uid", b"12345")
            assert nobody.file_detail(dataset_id, "uid").status_code == status


class TestSingleUpload:
    @pytest.mark.parametrize(
        "uid", ["41269430c7aed020_40dc5489899dc92a", "a b/c", "ü%2F#?", "detail", "files"]
    )
    def test_any_string_is_a_uid(self, sandbox: Sandbox, api: Api, dataset: str, uid: str) -> None:
        upload(sandbox, api, dataset, uid, b"content")
        assert api.detail(dataset)["files"][0]["uid"] == uid
        assert fetch(ok(api.file_detail(dataset, uid))["downloadUrl"]).content == b"content"

    def test_put_again_overwrites(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        upload(sandbox, api, dataset, "uid", b"first")
        upload(sandbox, api, dataset, "uid", b"the second")
        (entry,) = api.detail(dataset)["files"]
        assert entry["size"] == 10
        assert api.detail(dataset)["totalSize"] == 10
        assert fetch(ok(api.file_detail(dataset, "uid"))["downloadUrl"]).content == b"the second"

    def test_status_may_be_201(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        sandbox.set(url_status=201)
        path = f"/datasets/{sandbox.organization_id}/{dataset}/files/uid"
        assert api.get(path).status_code == 201

    def test_organization_must_be_the_owner(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        path = f"/datasets/{UNKNOWN_ID}/{dataset}/files/uid"
        assert api.get(path).status_code == 400

    def test_needs_the_right(
        self, sandbox: Sandbox, nobody: Api, other: Api, published: str
    ) -> None:
        for name in ("uid", "bulk"):
            path = f"/datasets/{sandbox.organization_id}/{published}/files/{name}"
            assert nobody.get(path).status_code == 401
            assert other.get(path).status_code == 403

    def test_url_says_nothing_of_what_it_is_for(self, api: Api, dataset: str) -> None:
        path = urlsplit(api.upload_url(dataset, "secret-uid")).path
        assert "secret-uid" not in path
        assert dataset not in path


class TestBulkUpload:
    def start(self, sandbox: Sandbox, api: Api, dataset: str, verb: str = "GET") -> Json:
        path = f"/datasets/{sandbox.organization_id}/{dataset}/files/bulk"
        answer = ok(api.call(verb, path))
        assert set(answer) == {"url", "jobId"}
        return answer

    def job(self, api: Api, job_id: str) -> Json:
        return ok(api.get(f"/bulk-uploads/{job_id}"))

    def test_members_become_files(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        inner = zipped({"x": b"PK\x03\x04"})
        contents = {"plain": b"12345", "zip": inner, "empty": b"", "sig": b"..PK\x05\x06.."}
        started = self.start(sandbox, api, dataset)
        assert put(started["url"], zipped({**contents})).status_code == 200
        sandbox.idle()
        for uid, content in contents.items():
            assert fetch(ok(api.file_detail(dataset, uid))["downloadUrl"]).content == content
        job = self.job(api, started["jobId"])
        assert job["createdAt"] <= job["startedAt"] <= job["completedAt"]
        assert (job["state"], job["filesExtracted"], job["totalFiles"]) == ("complete", 4, 4)
        assert (job["datasetId"], job["error"]) == (dataset, None)
        assert api.detail(dataset)["totalSize"] == sum(map(len, contents.values()))

    def test_job_is_queued_from_the_url_on(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        started = self.start(sandbox, api, dataset)
        job = self.job(api, started["jobId"])
        assert set(job) == {
            "jobId",
            "datasetId",
            "state",
            "createdAt",
            "startedAt",
            "completedAt",
            "filesExtracted",
            "totalFiles",
            "error",
        }
        assert (job["state"], job["startedAt"]) == ("queued", None)
        sandbox.idle()
        assert self.job(api, started["jobId"])["state"] == "queued"

    def test_jobs_of_a_dataset(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        path = f"/datasets/{dataset}/bulk-uploads"
        queued, done, failed = (self.start(sandbox, api, dataset) for _ in range(3))
        put(done["url"], zipped({"uid": b"1"}))
        put(failed["url"], b"no zip")
        sandbox.idle()

        def ids(**query: str) -> list[str]:
            answer = ok(api.get(path, **query))
            assert answer["datasetId"] == dataset
            return [job["jobId"] for job in answer["jobs"]]

        assert ids() == ids(state="active") == ids(state="queued") == [queued["jobId"]]
        assert ids(state="complete") == [done["jobId"]]
        assert ids(state="failed") == [failed["jobId"]]
        assert ids(state="extracting") == []
        assert len(ids(state="all")) == 3
        assert api.get(path, state="odd").status_code == 400
        assert self.job(api, failed["jobId"])["error"]

    def test_unknown_job(self, api: Api) -> None:
        assert api.get("/bulk-uploads/unknown").status_code == 404

    def test_job_is_hidden_with_its_dataset(
        self, sandbox: Sandbox, api: Api, other: Api, dataset: str
    ) -> None:
        started = self.start(sandbox, api, dataset)
        assert other.get(f"/bulk-uploads/{started['jobId']}").status_code == 403

    def test_post_is_accepted_as_well(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        self.start(sandbox, api, dataset, "POST")

    def test_uploaded_may_be_said_too_early(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        sandbox.set(early_uploaded=True, file_extraction=3600)
        started = self.start(sandbox, api, dataset)
        put(started["url"], zipped({"uid": b"12345"}))
        sandbox.eventually(lambda: api.detail(dataset)["files"] != [])
        assert self.job(api, started["jobId"])["state"] == "extracting"
        assert api.detail(dataset)["files"][0]["uploaded"] is True
        assert fetch(ok(api.file_detail(dataset, "uid"))["downloadUrl"]).status_code == 404
