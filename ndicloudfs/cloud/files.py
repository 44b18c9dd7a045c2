"""Files: where their bytes are, where new ones go, and the jobs that unpack them (section 6)."""

from __future__ import annotations

from typing import Any

from ndicloudfs.cloud.answers import Malformed, an_object, present, rows, text
from ndicloudfs.cloud.api import Api
from ndicloudfs.cloud.objects import Objects
from ndicloudfs.cloud.values import BulkJob, FileDetail, as_text

JOB_STATES = ("active", "all", "queued", "extracting", "complete", "failed")


class Files:
    """The calls about files; the bytes themselves go through Objects."""

    def __init__(self, api: Api, objects: Objects) -> None:
        self._api = api
        self._objects = objects

    def detail(self, dataset_id: str, uid: str) -> FileDetail:
        """Size and presigned URL of a file (section 6.2); no URL while it is not yet there.

        Raises BadAnswer for a URL that is not safe to open.
        """

        def read(value: Any) -> FileDetail:
            if as_text(an_object(value).get("uid")) not in ("", uid):
                raise Malformed("another file")
            return FileDetail.from_json(value, uid)

        template = "/datasets/{dataset_id}/files/{uid}/detail"
        detail = self._api.get(template, read, dataset_id=dataset_id, uid=uid)
        if detail.url is not None:
            self._objects.check(detail.url)
        return detail

    def upload_url(self, organization_id: str, dataset_id: str, uid: str) -> str:
        """The URL to PUT a file to (section 6.3); ``organization_id`` is the dataset's."""
        return self._api.get(
            "/datasets/{organization_id}/{dataset_id}/files/{uid}",
            text("url"),
            organization_id=organization_id,
            dataset_id=dataset_id,
            uid=uid,
        )

    def bulk_upload_url(self, organization_id: str, dataset_id: str) -> tuple[str, str | None]:
        """The URL to PUT a ZIP of files to, and its job; old servers make no job (section 6.4).

        The server opens the job with this call, so that it is not tried again by itself.
        """

        def read(value: Any) -> tuple[str, str | None]:
            return text("url")(value), as_text(an_object(value).get("jobId")) or None

        return self._api.get(
            "/datasets/{organization_id}/{dataset_id}/files/bulk",
            read,
            idempotent=False,
            organization_id=organization_id,
            dataset_id=dataset_id,
        )

    def job(self, job_id: str) -> BulkJob:
        """How far a bulk upload is."""

        def read(value: Any) -> BulkJob:
            job = BulkJob.from_json(value)
            if job is None:
                raise Malformed("no job")
            return job

        return self._api.get("/bulk-uploads/{job_id}", read, job_id=job_id)

    def jobs(self, dataset_id: str, state: str = "active") -> list[BulkJob]:
        """The bulk uploads of a dataset; ``active`` means queued or extracting.

        A job whose ZIP never came stays queued for ever (section 6.4): bound the wait for it.
        """
        if state not in JOB_STATES:
            raise ValueError(f"{state!r} is none of {', '.join(JOB_STATES)}")
        return self._api.get(
            "/datasets/{dataset_id}/bulk-uploads",
            lambda value: present(BulkJob.from_json(row) for row in rows(value, "jobs")),
            params={"state": state},
            dataset_id=dataset_id,
        )
