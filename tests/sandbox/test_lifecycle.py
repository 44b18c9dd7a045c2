"""Sections 4.6, 4.7: delete, undelete, submit, publish, unpublish."""

from __future__ import annotations

from tests.sandbox.raw import Api, body, fetch, ok, upload
from tests.support.sandbox import Sandbox


def listed(api: Api, path: str) -> list[str]:
    return [row["id"] for row in ok(api.get(path))["datasets"]]


def test_soft_delete_and_undelete(sandbox: Sandbox, api: Api, dataset: str) -> None:
    api.document(dataset, body())
    organization = f"/organizations/{sandbox.organization_id}/datasets"
    assert "message" in ok(api.delete(f"/datasets/{dataset}", when="7d"))
    assert listed(api, organization) == []
    (row,) = ok(api.get("/datasets/deleted"))["datasets"]
    assert row["id"] == dataset
    assert row["isDeleted"] is True
    assert row["deleteCommandTime"] < row["deleteOccurrenceTime"]
    ok(api.post(f"/datasets/{dataset}/undelete"))
    sandbox.idle()
    assert listed(api, "/datasets/deleted") == []
    assert listed(api, organization) == [dataset]
    detail = api.detail(dataset)
    assert detail["isDeleted"] is False
    assert "deleteCommandTime" not in detail
    assert ok(api.get(f"/datasets/{dataset}/document-count"))["count"] == 1


def test_hard_delete(sandbox: Sandbox, api: Api, dataset: str) -> None:
    upload(sandbox, api, dataset, "uid", b"12345")
    ok(api.delete(f"/datasets/{dataset}", when="now"))
    sandbox.idle()
    assert api.get(f"/datasets/{dataset}").status_code == 404
    assert api.post(f"/datasets/{dataset}/undelete").status_code == 404
    assert listed(api, "/datasets/deleted") == []


def test_branch_outlives_its_origin(sandbox: Sandbox, api: Api, dataset: str) -> None:
    upload(sandbox, api, dataset, "uid", b"12345")
    branch = ok(api.post(f"/datasets/{dataset}/branch"))["id"]
    ok(api.delete(f"/datasets/{dataset}", when="now"))
    sandbox.idle()
    url = ok(api.file_detail(branch, "uid"))["downloadUrl"]
    assert fetch(url).content == b"12345"


def test_when_is_checked(api: Api, dataset: str) -> None:
    assert api.delete(f"/datasets/{dataset}", when="soon").status_code == 400


def test_deleted_detail_is_for_the_owner(
    sandbox: Sandbox, api: Api, nobody: Api, published: str
) -> None:
    ok(api.delete(f"/datasets/{published}"))
    assert api.detail(published)["isDeleted"] is True
    assert nobody.get(f"/datasets/{published}").status_code == 404
    assert listed(nobody, "/datasets/published") == []
    sandbox.set(deleted_detail=404)
    assert api.get(f"/datasets/{published}").status_code == 404


def test_delete_may_answer_204(sandbox: Sandbox, api: Api, dataset: str) -> None:
    sandbox.set(delete_status=204)
    answer = api.delete(f"/datasets/{dataset}")
    assert (answer.status_code, answer.content) == (204, b"")


def test_delete_needs_the_right(nobody: Api, other: Api, dataset: str) -> None:
    assert nobody.delete(f"/datasets/{dataset}").status_code == 401
    assert other.delete(f"/datasets/{dataset}").status_code == 403


def test_publishing_takes_its_time(sandbox: Sandbox, api: Api, nobody: Api, dataset: str) -> None:
    upload(sandbox, api, dataset, "uid", b"12345")
    sandbox.set(publish=3600)
    ok(api.post(f"/datasets/{dataset}/publish"))
    detail = api.detail(dataset)
    assert (detail["isPublishing"], detail["isPublished"]) == (True, False)
    assert detail["publishProgress"] == {"total": 1, "completed": 0, "failed": 0}
    assert nobody.get(f"/datasets/{dataset}").status_code == 403


def test_publish_and_unpublish(sandbox: Sandbox, api: Api, nobody: Api, dataset: str) -> None:
    upload(sandbox, api, dataset, "uid", b"12345")
    ok(api.post(f"/datasets/{dataset}/submit"))
    assert api.detail(dataset)["isSubmitted"] is True
    ok(api.post(f"/datasets/{dataset}/publish"))
    sandbox.idle()
    detail = nobody.detail(dataset)
    assert (detail["isPublishing"], detail["isPublished"]) == (False, True)
    assert detail["isSubmitted"] is False
    assert detail["publishProgress"] == {"total": 1, "completed": 1, "failed": 0}
    ok(api.post(f"/datasets/{dataset}/unpublish"))
    sandbox.idle()
    assert nobody.get(f"/datasets/{dataset}").status_code == 403


def test_only_administrators_publish(sandbox: Sandbox, other: Api, dataset: str) -> None:
    for verb in ("publish", "unpublish"):
        assert other.post(f"/datasets/{dataset}/{verb}").status_code == 403
