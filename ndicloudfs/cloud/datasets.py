"""Datasets: lists, detail, counts, and the calls that change them (section 4)."""

from __future__ import annotations

from typing import Any

from ndicloudfs.cloud.answers import Malformed, an_object, new_id, present, rows, whole_number
from ndicloudfs.cloud.api import Api
from ndicloudfs.cloud.errors import ServerFault
from ndicloudfs.cloud.values import DatasetDetail, DatasetRow, Json, as_object, as_size, as_text

PAGE_SIZE = 100  # rows of about 2.5 KB (section 4.2)
MAX_PAGES = 1000
DEFAULT_DELAY = "7d"  # until something deleted is really gone (section 4.6)


class Datasets:
    """The calls about datasets."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def of_organization(self, organization_id: str, page_size: int = PAGE_SIZE) -> list[DatasetRow]:
        """Every dataset of an organization that the account may see, in the server's order."""
        template = "/organizations/{organization_id}/datasets"
        return self._all(template, {"organization_id": organization_id}, page_size)

    def published(self, page_size: int = PAGE_SIZE) -> list[DatasetRow]:
        """Every published dataset, in the server's order; needs no account."""
        return self._all("/datasets/published", {}, page_size)

    def detail(self, dataset_id: str) -> DatasetDetail:
        """A dataset with its files: the expensive call, megabytes and seconds for a large one."""

        def read(value: Any) -> DatasetDetail:
            detail = DatasetDetail.from_json(value)
            if detail is None or detail.row.id != dataset_id:
                raise Malformed("another dataset" if detail else "no dataset")
            return detail

        return self._api.get("/datasets/{dataset_id}", read, dataset_id=dataset_id)

    def class_counts(self, dataset_id: str) -> dict[str, int]:
        """The number of documents of each class, without inheritance (section 4.9)."""

        def read(value: Any) -> dict[str, int]:
            counts = an_object(value).get("classCounts")
            if not isinstance(counts, dict):
                raise Malformed("no classCounts")
            sizes = ((name, as_size(count)) for name, count in counts.items())
            return {name: size for name, size in sizes if size is not None}

        template = "/datasets/{dataset_id}/document-class-counts"
        return self._api.get(template, read, dataset_id=dataset_id)

    def document_count(self, dataset_id: str, include_deleted: bool = False) -> int:
        """The number of documents as the server counts them now (section 4.9)."""

        def read(value: Any) -> int:
            count = whole_number(value, "count")
            if count is None:
                raise Malformed("no count")
            return count

        return self._api.get(
            "/datasets/{dataset_id}/document-count",
            read,
            params={"includeDeleted": "true"} if include_deleted else {},
            dataset_id=dataset_id,
        )

    def create(self, organization_id: str, fields: Json) -> str:
        """Make a dataset of ``fields`` (``name`` at least, section 4.4); gives its cloud id."""
        return self._api.post(
            "/organizations/{organization_id}/datasets",
            new_id,
            body=fields,
            organization_id=organization_id,
        )

    def update(self, dataset_id: str, fields: Json) -> None:
        """Change some fields of a dataset (section 4.5)."""
        self._api.act("POST", "/datasets/{dataset_id}", body=fields, dataset_id=dataset_id)

    def delete(self, dataset_id: str, when: str = DEFAULT_DELAY) -> None:
        """Delete a dataset ``now`` or after a delay such as ``30m``, ``24h`` or ``7d``.

        A 504 counts as success, as it does for the other clients (section 4.6): look again.
        """
        try:
            self._api.act(
                "DELETE", "/datasets/{dataset_id}", params={"when": when}, dataset_id=dataset_id
            )
        except ServerFault as error:
            if error.status != 504:
                raise

    def undelete(self, dataset_id: str) -> None:
        """Start to bring back a deleted dataset; takes up to a minute (section 4.6)."""
        self._api.act("POST", "/datasets/{dataset_id}/undelete", dataset_id=dataset_id)

    def submit(self, dataset_id: str) -> None:
        """Hand a dataset in for review (section 4.7)."""
        self._api.act("POST", "/datasets/{dataset_id}/submit", dataset_id=dataset_id)

    def publish(self, dataset_id: str) -> None:
        """Start to publish a dataset: administrators only, up to 180 s (section 4.7)."""
        self._api.act("POST", "/datasets/{dataset_id}/publish", dataset_id=dataset_id)

    def unpublish(self, dataset_id: str) -> None:
        """Start to withdraw a published dataset: administrators only (section 4.7)."""
        self._api.act("POST", "/datasets/{dataset_id}/unpublish", dataset_id=dataset_id)

    def branches(self, dataset_id: str) -> list[DatasetRow]:
        """The branches of a dataset; versions of the server answer in three shapes (4.8)."""

        def read(value: Any) -> list[DatasetRow]:
            found = value if isinstance(value, list) else rows(value, "datasets", "branches")
            return present(DatasetRow.from_json(row) for row in found)

        return self._api.get("/datasets/{dataset_id}/branches", read, dataset_id=dataset_id)

    def branch(self, dataset_id: str, branch_name: str) -> str:
        """Make a branch; gives the id of the new dataset, ``""`` when the answer does not tell."""

        def read(value: Any) -> str:
            data = as_object(value)
            return as_text(data.get("id")) or as_text(data.get("_id"))

        return self._api.post(
            "/datasets/{dataset_id}/branch",
            read,
            body={"branchName": branch_name},
            dataset_id=dataset_id,
        )

    def bookmark(self, dataset_id: str) -> None:
        """Bookmark a dataset for the user."""
        self._api.act("POST", "/datasets/{dataset_id}/bookmark", dataset_id=dataset_id)

    def unbookmark(self, dataset_id: str) -> None:
        """Take the user's bookmark off a dataset."""
        self._api.act("DELETE", "/datasets/{dataset_id}/bookmark", dataset_id=dataset_id)

    def _all(self, template: str, ids: dict[str, str], page_size: int) -> list[DatasetRow]:
        """All pages of a list, each dataset once, rows without id left out.

        The server may cap the page size, announce a total that counts what it does not show, or
        repeat a page: the list ends at the total, at an empty page, or at one with nothing new.
        """
        found: dict[str, DatasetRow] = {}
        received = 0
        for page in range(1, MAX_PAGES + 1):
            params = {"page": page, "pageSize": page_size}
            page_rows, total = self._api.get(template, _page, params=params, idempotent=True, **ids)
            received += len(page_rows)
            known = len(found)
            for row in present(DatasetRow.from_json(each) for each in page_rows):
                found.setdefault(row.id, row)
            if len(found) == known or (total is not None and received >= total):
                break
        return list(found.values())


def _page(value: Any) -> tuple[list[Any], int | None]:
    return rows(value, "datasets"), whole_number(value, "totalNumber")
