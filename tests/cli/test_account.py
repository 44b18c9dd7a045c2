"""Signing in and out on a terminal, and what is left on the disk."""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pexpect
import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.support import keychain
from tests.support.mounting import Machine, account_of
from tests.support.sandbox import Sandbox

ORGANIZATION = "Sandbox Lab"


@pytest.fixture
def user(sandbox: Sandbox, tmp_path: Path) -> Machine:
    """Somebody who has a keychain and has not signed in yet."""
    home = tmp_path / "home"
    home.mkdir()
    secrets = keychain.variables(tmp_path / "keychain")
    return Machine(home, {"NDI_CLOUD_URL": sandbox.url, **secrets})


def terminal(user: Machine, *arguments: str, columns: int = 80) -> pexpect.spawn[str]:
    """A command on a terminal of its own."""
    return pexpect.spawn(
        sys.executable,
        ["-m", "ndicloudfs", *arguments],
        env=user.environment,
        encoding="utf-8",
        timeout=30,
        dimensions=(24, columns),
    )


def log_in(user: Machine, sandbox: Sandbox, *arguments: str, keep: str = "") -> str:
    """Sign in on a terminal; everything that it showed."""
    shown = []
    with terminal(user, "login", *arguments) as session:
        session.expect("E-mail")
        shown.append(session.before)
        session.sendline(sandbox.email)
        session.expect("Password: ")
        session.sendline(sandbox.password)
        if keep:
            session.expect(r"Keep the password in the keychain.*\[Y/n\]: ")
            shown.append(session.before)
            session.sendline(keep)
        session.expect(pexpect.EOF)
        shown.append(session.before)
    assert session.exitstatus == 0, shown
    return "".join(map(str, shown))


def stored(user: Machine, profile: str = "default") -> Path:
    return user.home / f".local/state/ndicloudfs/profiles/{profile}.json"


def files(folder: Path) -> Iterator[bytes]:
    return (path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_login_asks_shows_the_organizations_and_keeps_the_password_in_the_keychain(
    user: Machine, sandbox: Sandbox, tmp_path: Path
) -> None:
    shown = log_in(user, sandbox, keep="y")
    assert sandbox.password not in shown
    assert ORGANIZATION in shown
    assert sandbox.organization_id in shown
    assert "mounts stay signed in" in shown
    assert sandbox.password in (tmp_path / "keychain").read_text()
    assert not any(sandbox.password.encode() in data for data in files(user.home))
    assert stored(user).stat().st_mode & 0o777 == 0o600
    assert stored(user).parent.stat().st_mode & 0o777 == 0o700
    sandbox.clear_log()
    shown = user.run("whoami").stdout
    assert f"{sandbox.email}> at 127.0.0.1" in shown
    assert "profile default; signs in again by itself" in shown
    assert sandbox.count("POST /auth/login") == 0
    sandbox.expire(tokens=True)
    assert user.run("whoami").returncode == 0
    assert user.run("whoami").returncode == 0
    assert sandbox.count("POST /auth/login") == 1


def test_without_a_keychain_the_token_alone_is_kept(user: Machine, sandbox: Sandbox) -> None:
    shown = log_in(user, sandbox, keep="n")
    assert re.search(
        r"Only the token is kept, in .*; its token ends at \d\d:\d\d, in (60|59)", shown
    )
    assert not any(sandbox.password.encode() in data for data in files(user.home))
    found = json.loads(user.run("whoami", "--json").stdout)
    assert found["email"] == sandbox.email
    assert found["organizations"][0]["name"] == ORGANIZATION
    assert not found["signs_in_again"]
    sandbox.expire(tokens=True)
    result = user.run("whoami")
    assert result.returncode == 3
    assert "run: ndicloudfs login" in result.stderr


def test_a_wrong_password_may_be_typed_again(user: Machine, sandbox: Sandbox) -> None:
    with terminal(user, "login", "--email", sandbox.email, "--no-keychain") as session:
        for password in ("wrong", "wronger", sandbox.password):
            session.expect("Password: ")
            session.sendline(password)
        session.expect("Signed in as")
        session.expect(pexpect.EOF)
    assert session.exitstatus == 0
    with terminal(user, "login", "--email", sandbox.email) as session:
        for _ in range(3):
            session.expect("Password: ")
            session.sendline("wrong")
        session.expect("does not accept the e-mail and the password")
        session.expect(pexpect.EOF)
    assert session.exitstatus == 3


def test_ctrl_c_at_a_prompt_ends_it_and_stores_nothing(user: Machine) -> None:
    with terminal(user, "login") as session:
        session.expect("E-mail: ")
        ended = 1
        while ended:  # what is pressed before the reading has begun counts with the next key
            session.sendintr()
            ended = session.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=1)
        assert "interrupted" in str(session.before)
    assert session.exitstatus == 130
    assert not stored(user).exists()


def test_without_a_terminal_the_password_comes_from_standard_input(
    user: Machine, sandbox: Sandbox
) -> None:
    result = user.run("login")
    assert result.returncode == 2
    assert "--password-stdin" in result.stderr
    arguments = ("login", "--email", sandbox.email, "--password-stdin", "--no-keychain")
    result = user.run(*arguments, text=f"{sandbox.password}\n")
    assert result.returncode == 0, result.stderr
    assert ORGANIZATION in result.stdout


def test_a_name_cannot_command_the_terminal(user: Machine, sandbox: Sandbox) -> None:
    sandbox.add_user("odd@example.org", "Passw0rd!", "Lab\x1b[2J\u202e")
    arguments = ("login", "--email", "odd@example.org", "--password-stdin", "--no-keychain")
    shown = user.run(*arguments, text="Passw0rd!\n").stdout
    assert "Lab?[2J?" in shown
    assert "\x1b" not in shown


