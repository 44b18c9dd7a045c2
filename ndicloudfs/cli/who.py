"""Who asks, and where: the environment of the existing clients, a stored sign-in, or nobody.

The variables win; then comes what ``login`` stored under the profile, then a profile of the other
NDI clients. Without any of them the reader is anonymous.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from ndicloudfs.cli.settings import APPLICATION, DEFAULT_PROFILE, Settings
from ndicloudfs.cloud import CloudConfig, NdiCloud
from ndicloudfs.cloud.config import ENVIRONMENTS
from ndicloudfs.cloud.errors import NotSignedIn
from ndicloudfs.cloud.ndi_profiles import find
from ndicloudfs.cloud.profiles import Keychain, Profile, Stored, login_command

CREDENTIALS = ("NDI_CLOUD_USERNAME", "NDI_CLOUD_PASSWORD", "NDI_CLOUD_TOKEN")


@dataclass(frozen=True, slots=True)
class Who:
    """An account on a server. ``origin`` says in words where it is known from."""

    config: CloudConfig
    stored: Stored | None
    origin: str

    def cloud(self) -> NdiCloud:
        """A client for it; closed by the caller."""
        return NdiCloud(self.config, stored=self.stored)


def profile_folder() -> Path:
    """Where stored sign-ins are."""
    return platformdirs.user_state_path(APPLICATION, appauthor=False) / "profiles"


def own_profile(settings: Settings) -> Profile:
    """The stored sign-in that the settings choose, whether or not it is there."""
    return Profile(settings.of("profile"), profile_folder(), Keychain())


def server_url(settings: Settings) -> str:
    """The API that the settings name; where both name one, the weightier, else ``url``."""
    url, environment = settings["url"], settings["environment"]
    if url.value and url.weight >= environment.weight:
        return str(url.value).rstrip("/")
    return ENVIRONMENTS[environment.value]


def who_asks(settings: Settings, environ: Mapping[str, str] | None = None) -> Who:
    """The account of a command.

    Raises NotSignedIn for a profile that is named and not there, and BadConfiguration.
    """
    environ = os.environ if environ is None else environ
    url = server_url(settings)
    chosen = settings["url"].weight > 0 or settings["environment"].weight > 0
    email, password, token = (environ.get(name, "") for name in CREDENTIALS)
    organization = environ.get("NDI_CLOUD_ORGANIZATION_ID", "").strip()
    email, token = email.strip(), token.strip()
    if password or token:
        config = CloudConfig(url, email, password, token, organization)
        return Who(config, None, "the environment")
    profile, named = own_profile(settings), settings["profile"].weight > 0
    stored = profile.load()
    if stored is not None and (not chosen or stored.url == url):
        if not email or email.casefold() == stored.email.casefold():
            config = CloudConfig(
                stored.url, stored.email, organization_id=organization or stored.organization_id
            )
            return Who(config, profile, f"profile {profile.name}")
    elif stored is None and (named or not chosen):
        other = find(environ, profile.name if named else None, url if chosen else "")
        if other is not None and (not email or email.casefold() == other.email.casefold()):
            config = CloudConfig(other.url, other.email, organization_id=organization)
            return Who(config, other, f"profile {other.nickname} of the other NDI clients")
        if named and profile.name != DEFAULT_PROFILE:
            raise NotSignedIn(
                f"There is no sign-in called {profile.name}; run: {login_command(profile.name)}"
            )
    return Who(CloudConfig(url, email, organization_id=organization), None, "nobody")
