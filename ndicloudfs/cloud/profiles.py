"""Sign-ins that outlive a command: one file per profile, the password in the system's keychain.

A profile's file holds the token and whose it is, never a password. Programs share it: what one
fetches, the others use; what a ``login`` writes, a mount finds when its own token ends.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shlex
import tempfile
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

from ndicloudfs.cloud.values import as_object, as_text

_SERVICE = "ndicloudfs"  # of our entries in the keychain


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What is stored of a sign-in. ``url`` is the API's; the token goes nowhere else."""

    url: str
    email: str
    token: str = field(repr=False, default="")
    until: float = 0.0  # end of the token in s of the epoch, by the clock of this machine
    organization_id: str = ""
    in_keychain: bool = False


class Stored(Protocol):
    """Where tokens find what was signed in elsewhere. Used by any thread."""

    @property
    def advice(self) -> str:
        """The command that signs in anew."""
        ...

    def load(self) -> SignedIn | None:
        """What is stored now, None when nothing is."""
        ...

    def password(self) -> str:
        """The password, ``""`` where none is kept or nobody may read it."""
        ...

    def keep(self, email: str, token: str, until: float) -> None:
        """Store a newer token of the account ``email``; failing to is no error."""
        ...


class Keychain:
    """The system's keychain, where the package ``keyring`` and a service behind it are there."""

    def __init__(self, service: str = _SERVICE) -> None:
        self._service = service

    @property
    def available(self) -> bool:
        """Whether a password can be kept safely. An encrypted service counts, a plain file not."""
        try:
            import keyring  # noqa: PLC0415 - an optional package

            return float(keyring.get_keyring().priority) >= 1
        except Exception:  # noqa: BLE001 - back ends raise what they like, on import, too
            return False

    def get(self, name: str) -> str:
        """A secret, ``""`` where there is none."""
        try:
            import keyring  # noqa: PLC0415

            return keyring.get_password(self._service, name) or ""
        except Exception:  # noqa: BLE001
            return ""

    def set(self, name: str, secret: str) -> bool:
        """Keep a secret; whether that went well."""
        try:
            import keyring  # noqa: PLC0415

            keyring.set_password(self._service, name, secret)
        except Exception:  # noqa: BLE001
            return False
        return self.get(name) == secret

    def delete(self, name: str) -> None:
        """Forget a secret."""
        try:
            import keyring  # noqa: PLC0415

            keyring.delete_password(self._service, name)
        except Exception:  # noqa: BLE001, S110 - nothing to delete, or no service
            pass


class Profile:
    """The stored sign-in of one profile. Used by any thread, and by many processes."""

    def __init__(self, name: str, folder: Path, keychain: Keychain) -> None:
        """``folder`` is private to the user; it is made when something is stored."""
        self.name = name
        self.path = folder / f"{quote(name, safe=' @+')}.json"
        self.keychain = keychain
        self._seen: tuple[tuple[int, int, int], SignedIn | None] | None = None

    @property
    def advice(self) -> str:
        """The command that signs in anew."""
        return login_command(self.name)

    def load(self) -> SignedIn | None:
        """What is stored now; reads the file only where it has changed. None when it is not there.

        A file that others may read is not believed: its token may be anybody's.
        """
        try:
            found = self.path.stat()
        except OSError:
            self._seen = None
            return None
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        seen = self._seen
        if seen is None or seen[0] != stamp:
            ours = found.st_uid == os.geteuid() and not found.st_mode & 0o077
            seen = self._seen = (stamp, _read(self.path) if ours else None)
        return seen[1]

    def save(self, signed_in: SignedIn, password: str = "") -> SignedIn:
        """Store a sign-in, the password in the keychain; tells what has been stored.

        Raises OSError where the file cannot be written.
        """
        kept = bool(password) and self.keychain.set(_entry(signed_in), password)
        stored = replace(signed_in, in_keychain=kept)
        self._write(stored)
        return stored

    def password(self) -> str:
        """The password from the keychain, ``""`` where it is not there."""
        stored = self.load()
        return self.keychain.get(_entry(stored)) if stored and stored.in_keychain else ""

    def keep(self, email: str, token: str, until: float) -> None:
        """Store a newer token of the account ``email``; failing to is no error."""
        stored = self.load()
        if stored is not None and stored.email == email:
            with contextlib.suppress(OSError):
                self._write(replace(stored, token=token, until=until))

    def forget(self) -> None:
        """Remove the file and the password. Raises OSError where the file does not go."""
        stored = self.load()
        if stored is not None and stored.in_keychain:
            self.keychain.delete(_entry(stored))
        self.path.unlink(missing_ok=True)

    def _write(self, stored: SignedIn) -> None:
        folder = self.path.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # A file of its own, put in place whole: a reader sees the old one or the new one. It is
        # made with mode 0600.
        handle, name = tempfile.mkstemp(dir=folder, prefix=".new-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(stored), file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self.path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def login_command(profile: str) -> str:
    """What to type to sign in as ``profile``."""
    which = "" if profile == "default" else f" --profile {shlex.quote(profile)}"
    return f"ndicloudfs login{which}"


def _read(path: Path) -> SignedIn | None:
    try:
        data = as_object(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None
    url, email = as_text(data.get("url")), as_text(data.get("email"))
    if not url or not email:
        return None
    until = data.get("until")
    return SignedIn(
        url=url,
        email=email,
        token=as_text(data.get("token")),
        until=until if isinstance(until, float) and math.isfinite(until) else 0.0,
        organization_id=as_text(data.get("organization_id")),
        in_keychain=data.get("in_keychain") is True,
    )


def _entry(signed_in: SignedIn) -> str:
    return f"{signed_in.email} at {urlsplit(signed_in.url).netloc.lower()}"