def test_profiles_are_signed_in_side_by_side(user: Machine, sandbox: Sandbox) -> None:
    sandbox.add_user("other@example.org", "Passw0rd!", "Other Lab")
    log_in(user, sandbox, keep="n")
    arguments = ("--profile", "other", "--email", "other@example.org", "--password-stdin")
    assert user.run("login", *arguments, text="Passw0rd!\n").returncode == 0
    user.account = {k: v for k, v in user.account.items() if k != "NDI_CLOUD_URL"}
    assert "Other Lab" in user.run("whoami", "--profile", "other").stdout
    assert ORGANIZATION in user.run("whoami").stdout
    result = user.run("whoami", "--profile", "third")
    assert result.returncode == 3
    assert "run: ndicloudfs login --profile third" in result.stderr


def test_the_token_goes_to_its_own_server_only(
    user: Machine, sandbox: Sandbox, tmp_path: Path
) -> None:
    log_in(user, sandbox, keep="y")
    with Sandbox(tmp_path / "elsewhere") as elsewhere:
        user.account = {**user.account, "NDI_CLOUD_URL": elsewhere.url}
        assert user.run("whoami").returncode == 3
        assert elsewhere.log() == []


def test_the_variables_of_the_other_clients_win(user: Machine, sandbox: Sandbox) -> None:
    log_in(user, sandbox, keep="n")
    sandbox.add_user("other@example.org", "Passw0rd!", "Other Lab")
    user.account = {
        **user.account,
        "NDI_CLOUD_USERNAME": "other@example.org",
        "NDI_CLOUD_PASSWORD": "Passw0rd!",
    }
    shown = user.run("whoami").stdout
    assert "Other Lab" in shown
    assert "Known from the environment" in shown


def test_logout_forgets_token_and_password_and_tells_the_server(
    user: Machine, sandbox: Sandbox, tmp_path: Path
) -> None:
    log_in(user, sandbox, keep="y")
    token = json.loads(stored(user).read_text())["token"]
    shown = user.run("logout")
    assert f"Signed out {sandbox.email}" in shown.stdout
    assert not stored(user).exists()
    assert json.loads((tmp_path / "keychain").read_text()) == {}
    assert sandbox.count("POST /auth/logout") == 1
    assert not any(token.encode() in data for data in files(user.home))
    assert user.run("whoami").returncode == 3
    assert "Nobody was signed in" in user.run("logout").stdout


def test_logout_works_offline(user: Machine, sandbox: Sandbox) -> None:
    log_in(user, sandbox, keep="n")
    sandbox.stop()
    assert user.run("logout").returncode == 0
    assert not stored(user).exists()


def test_a_file_that_others_may_read_is_not_believed(user: Machine, sandbox: Sandbox) -> None:
    log_in(user, sandbox, keep="n")
    stored(user).chmod(0o644)
    assert user.run("whoami").returncode == 3


def test_whoami_offline_ends_with_4(user: Machine, sandbox: Sandbox) -> None:
    log_in(user, sandbox, keep="n")
    place = urlsplit(account_of(sandbox)["NDI_CLOUD_URL"])
    sandbox.stop()
    with socket.socket() as kept:  # by nobody else's sandbox meanwhile
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kept.bind((place.hostname, place.port))
        result = user.run("whoami")
    assert result.returncode == 4
    assert "cannot be reached" in result.stderr


# Profiles of the existing clients


def other_client(user: Machine, sandbox: Sandbox, password_in: str) -> Path:
    """A profile folder as the Python client writes it; gives the folder."""
    folder = user.home / ".ndi"
    folder.mkdir()
    uid = "0b6d0e5e3c0f4f3a9a602f8d5f2b7c11"
    profile = {"UID": uid, "Nickname": "lab account", "Email": sandbox.email, "Stage": "prod"}
    profiles = {"Profiles": profile, "DefaultUID": uid}  # a bare object, as MATLAB writes one
    (folder / "NDI_Cloud_Profiles.json").write_text(json.dumps(profiles))
    if password_in == "keychain":
        secrets = {f"ndi-cloud/NDI Cloud {uid}": sandbox.password}
        Path(user.account["TEST_KEYCHAIN"]).write_text(json.dumps(secrets))
    else:
        who = f"{socket.gethostname()} {getpass.getuser()} NDI Cloud"
        key = hashlib.sha256(who.encode()).digest()[:16]
        padder = padding.PKCS7(128).padder()
        padded = padder.update(sandbox.password.encode()) + padder.finalize()
        encryptor = Cipher(algorithms.AES(key), modes.CBC(b"i" * 16)).encryptor()
        text = encryptor.update(padded) + encryptor.finalize()
        coded = {"iv": base64.b64encode(b"i" * 16), "ciphertext": base64.b64encode(text)}
        entry = {name: value.decode() for name, value in coded.items()}
        (folder / "NDI_Cloud_Secrets.json").write_text(json.dumps({f"NDI_Cloud_{uid}": entry}))
    return folder


@pytest.mark.parametrize("password_in", ["keychain", "file"])
def test_profiles_of_the_existing_clients_are_read_and_never_written(
    user: Machine, sandbox: Sandbox, password_in: str
) -> None:
    folder = other_client(user, sandbox, password_in)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    shown = user.run("whoami", "--profile", "lab account")
    assert shown.returncode == 0, shown.stderr
    assert "profile lab account of the other NDI clients" in shown.stdout
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    # A password goes to another server than its own only where the profile is named.
    assert user.run("whoami").returncode == 3
