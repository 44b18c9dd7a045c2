"""The profiles of the existing NDI clients (section 1.4): read, never written.

They keep the password in the keychain or in a file that anybody on the machine could decipher who
may read it; whichever there is gives the password here.
"""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ndicloudfs.cloud.config import ENVIRONMENTS
from ndicloudfs.cloud.profiles import Keychain, SignedIn, login_command
from ndicloudfs.cloud.values import as_list, as_object, as_text

_PROFILES, _SECRETS = "NDI_Cloud_Profiles.json", "NDI_Cloud_Secrets.json"
_SERVICE = "ndi-cloud"  # of their entries in the keychain


@dataclass(frozen=True, slots=True)
class NdiProfile:
    """A profile of the other clients, as a stored sign-in that has a password and no token."""

    uid: str
    nickname: str
    email: str
    secret: str
    folder: Path
    keychain: Keychain
    url: str  # of the API

    @property
    def advice(self) -> str:
        """The command that signs in anew."""
        return login_command(self.nickname or self.uid)

    def load(self) -> SignedIn | None:
        """The account; its tokens are not kept here."""
        return SignedIn(self.url, self.email, in_keychain=True)

    def password(self) -> str:
        """The password, ``""`` where neither keychain nor file gives it."""
        return self.keychain.get(self.secret) or _deciphered(
            _load(self.folder / _SECRETS).get(self.secret.replace(" ", "_").replace(":", "_"))
        )

    def keep(self, email: str, token: str, until: float) -> None:
        """Nothing is written to the folder of another program."""
        del email, token, until


def folder(environ: Mapping[str, str]) -> Path:
    """Where the other clients keep their profiles: ``NDI_PREFDIR``, else ``~/.ndi``."""
    return Path(environ.get("NDI_PREFDIR", "") or Path.home() / ".ndi")


def find(environ: Mapping[str, str], name: str | None, url: str = "") -> NdiProfile | None:
    """The profile with this UID, nickname or e-mail address, or the default one; None without.

    ``url`` replaces the address of its stage, as ``NDI_CLOUD_URL`` does for the other clients.
    A nickname or an address that several have names none of them.
    """
    where = folder(environ)
    data = _load(where / _PROFILES)
    profiles = [
        NdiProfile(
            uid=as_text(row.get("UID")),
            nickname=as_text(row.get("Nickname")),
            email=as_text(row.get("Email")),
            secret=as_text(row.get("PasswordSecret")) or f"NDI Cloud {as_text(row.get('UID'))}",
            folder=where,
            keychain=Keychain(_SERVICE),
            url=url or ENVIRONMENTS.get(as_text(row.get("Stage")), ENVIRONMENTS["prod"]),
        )
        # MATLAB writes a single profile as a bare object.
        for row in map(as_object, as_list(data.get("Profiles")))
        if as_text(row.get("Email"))
    ]
    wanted = as_text(data.get("DefaultUID")) if name is None else name
    for found in (
        [profile for profile in profiles if profile.uid == wanted],
        [profile for profile in profiles if profile.nickname == wanted],
        [profile for profile in profiles if profile.email.casefold() == wanted.casefold()],
    ):
        if wanted and len(found) == 1:
            return found[0]
    return None


def _load(path: Path) -> dict[str, Any]:
    try:
        return as_object(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _deciphered(entry: object) -> str:
    """The secret in AES-128-CBC with PKCS #7 padding; ``""`` where it cannot be had."""
    data = as_object(entry)
    try:
        from cryptography.hazmat.primitives import padding  # noqa: PLC0415 - an optional package
        from cryptography.hazmat.primitives.ciphers import (  # noqa: PLC0415
            Cipher,
            algorithms,
            modes,
        )

        who = f"{socket.gethostname()} {getpass.getuser()} NDI Cloud"
        key = hashlib.sha256(who.encode()).digest()[:16]
        initial, text = (base64.b64decode(as_text(data.get(k))) for k in ("iv", "ciphertext"))
        decryptor = Cipher(algorithms.AES(key), modes.CBC(initial)).decryptor()
        unpadder = padding.PKCS7(128).unpadder()
        padded = decryptor.update(text) + decryptor.finalize()
        return (unpadder.update(padded) + unpadder.finalize()).decode("utf-8")
    except (ImportError, ValueError, OSError, KeyError):
        return ""
