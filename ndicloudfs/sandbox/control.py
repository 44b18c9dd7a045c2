"""A client of the sandbox's own calls, those that NDI Cloud does not have."""

from __future__ import annotations

from typing import Any

import requests

TIMEOUT = 30.0  # s


class ControlError(Exception):
    """The sandbox did not do what it was asked for: ``str(error)`` says why."""


def create_dataset(url: str, organization_id: str, dataset_id: str, fields: dict[str, Any]) -> str:
    """Make an empty dataset under an id of one's own choice (24 hex digits); gives the id.

    ``url`` is that of the API, with ``/v1``. Raises ControlError, also when the id is taken.
    """
    answer = _call(
        url,
        "/sandbox/datasets",
        {"organization_id": organization_id, "id": dataset_id, "fields": fields},
    )
    return str(answer.get("id") or dataset_id)


def _call(url: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    try:
        response = requests.post(url.removesuffix("/v1") + path, json=body, timeout=TIMEOUT)
    except requests.RequestException as error:
        raise ControlError(f"no sandbox answers at {url}") from error
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not response.ok or not isinstance(answer, dict):
        said = answer.get("error") if isinstance(answer, dict) else "it is no sandbox"
        raise ControlError(f"{url} refused {path} ({response.status_code}): {said}")
    return answer
