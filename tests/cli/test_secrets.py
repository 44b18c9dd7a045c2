"""No secret in what commands print, log or keep, whatever goes wrong and whatever is asked for."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from ndicloudfs.cli import logs
from tests.support import keychain
from tests.support.mounting import Machine, machine, need_fuse
from tests.support.sandbox import Sandbox
from tests.support.system import dead_mounts

SIGNED = "X-Amz-Signature=deadbeef"


@pytest.fixture
def user(sandbox: Sandbox, tmp_path: Path) -> Iterator[Machine]:
    variables = {"NDI_CLOUD_URL": sandbox.url, **keychain.variables(tmp_path / "keychain")}
    with machine(tmp_path / "home", variables) as made:
        yield made


def token_of(user: Machine) -> str:
    file = user.home / ".local/state/ndicloudfs/profiles/default.json"
    return str(json.loads(file.read_text())["token"])


def test_every_command_keeps_password_and_token_to_itself(user: Machine, sandbox: Sandbox) -> None:
    need_fuse("mfusepy")
    said: list[str] = []

    def run(*arguments: str | Path, text: str | None = None) -> None:
        result = user.run(*arguments, text=text)
        said.extend((result.stdout, result.stderr))

    login = ("login", "--email", sandbox.email, "--password-stdin")
    run("--debug", *login, "--keychain", text=f"{sandbox.password}\n")
    secrets = {sandbox.password, token_of(user)}
    user.arguments = ("--log-level", "debug")
    root = user.mount()
    (root / "Sandbox Lab").iterdir()
    echo = {"error": f"{token_of(user)} /o?{SIGNED}"}
    for command in ("whoami", "doctor", "config", "status"):
        with dead_mounts():
            run(command)
            run(command, "--json")
            sandbox.fault("*", "status", count=2, status=400, body=echo)
            run("--debug", command)
            sandbox.clear_faults()
    sandbox.expire(tokens=True)
    echo = {"error": f"{sandbox.password} /o?{SIGNED}"}
    sandbox.fault("POST /auth/login", "status", count=-1, status=500, body=echo)
    run("--debug", "whoami")  # signs in with the password of the keychain
    run("--debug", *login, text=f"{sandbox.password}\n")
    sandbox.clear_faults()
    sandbox.expire(tokens=True)
    run("--debug", "whoami")
    secrets.add(token_of(user))
    said += [(root / ".ndicloudfs" / name).read_text() for name in ("status.json", "errors.log")]
    user.umount(root)
    run("--debug", "logout")
    kept = [path for path in user.home.rglob("*") if path.is_file()]
    text = "".join(said) + "".join(path.read_bytes().decode("latin-1") for path in kept)
    assert sandbox.email in text
    assert len(secrets) == 3
    for secret in (*secrets, "deadbeef", "eyJ", "Bearer "):
        assert secret not in text


def test_the_formatter_takes_secrets_out_of_tracebacks() -> None:
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    handler.setFormatter(logs.Redacting("%(message)s", ["geheim", ""]))
    logger = logging.Logger("of a library")
    logger.addHandler(handler)
    try:
        raise ValueError(f"GET https://bucket/o?{SIGNED} with geheim")
    except ValueError as error:
        logger.exception("failed with %s and Bearer abc.def", "geheim")
        debug = logs.traceback_of(error)
    assert "[...]" in shown.getvalue()
    assert "ValueError" in shown.getvalue()
    assert "geheim" not in shown.getvalue()
    assert "abc.def" not in shown.getvalue()
    for text in (shown.getvalue(), debug):
        assert "deadbeef" not in text


def test_a_log_file_is_rotated_and_private_in_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "logs/mount.log"
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    try:
        logs.set_up("info", file, [], {})
        for number in range(3):
            logging.getLogger("ndicloudfs.test").info("%d %s", number, "x" * 3_000_000)
    finally:
        for handler in [each for each in root.handlers if each not in before]:
            root.removeHandler(handler)
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)
    assert file.parent.stat().st_mode & 0o777 == 0o700
    names = sorted(path.name for path in file.parent.iterdir())
    assert names == ["mount.log", "mount.log.1", "mount.log.2"]
    assert all(path.stat().st_size < logs.MOST_BYTES for path in file.parent.iterdir())
