"""The sandbox's own calls: settings, log, users, datasets, odd data."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import requests

from ndicloudfs.sandbox.faults import KINDS
from ndicloudfs.sandbox.settings import VARIANT, Settings, names
from tests.sandbox.raw import Api, body, fetch, login, ndi_id, ok, upload
from tests.support.sandbox import Sandbox

CHOSEN_ID = "65f0c0ffee0000000000d001"


class TestSettings:
    def test_are_shown_and_changed(self, sandbox: Sandbox) -> None:
        assert sandbox.control("GET", "/settings")["token_life"] == 3600
        sandbox.set(token_life=60, gzip=False)
        shown = sandbox.control("GET", "/settings")
        assert (shown["token_life"], shown["gzip"]) == (60, False)
        assert set(shown) == set(Settings.__dataclass_fields__)

    @pytest.mark.parametrize(
        "change",
        [{"no_such": 1}, {"url_status": 300}, {"token_life": "long"}, {"api_latency": -1}],
    )
    def test_bad_ones_are_refused(self, sandbox: Sandbox, change: dict[str, object]) -> None:
        with pytest.raises(requests.HTTPError, match="400"):
            sandbox.set(**change)

    def test_every_variant_can_have_each_of_its_values(self, sandbox: Sandbox) -> None:
        for name in names(VARIANT):
            for choice in Settings.__dataclass_fields__[name].metadata["choices"]:
                sandbox.set(**{name: choice})
                assert sandbox.control("GET", "/settings")[name] == choice

    def test_latency(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        document = api.document(dataset, body(1))
        for setting, seconds in (("api_latency", 0.05), ("bulk_fetch_per_document", 0.05)):
            sandbox.set(api_latency=0, bulk_fetch_per_document=0)
            sandbox.set(**{setting: seconds})
            started = time.monotonic()
            ok(api.post(f"/datasets/{dataset}/documents/bulk-fetch", {"documentIds": [document]}))
            assert time.monotonic() - started >= seconds


class TestLog:
    def test_of_both_ports(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        upload(sandbox, api, dataset, "uid", b"12345")
        url = ok(api.file_detail(dataset, "uid"))["downloadUrl"]
        sandbox.clear_log()
        started = time.time()
        ok(api.get("/users/me"))
        fetch(url, "bytes=1-2")
        first, second = sandbox.log()
        assert (first["route"], first["port"], first["status"]) == ("GET /users/me", "api", 200)
        assert (first["method"], first["path"]) == ("GET", "/v1/users/me")
        assert first["user_id"] == ok(api.get("/users/me"))["id"]
        assert first["response_bytes"] > 0
        assert started <= first["time"] <= time.time()
        assert first["number"] < second["number"]
        assert (second["route"], second["port"]) == ("GET /objects", "object")
        assert (second["status"], second["range"]) == (206, "bytes=1-2")
        assert (second["response_bytes"], second["user_id"]) == (2, None)
        assert sandbox.log(port="object") == sandbox.log("GET /objects") == [second]
        assert sandbox.count("GET /users/me") == 2

    def test_since(self, sandbox: Sandbox, api: Api) -> None:
        ok(api.get("/users/me"))
        last = sandbox.log()[-1]["number"]
        ok(api.get("/datasets/published"))
        (later,) = sandbox.control("GET", f"/log?since={last}")["requests"]
        assert later["route"] == "GET /datasets/published"

    def test_upload(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        upload(sandbox, api, dataset, "uid", b"12345")
        (entry,) = sandbox.log("PUT /objects")
        assert (entry["status"], entry["request_bytes"]) == (200, 5)

    def test_holds_no_secret(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        upload(sandbox, api, dataset, "uid", b"12345")
        fetch(ok(api.file_detail(dataset, "uid"))["downloadUrl"])
        text = str(sandbox.log())
        for secret in ("Amz", "Signature", "?", api.token, sandbox.password):
            assert secret not in text


class TestUsers:
    def test_administrator(self, sandbox: Sandbox, dataset: str) -> None:
        sandbox.add_user("admin@example.org", is_admin=True)
        with login(sandbox, "admin@example.org") as admin:
            assert ok(admin.get("/users/me"))["isAdmin"] is True
            ok(admin.post(f"/datasets/{dataset}/publish"))

    def test_email_is_needed_and_unique(self, sandbox: Sandbox) -> None:
        for email in (sandbox.email, sandbox.email.upper()):
            with pytest.raises(requests.HTTPError, match="400"):
                sandbox.add_user(email)
        with pytest.raises(requests.HTTPError, match="400"):
            sandbox.control("POST", "/users", {"password": "x"})


class TestDatasets:
    def order(self, sandbox: Sandbox, dataset_id: str) -> str:
        sent = {
            "organization_id": sandbox.organization_id,
            "id": dataset_id,
            "fields": {"name": "Chosen"},
        }
        return str(sandbox.control("POST", "/datasets", sent)["id"])

    def test_id_can_be_chosen(self, sandbox: Sandbox, api: Api) -> None:
        assert self.order(sandbox, CHOSEN_ID) == CHOSEN_ID
        assert api.detail(CHOSEN_ID)["name"] == "Chosen"
        with pytest.raises(requests.HTTPError, match="409"):
            self.order(sandbox, CHOSEN_ID)
        with pytest.raises(requests.HTTPError, match="400"):
            self.order(sandbox, "odd")

    def test_not_through_the_api(self, sandbox: Sandbox, api: Api) -> None:
        assert api.dataset(sandbox.organization_id, id=CHOSEN_ID, _id=CHOSEN_ID) != CHOSEN_ID


class TestPlant:
    def test_raw_dataset(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        sandbox.plant(dataset, set={"doi": None, "isPublished": True}, unset=["name", "funding"])
        (row,) = ok(api.get("/datasets/published"))["datasets"]
        assert row["doi"] is None
        assert "name" not in row
        assert "funding" not in api.detail(dataset)

    def test_raw_documents(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        first, second = sandbox.plant(
            dataset,
            documents=[
                {"body": {}},
                {"body": body(1), "summary": {"className": "", "ndiId": None, "name": 5}},
            ],
        )
        rows = ok(api.get(f"/datasets/{dataset}/documents"))["documents"]
        assert rows == [
            {"id": first, "datasetId": dataset},
            {"id": second, "className": "", "ndiId": None, "name": 5},
        ]
        assert ok(api.get(f"/datasets/{dataset}/documents/{first}")) == {"id": first}
        assert ok(api.get(f"/datasets/{dataset}/documents/{second}"))["base"]["id"] == ndi_id(1)

    def test_raw_files(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        upload(sandbox, api, dataset, "uid", b"12345")
        odd = [{"uid": "uid"}, {"size": 3}, {"uid": "no", "uploaded": False}, None, "text"]
        sandbox.plant(dataset, files=odd)
        assert api.detail(dataset)["files"] == odd
        known = ok(api.file_detail(dataset, "uid"))
        assert set(known) == {"uid", "downloadUrl"}
        assert fetch(known["downloadUrl"]).content == b"12345"
        assert ok(api.file_detail(dataset, "no")) == {"uid": "no", "uploaded": False}

    def test_removed_object(self, sandbox: Sandbox, api: Api, dataset: str) -> None:
        upload(sandbox, api, dataset, "uid", b"12345")
        sandbox.plant(dataset, remove_objects=["uid"])
        detail = ok(api.file_detail(dataset, "uid"))
        assert detail["uploaded"] is True
        assert fetch(detail["downloadUrl"]).status_code == 404


def test_documentation_names_every_setting_and_fault() -> None:
    text = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text()
    for name in (*Settings.__dataclass_fields__, *KINDS):
        assert f"`{name}`" in text, name


def test_idle_is_bounded(sandbox: Sandbox, api: Api, dataset: str) -> None:
    sandbox.idle(seconds=0)
    sandbox.set(publish=3600)
    ok(api.post(f"/datasets/{dataset}/publish"))
    with pytest.raises(requests.HTTPError, match="504"):
        sandbox.idle(seconds=0.01)


def test_idle_does_not_wait_for_prunings_that_lie_ahead(
    sandbox: Sandbox, api: Api, dataset: str
) -> None:
    ok(api.delete(f"/datasets/{dataset}", when="7d"))
    sandbox.idle()
