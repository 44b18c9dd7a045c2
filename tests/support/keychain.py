"""A keychain for programs under test, loaded by ``keyring`` as any back end: a file of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import keyring.backend
import keyring.errors


class FileKeychain(keyring.backend.KeyringBackend):
    """Secrets in the file that ``TEST_KEYCHAIN`` names."""

    priority = 9.0

    @property
    def _file(self) -> Path:
        return Path(os.environ["TEST_KEYCHAIN"])

    def _load(self) -> dict[str, str]:
        if self._file.with_suffix(".locked").exists():
            raise keyring.errors.KeyringLocked("the keychain is locked")
        loaded: dict[str, str] = json.loads(self._file.read_text()) if self._file.exists() else {}
        return loaded

    def get_password(self, service: str, username: str) -> str | None:
        return self._load().get(f"{service}/{username}")

    def set_password(self, service: str, username: str, password: str) -> None:
        self._file.write_text(json.dumps({**self._load(), f"{service}/{username}": password}))

    def delete_password(self, service: str, username: str) -> None:
        secrets = self._load()
        if secrets.pop(f"{service}/{username}", None) is None:
            raise keyring.errors.PasswordDeleteError("not there")
        self._file.write_text(json.dumps(secrets))


def variables(file: Path) -> dict[str, str]:
    """The variables that make ``keyring`` use it."""
    return {
        "PYTHON_KEYRING_BACKEND": "tests.support.keychain.FileKeychain",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TEST_KEYCHAIN": str(file),
    }
