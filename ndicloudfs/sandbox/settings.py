"""What can be set: latencies, delays of what happens later, and how open questions are answered.

One table, the fields of ``Settings``: it gives the command-line options, the admin call and the
documentation. A *variant* is an answer to something that the API contract does not know (11).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

LATENCY, DELAY, VARIANT = "latency", "delay", "variant"


class BadSetting(ValueError):
    """A setting that does not exist, or a value that it cannot have."""


def _number(kind: str, default: float, about: str) -> Any:
    return field(default=default, metadata={"kind": kind, "about": about, "choices": None})


def _variant(default: object, about: str, *choices: object) -> Any:
    metadata = {"kind": VARIANT, "about": about, "choices": choices or (True, False)}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a sandbox; seconds and bytes."""

    api_latency: float = _number(LATENCY, 0, "seconds before every API call is handled")
    object_latency: float = _number(LATENCY, 0, "seconds before every object request is handled")
    object_bandwidth: float = _number(LATENCY, 0, "bytes per second and connection; 0: no limit")
    bulk_fetch_per_document: float = _number(LATENCY, 0, "seconds per document of a bulk-fetch")
    token_life: float = _number(LATENCY, 3600, "seconds that a token is valid")
    url_life: float = _number(LATENCY, 3600, "whole seconds that a presigned URL is valid")
    answer_limit: float = _number(LATENCY, 0, "bytes of an answer above which it is a 502; 0: none")

    document_import: float = _number(DELAY, 0, "from the PUT of a ZIP to its documents")
    file_registration: float = _number(DELAY, 0, "from the PUT of a file to its entry")
    file_extraction: float = _number(DELAY, 0, "that a job of a ZIP of files is extracting")
    bulk_download: float = _number(DELAY, 0, "from bulk-download to the readable ZIP")
    publish: float = _number(DELAY, 0, "from publish or unpublish to the change")
    undelete: float = _number(DELAY, 0, "from undelete to the change")

    anonymous_query: str = _variant("empty", "ndiquery without a token", "empty", "real")
    bookmarks_shape: str = _variant("datasets", "envelope of the bookmark list", "datasets", "list")
    branches_shape: str = _variant(
        "datasets", "envelope of the branch list", "datasets", "branches", "list"
    )
    bulk_delete_bad_ids: str = _variant(
        "refused", "bulk-delete with an id that is not 24 hex digits", "refused", "ignored"
    )
    bulk_download_all: str = _variant(
        "full", "bulk-download without documentIds (#948)", "full", "hollow"
    )
    create_status: int = _variant(200, "status of a created document", 200, 201)
    dataset_order: str = _variant("insertion", "order of dataset lists", "insertion", "reversed")
    delete_status: int = _variant(200, "status of a delete", 200, 204)
    deleted_detail: int = _variant(
        200, "detail of a dataset whose deletion is pending, for its owner", 200, 404
    )
    detail_documents: bool = _variant(True, "detail has document ids, or an empty list (#817)")
    document_list_total: bool = _variant(True, "document lists say totalNumber, page and pageSize")
    document_order: str = _variant("insertion", "order of document lists", "insertion", "reversed")
    document_zip: str = _variant(
        "complete", "what becomes of a ZIP of documents", "complete", "partial", "lost"
    )
    documents_touch_dataset: bool = _variant(
        True, "a write to a document or file changes updatedAt of the dataset"
    )
    early_uploaded: bool = _variant(
        False, "a ZIP's files say uploaded while they are being extracted (#755)"
    )
    expired_url: str = _variant(
        "AccessDenied", "code of an expired presigned URL", "AccessDenied", "ExpiredToken"
    )
    file_detail_size: bool = _variant(True, "file detail has size")
    file_detail_url: bool = _variant(True, "file detail has downloadUrl")
    file_jobs: bool = _variant(True, "the URL for a ZIP of files comes with a job")
    file_zip: str = _variant(
        "complete", "what becomes of a ZIP of files", "complete", "partial", "failed", "stuck"
    )
    gzip: bool = _variant(True, "JSON answers are compressed for clients that offer gzip")
    head_on_get_url: int = _variant(403, "HEAD on a URL signed for GET", 403, 200)
    list_echo_page: bool = _variant(True, "dataset lists other than published echo page, pageSize")
    max_dataset_page_size: int = _variant(
        1000, "largest page of a dataset list", 1000, 500, 100, 50, 20, 10, 5, 2, 1
    )
    missing_object_status: int = _variant(404, "GET of an object that is not there", 404, 403)
    open_route_bad_token: str = _variant(
        "refused", "a bad token where none is needed", "refused", "anonymous"
    )
    private_status: int = _variant(403, "somebody else's private dataset", 401, 403, 404)
    published_read_only: bool = _variant(False, "writes to published datasets are refused (403)")
    signup_can_upload: bool = _variant(False, "canUploadDataset after sign-up")
    url_status: int = _variant(200, "status of an answer that gives a URL", 200, 201)


def names(kind: str) -> list[str]:
    """The settings of one kind."""
    return [item.name for item in fields(Settings) if item.metadata["kind"] == kind]


def changed(settings: Settings, changes: dict[str, object]) -> Settings:
    """``settings`` with ``changes``; values may be text, as from a command line.

    Raises BadSetting.
    """
    known = {item.name: item for item in fields(Settings)}
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name not in known:
            raise BadSetting(f"there is no setting {name!r}; there are: {', '.join(known)}")
        choices = known[name].metadata["choices"]
        values[name] = _seconds(name, value) if choices is None else _one_of(name, value, choices)
    return replace(settings, **values)


def _seconds(name: str, value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        raise BadSetting(f"{name} is a number, not {value!r}") from None
    if isinstance(value, bool) or not 0 <= number < float("inf"):
        raise BadSetting(f"{name} is a number from 0 on, not {value!r}")
    return number


def _one_of(name: str, value: object, choices: tuple[object, ...]) -> object:
    for choice in choices:
        if str(value).lower() == str(choice).lower():
            return choice
    raise BadSetting(f"{name} is one of {', '.join(map(str, choices))}, not {value!r}")
