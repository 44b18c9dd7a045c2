"""Mounts of people who have signed in with ``ndicloudfs login``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mount.conftest import ORGANIZATION
from tests.support import keychain
from tests.support.mounting import Machine, machine, need_fuse
from tests.support.sandbox import Sandbox
from tests.support.system import until


@pytest.fixture
def user(sandbox: Sandbox, tmp_path: Path) -> Iterator[Machine]:
    """Somebody with a keychain; listings are believed for a moment only."""
    need_fuse("mfusepy")
    variables = {"NDI_CLOUD_URL": sandbox.url, **keychain.variables(tmp_path / "keychain")}
    with machine(tmp_path / "home", variables, "--metadata-ttl", "0.1") as made:
        yield made


def log_in(user: Machine, sandbox: Sandbox, *arguments: str) -> None:
    command = ("login", "--email", sandbox.email, "--password-stdin", *arguments)
    result = user.run(*command, text=f"{sandbox.password}\n")
    assert result.returncode == 0, result.stderr


def make_dataset(sandbox: Sandbox, user: Machine, name: str) -> None:
    made = user.run("sandbox", "sample", "--name", name, "--documents", "3", *_ready(sandbox, user))
    assert made.returncode == 0, made.stderr


def _ready(sandbox: Sandbox, user: Machine) -> tuple[str, ...]:
    file = user.home / "ready.json"
    if not file.exists():
        text = '{{"url": "{0}", "email": "{1}", "password": "{2}", "organization_id": "{3}"}}'
        where = (sandbox.url, sandbox.email, sandbox.password, sandbox.organization_id)
        file.write_text(text.format(*where))
    return ("--ready-file", str(file))


def listed(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208
    except PermissionError:
        return []


def test_with_the_password_in_the_keychain_a_mount_signs_in_again(
    user: Machine, sandbox: Sandbox
) -> None:
    log_in(user, sandbox, "--keychain")
    root = user.mount()
    assert ORGANIZATION in listed(root)
    sandbox.expire(tokens=True)
    make_dataset(sandbox, user, "New")
    until(lambda: "New" in listed(root / ORGANIZATION))
    assert sandbox.password not in user.log()


def test_without_it_the_cache_goes_on_and_a_login_elsewhere_revives_the_mount(
    user: Machine, sandbox: Sandbox
) -> None:
    log_in(user, sandbox, "--no-keychain")
    make_dataset(sandbox, user, "Old")
    target = user.home / "ndi"
    target.mkdir()
    result = user.run("mount", target, *user.arguments)
    user.mounts.append(target)
    assert result.returncode == 0
    assert "its token ends at" in result.stderr
    assert "until: ndicloudfs login" in result.stderr
    document = next((target / ORGANIZATION / "Old/documents").glob("subject/*.json"))
    text = document.read_text()
    sandbox.expire(tokens=True)
    make_dataset(sandbox, user, "New")
    for _ in range(5):
        assert document.read_text() == text
        assert listed(target / ORGANIZATION) == ["Old"]
    log_in(user, sandbox, "--no-keychain")
    until(lambda: listed(target / ORGANIZATION) == ["New", "Old"])
    assert (target / ORGANIZATION / "New/documents/subject").is_dir()


def test_a_login_elsewhere_lets_what_was_written_go_on_within_seconds(
    user: Machine, sandbox: Sandbox
) -> None:
    log_in(user, sandbox, "--no-keychain")
    make_dataset(sandbox, user, "Study")
    user.arguments = ("--write-pace", "10")  # it pauses for 40 s when it finds nobody signed in
    root = user.mount()
    folder = root / ORGANIZATION / "Study/documents/subject"
    assert listed(folder)
    sandbox.expire(tokens=True)
    (folder / "new.json").write_text('{"base": {"name": "new"}}')
    user.run("sync", root)

    def queue() -> dict[str, Any]:
        facts = json.loads((root / ".ndicloudfs/status.json").read_text())
        return dict(facts["queue"])

    until(lambda: "ndicloudfs login" in str(queue()["outage"]))
    sent = sandbox.count("POST /datasets/{id}/documents")
    log_in(user, sandbox, "--no-keychain")
    until(lambda: sandbox.count("POST /datasets/{id}/documents") > sent)
    until(lambda: queue()["outage"] is None)


def test_a_login_as_somebody_else_does_not_change_whose_the_mount_is(
    user: Machine, sandbox: Sandbox
) -> None:
    log_in(user, sandbox, "--no-keychain")
    root = user.mount()
    assert ORGANIZATION in listed(root)
    sandbox.add_user("other@example.org", "Passw0rd!", "Other Lab")
    command = ("login", "--email", "other@example.org", "--password-stdin", "--no-keychain")
    assert user.run(*command, text="Passw0rd!\n").returncode == 0
    sandbox.expire(tokens=True)
    assert listed(root) == sorted([".ndicloudfs", ORGANIZATION, "published"])
    with pytest.raises(PermissionError):
        (root / ("1" * 24)).stat()


@pytest.mark.parametrize(
    "source", [ORGANIZATION, "Study", f"{ORGANIZATION}/Study", "published", "published/Study"]
)
def test_a_source_is_the_root_of_the_mount(user: Machine, sandbox: Sandbox, source: str) -> None:
    log_in(user, sandbox, "--no-keychain")
    ready = _ready(sandbox, user)
    made = user.run("sandbox", "sample", "--name", "Study", "--documents", "3", "--publish", *ready)
    assert made.returncode == 0, made.stderr
    target = user.home / "ndi"
    target.mkdir()
    result = user.run("mount", source, target)
    assert result.returncode == 0, result.stderr
    user.mounts.append(target)
    inside = ["Study"] if source in (ORGANIZATION, "published") else []
    expected = inside or ["dataset.json", "documents", "files"]
    assert listed(target) == sorted([".ndicloudfs", *expected])
    assert (target / ".ndicloudfs/status.json").read_bytes()
    assert len(list((target / "/".join(inside) / "documents").glob("*/*.json"))) == 3


def test_a_source_that_is_not_there_says_so(user: Machine, sandbox: Sandbox) -> None:
    log_in(user, sandbox, "--no-keychain")
    target = user.home / "ndi"
    target.mkdir()
    result = user.run("mount", "Nobody's Lab", target)
    assert result.returncode == 1
    assert "There is no organization and no dataset" in result.stderr


def test_owner_and_permissions_follow_the_options(user: Machine, sandbox: Sandbox) -> None:
    log_in(user, sandbox, "--no-keychain")
    user.arguments = ("-o", "uid=1234,gid=4321,umask=027,_netdev,noauto,x-systemd.automount")
    root = user.mount()
    found = (root / "published").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (1234, 4321, 0o550)
    assert (root / ".ndicloudfs/status.json").stat().st_mode & 0o777 == 0o440
