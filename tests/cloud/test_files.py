"""Files: detail, upload URLs and bulk jobs (section 6)."""

from __future__ import annotations

import pytest

from ndicloudfs.cloud.errors import BadAnswer, ServerFault
from tests.cloud.local_server import LocalServer, client, reply

ORGANIZATION = "65f0c0ffee0000000000b001"
DATASET = "65f0c0ffee0000000000d001"
UID = "41269430c7aed020_40dc5489899dc92a"
URL = "https://bucket.s3.us-east-1.amazonaws.com/key?X-Amz-Signature=deadbeef"
JOB = {"jobId": "j1", "state": "extracting", "filesExtracted": 3, "totalFiles": None}


def test_detail_has_size_and_url(server: LocalServer) -> None:
    server.plays(reply({"uid": UID, "size": 48000, "uploaded": True, "downloadUrl": URL}))
    detail = client(server.origin).files.detail(DATASET, UID)
    assert (detail.uid, detail.size, detail.url) == (UID, 48000, URL)
    assert "deadbeef" not in repr(detail)


@pytest.mark.parametrize("answer", [{}, {"uid": UID, "downloadUrl": None, "size": "big"}])
def test_a_file_that_is_not_yet_there_has_no_url(server: LocalServer, answer: object) -> None:
    server.plays(reply(answer))
    detail = client(server.origin).files.detail(DATASET, UID)
    assert (detail.uid, detail.size, detail.url) == (UID, None, None)


def test_detail_of_another_file_is_a_broken_answer(server: LocalServer) -> None:
    server.plays(reply({"uid": "other", "downloadUrl": URL}))
    with pytest.raises(BadAnswer, match="another file"):
        client(server.origin).files.detail(DATASET, UID)


def test_upload_urls(server: LocalServer) -> None:
    files = client(server.origin).files
    server.plays(reply({"url": URL}, 201))
    assert files.upload_url(ORGANIZATION, DATASET, UID) == URL
    assert files.bulk_upload_url(ORGANIZATION, DATASET) == (URL, None)
    server.plays(reply({"url": URL, "jobId": "j1"}))
    assert files.bulk_upload_url(ORGANIZATION, DATASET) == (URL, "j1")
    assert [(each.method, each.path) for each in server.received] == [
        ("GET", f"/v1/datasets/{ORGANIZATION}/{DATASET}/files/{UID}"),
        ("GET", f"/v1/datasets/{ORGANIZATION}/{DATASET}/files/bulk"),
        ("GET", f"/v1/datasets/{ORGANIZATION}/{DATASET}/files/bulk"),
    ]


def test_a_call_that_opens_a_job_is_not_tried_again(server: LocalServer) -> None:
    server.plays(reply({}, 503))
    with pytest.raises(ServerFault):
        client(server.origin).files.bulk_upload_url(ORGANIZATION, DATASET)
    assert len(server.received) == 1


def test_jobs(server: LocalServer) -> None:
    files = client(server.origin).files
    server.plays(reply(JOB))
    job = files.job("j1")
    assert (job.id, job.state, job.files_extracted, job.total_files) == (
        "j1",
        "extracting",
        3,
        None,
    )
    server.plays(reply({"datasetId": DATASET, "jobs": [JOB, {}, {**JOB, "jobId": "j2"}]}))
    assert [each.id for each in files.jobs(DATASET, "all")] == ["j1", "j2"]
    assert server.received[-1].query == {"state": "all"}
    with pytest.raises(ValueError, match="none of active"):
        files.jobs(DATASET, "done")
    server.plays(reply({"datasetId": DATASET}))
    with pytest.raises(BadAnswer, match="no job"):
        files.job("j1")
