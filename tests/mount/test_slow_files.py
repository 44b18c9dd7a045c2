"""One slow file holds up nobody else: 64 threads and 128 requests, under both bindings."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.sandbox.raw import body, login, upload
from tests.support.mounting import BINDINGS, account_of, machine
from tests.support.sandbox import Sandbox
from tests.support.system import until

SLOW = 30  # readers at once: more than the 10 threads and 12 requests that libfuse 3 begins with
PLENTY = 10_000


@pytest.fixture(params=BINDINGS)
def folder(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> Iterator[Path]:
    """The folder of a dataset with ``SLOW`` files and one more, the last."""
    with login(sandbox) as api:
        dataset = api.dataset(sandbox.organization_id)
        for number in range(SLOW + 1):
            upload(sandbox, api, dataset, f"u{number}", os.urandom(1000))
        info = [
            {"name": f"{number}.bin", "locations": {"uid": f"u{number}"}}
            for number in range(SLOW + 1)
        ]
        api.document(dataset, body(0, files={"file_info": info}))
        home = tmp_path / "home"
        with machine(home, account_of(sandbox), binding=request.param) as user:
            yield user.mount() / dataset / "files" / "subject" / str(body(0)["base"]["id"])


def test_a_file_is_read_while_the_object_store_keeps_thirty_others_waiting(
    sandbox: Sandbox, folder: Path
) -> None:
    last = folder / f"{SLOW}.bin"
    assert sum(path.stat().st_size for path in folder.iterdir()) == 1000 * (SLOW + 1)
    assert len(last.read_bytes()) == 1000
    with ExitStack() as stack:
        sandbox.fault("*", "hang", count=PLENTY)
        stack.callback(sandbox.clear_faults)
        readers = [
            threading.Thread(target=(folder / f"{number}.bin").read_bytes, daemon=True)
            for number in range(SLOW)
        ]
        for reader in readers:
            reader.start()
        until(lambda: hanging(sandbox) >= SLOW)
        with last.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            assert len(file.read()) == 1000
        assert all(reader.is_alive() for reader in readers)
    for reader in readers:
        reader.join(30)


def hanging(sandbox: Sandbox) -> int:
    """How many requests the sandbox keeps waiting."""
    (fault,) = sandbox.control("GET", "/faults")["faults"]
    return PLENTY - int(fault["count"])
