"""All state is in one folder: it survives the end of the sandbox, however that came."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.sandbox.raw import Api, body, fetch, ok, put, upload, zipped
from tests.support.sandbox import Sandbox


def test_restart_keeps_everything(sandbox: Sandbox, api: Api, dataset: str) -> None:
    document = api.document(dataset, body(1))
    upload(sandbox, api, dataset, "uid", b"12345")
    url = ok(api.file_detail(dataset, "uid"))["downloadUrl"]
    before = (sandbox.url, sandbox.object_url, sandbox.password, sandbox.organization_id)
    sandbox.set(create_status=201)
    sandbox.restart()
    assert (sandbox.url, sandbox.object_url, sandbox.password, sandbox.organization_id) == before
    assert ok(api.get(f"/datasets/{dataset}/documents/{document}"))["base"] == body(1)["base"]
    assert fetch(url).content == b"12345"
    assert api.post(f"/datasets/{dataset}/documents", body(2)).status_code == 201


@contextmanager
def served(data: Path, *options: str) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """A sandbox in a process of its own, killed at the end where it still runs."""
    command = [sys.executable, "-m", "ndicloudfs", "sandbox", "serve", "--data", str(data)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline()), process
        finally:
            process.kill()


def signed_in(ready: dict[str, str]) -> Api:
    with Api(ready["url"]) as nobody:
        sent = {"email": ready["email"], "password": ready["password"]}
        return Api(ready["url"], ok(nobody.post("/auth/login", sent))["token"])


def test_work_that_was_pending_is_done_after_sigkill(tmp_path: Path) -> None:
    with served(tmp_path / "data", "--delay", "document_import=3600") as (ready, process):
        with signed_in(ready) as api:
            dataset = api.dataset(ready["organization_id"])
            url = ok(api.post(f"/datasets/{dataset}/documents/bulk-upload"))["url"]
            content = zipped({"x.json": json.dumps([body(n) for n in range(700)])})
            assert put(url, content).status_code == 200
        process.kill()
        process.wait()
    make_due(tmp_path / "data")
    with Sandbox(tmp_path / "data") as sandbox:
        assert (sandbox.email, sandbox.password) == (ready["email"], ready["password"])
        sandbox.idle()
        with signed_in({**ready, "url": sandbox.url}) as api:
            assert ok(api.get(f"/datasets/{dataset}/document-count"))["count"] == 700


def make_due(data: Path) -> None:
    """Let an hour pass for what is planned."""
    connection = sqlite3.connect(data / "state.sqlite")
    connection.execute("UPDATE tasks SET due = due - 3600")
    connection.commit()
    connection.close()


def test_import_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    """Killed at any moment of an import, no document is lost and none comes twice."""
    data, count = tmp_path / "data", 4000
    with served(data) as (ready, process):
        with signed_in(ready) as api:
            dataset = api.dataset(ready["organization_id"])
            url = ok(api.post(f"/datasets/{dataset}/documents/bulk-upload"))["url"]
            put(url, zipped({"x.json": json.dumps([body(n) for n in range(count)])}))
            path = f"/datasets/{dataset}/document-count"
            for _ in range(10_000):
                if ok(api.get(path))["count"]:
                    break
        process.kill()
        process.wait()
    with Sandbox(data) as sandbox, signed_in({**ready, "url": sandbox.url}) as api:
        sandbox.idle()
        assert ok(api.get(path))["count"] == count


class TestServe:
    def test_prints_one_line_and_writes_the_ready_file(self, tmp_path: Path) -> None:
        ready_file = tmp_path / "ready.json"
        with served(tmp_path / "data", "--ready-file", str(ready_file)) as (ready, process):
            assert set(ready) == {"url", "object_url", "email", "password", "organization_id"}
            assert ready["url"].startswith("http://127.0.0.1:")
            assert ready["url"].endswith("/v1")
            assert json.loads(ready_file.read_text()) == ready
            assert stat.S_IMODE(ready_file.stat().st_mode) == 0o600
            with signed_in(ready) as api:
                me = ok(api.get("/users/me"))
                assert (me["isAdmin"], me["organizations"][0]["canUploadDataset"]) == (True, True)
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0

    def test_restart_prints_the_same_user_on_the_same_ports(self, tmp_path: Path) -> None:
        with served(tmp_path / "data") as (first, process):
            process.send_signal(signal.SIGINT)
            assert process.wait(10) == 0
        ports = [url.split(":")[2].split("/")[0] for url in (first["url"], first["object_url"])]
        options = ["--port", ports[0], "--object-port", ports[1]]
        with served(tmp_path / "data", *options) as (second, _):
            assert second == first

    def test_secrets_are_private(self, sandbox: Sandbox) -> None:
        for path in sandbox.data.iterdir():
            if path.is_file() and path.suffix not in (".sqlite-wal", ".sqlite-shm"):
                assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert stat.S_IMODE(sandbox.data.stat().st_mode) == 0o700
        state = b"".join(path.read_bytes() for path in sandbox.data.glob("state.sqlite*"))
        assert sandbox.password.encode() not in state

    def test_options_become_settings(self, tmp_path: Path) -> None:
        options = "--api-latency 1ms --object-latency 0.002s --object-bandwidth 80MB/s"
        options += " --bulk-fetch-per-document 0.001 --token-life 60 --url-life 5s"
        options += " --delay publish=2 --delay file-registration=0.5 --variant url_status=201"
        with (
            served(tmp_path / "data", *options.split()) as (ready, _),
            Api(ready["url"].removesuffix("/v1")) as control,
        ):
            shown = ok(control.get("/sandbox/settings"))
        expected = {
            "api_latency": 0.001,
            "object_latency": 0.002,
            "object_bandwidth": 80e6,
            "bulk_fetch_per_document": 0.001,
            "token_life": 60,
            "url_life": 5,
            "publish": 2,
            "file_registration": 0.5,
            "url_status": 201,
        }
        assert {name: shown[name] for name in expected} == expected

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ("--host 0.0.0.0", "--allow-remote"),
            ("--api-latency soon", "100ms"),
            ("--object-bandwidth fast", "80MB/s"),
            ("--delay publish", "NAME=VALUE"),
            ("--delay nothing=1", "publish"),
            ("--delay publish=soon", "publish"),
            ("--variant publish=1", "url_status"),
            ("--variant url_status=7", "201"),
        ],
    )
    def test_wrong_usage(self, tmp_path: Path, options: str, words: str) -> None:
        command = [sys.executable, "-m", "ndicloudfs", "sandbox", "serve"]
        command += ["--data", str(tmp_path / "data"), *options.split()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2
        assert words in done.stderr
        assert not (tmp_path / "data").exists()

    def test_says_what_to_install(self, tmp_path: Path) -> None:
        (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(name='aiohttp')")
        command = [sys.executable, "-m", "ndicloudfs", "sandbox", "serve", "--data", "x"]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, env=environment, check=False
        )
        assert done.returncode == 1
        assert "pip install 'ndicloudfs[sandbox]'" in done.stderr
        assert "Traceback" not in done.stderr
