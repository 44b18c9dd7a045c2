"""What ``doctor`` finds on machines that lack something."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndicloudfs.mount.mountpoint import mounted_at
from tests.support.mounting import Machine, account_of, machine, need_fuse, serving
from tests.support.sandbox import Sandbox
from tests.support.system import dead_mounts, until


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    with dead_mounts():
        yield


@pytest.fixture
def user(sandbox: Sandbox, tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "home", account_of(sandbox)) as made:
        yield made


def examined(user: Machine, *arguments: str) -> dict[str, tuple[str, str, str]]:
    """Verdict, finding and remedy of each check."""
    result = user.run("doctor", "--json", *arguments)
    assert "Traceback" not in result.stderr
    checks = json.loads(result.stdout)["checks"]
    broken = [check for check in checks if check["verdict"] == "broken"]
    assert result.returncode == (1 if broken else 0)
    return {check["name"]: (check["verdict"], check["found"], check["mend"]) for check in checks}


def test_a_machine_that_has_everything(user: Machine, sandbox: Sandbox) -> None:
    need_fuse("mfusepy")
    root = user.mount()
    found = examined(user)
    for name in ("python", "libfuse", "/dev/fuse", "fusermount", "cache", "network", "clock"):
        assert found[name][0] == "fine", found[name]
    assert found[f"mount {root}"] == ("fine", "answers", "")
    assert found["libfuse"][1].startswith("3.")
    verdict, text, _ = found["account"]
    assert verdict == "fine"
    assert text == f"{sandbox.email} from the environment; signs in again by itself"
    shown = user.run("doctor").stdout
    assert "fine     python: 3." in shown
    assert sandbox.password not in shown


def test_what_a_dead_mount_left_is_cleared(user: Machine) -> None:
    need_fuse("mfusepy")
    root = user.mount()
    (process,) = serving(root)
    os.kill(process, signal.SIGKILL)
    until(lambda: not serving(root))
    assert "is cleared" in examined(user)[f"mount {root}"][1]
    assert mounted_at(str(root)) is None


def test_a_server_that_is_away_and_an_account_that_is_nobodys(
    user: Machine, sandbox: Sandbox
) -> None:
    user.account = {**user.account, "NDI_CLOUD_PASSWORD": "wrong"}
    assert examined(user)["account"][0] == "broken"
    user.account = {"NDI_CLOUD_URL": sandbox.url}
    assert examined(user)["account"] == (
        *("warning", "nobody: published data only", "ndicloudfs login"),
    )
    sandbox.stop()
    verdict, found, mend = examined(user)["network"]
    assert verdict == "broken"
    assert "does not answer" in found
    assert mend.startswith("curl")


def test_a_missing_binding_and_its_package(user: Machine) -> None:
    user.binding = "pyfuse3"
    verdict, found, _ = examined(user)["libfuse"]
    assert verdict == "broken"
    assert "it can be mfusepy or fusepy" in found


def test_a_damaged_cache_and_one_that_others_may_write_to(user: Machine, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "index/host").mkdir(parents=True)
    file = cache / "index/host/me.sqlite"
    file.write_bytes(os.urandom(8192))
    verdict, found, mend = examined(user, "--cache-dir", str(cache))["cache"]
    assert verdict == "warning"
    assert f"{file} is damaged" in found
    assert mend == f"rm {file}"
    cache.chmod(0o777)
    assert examined(user, "--cache-dir", str(cache))["cache"][0] == "broken"
