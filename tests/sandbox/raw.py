"""Raw HTTP to a sandbox, and the few things that tests of the contract are made of."""

from __future__ import annotations

import io
import json
import zipfile
from types import TracebackType
from typing import Any, TypeAlias
from urllib.parse import quote

import requests

from tests.support.sandbox import Sandbox

Json: TypeAlias = dict[str, Any]

PASSWORD = "Passw0rd!"
UNKNOWN_ID = "0" * 24
TIMEOUT = 30.0


class Api:
    """The API as one user sees it, or as nobody in particular."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._session = requests.Session()
        self.token = token
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def call(
        self, method: str, path: str, body: object = None, **options: Any
    ) -> requests.Response:
        return self._session.request(
            method, self._url + path, json=body, timeout=TIMEOUT, **options
        )

    def get(self, path: str, **query: object) -> requests.Response:
        return self.call("GET", path, params=query)

    def post(self, path: str, body: object = None, **query: object) -> requests.Response:
        return self.call("POST", path, body, params=query)

    def delete(self, path: str, **query: object) -> requests.Response:
        return self.call("DELETE", path, params=query)

    def dataset(self, organization_id: str, **fields: object) -> str:
        """A new draft; gives its id."""
        answer = self.post(f"/organizations/{organization_id}/datasets", {"name": "D", **fields})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def document(self, dataset_id: str, document: Json) -> str:
        """A new document; gives its cloud id."""
        answer = self.post(f"/datasets/{dataset_id}/documents", document)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def detail(self, dataset_id: str) -> Json:
        return ok(self.get(f"/datasets/{dataset_id}"))

    def upload_url(self, dataset_id: str, uid: str) -> str:
        organization_id = self.detail(dataset_id)["organizationId"]
        path = f"/datasets/{organization_id}/{dataset_id}/files/{quote(uid, safe='')}"
        return str(ok(self.get(path))["url"])

    def file_detail(self, dataset_id: str, uid: str) -> requests.Response:
        return self.get(f"/datasets/{dataset_id}/files/{quote(uid, safe='')}/detail")

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Api:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def login(sandbox: Sandbox, email: str = "", password: str = PASSWORD) -> Api:
    """The API as the user with ``email`` sees it; the first user when not given."""
    who = {"email": email, "password": password}
    if not email:
        who = {"email": sandbox.email, "password": sandbox.password}
    with Api(sandbox.url) as nobody:
        return Api(sandbox.url, ok(nobody.post("/auth/login", who))["token"])


def ok(answer: requests.Response) -> Json:
    """The body of an answer that must be 200."""
    assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
    body: Json = answer.json()
    return body


def put(url: str, content: bytes) -> requests.Response:
    headers = {"Content-Type": "application/octet-stream"}
    return requests.put(url, data=content, headers=headers, timeout=TIMEOUT)


def fetch(url: str, range_: str | None = None, **headers: str) -> requests.Response:
    """GET of a presigned URL, as a client does it: no compression, perhaps a range."""
    sent = {"Accept-Encoding": "identity", **headers}
    if range_ is not None:
        sent["Range"] = range_
    return requests.get(url, headers=sent, timeout=TIMEOUT)


def upload(sandbox: Sandbox, api: Api, dataset_id: str, uid: str, content: bytes) -> None:
    """PUT a file and wait until it is registered."""
    assert put(api.upload_url(dataset_id, uid), content).status_code == 200
    sandbox.idle()


def zipped(members: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def unzipped(content: bytes) -> list[Json]:
    """The documents of a bulk-download ZIP: one member that is an array (5.9)."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (member,) = archive.namelist()
        documents: list[Json] = json.loads(archive.read(member))
        return documents


def ndi_id(number: int) -> str:
    return f"41269430c7ae{number:04x}_40c0a675929cea61"


def body(number: int = 1, class_name: str = "subject", **blocks: object) -> Json:
    """The bare body of a document (7.1)."""
    return {
        "base": {
            "id": ndi_id(number),
            "session_id": ndi_id(0xFFFF),
            "name": f"name {number}",
            "datestamp": "2026-01-02T03:04:05.006Z",
        },
        "document_class": {
            "class_name": class_name,
            "superclasses": [{"definition": "$NDIDOCUMENTPATH/base.json"}],
        },
        "depends_on": [],
        **blocks,
    }


def file_body(number: int, uid: str) -> Json:
    """A body with one file, single objects where there could be lists (7.3)."""
    place = {"uid": uid, "location": "/home/rig/data.bin", "location_type": "file", "ingest": 1}
    files = {"file_list": "data.bin", "file_info": {"name": "data.bin", "locations": place}}
    return body(number, "generic_file", files=files)
