"""Where NDI Cloud is and who asks: the environment variables of section 1.2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from ndicloudfs.cloud.errors import BadConfiguration

ENVIRONMENTS = {
    "prod": "https://api.ndi-cloud.com/v1",
    "dev": "https://dev-api.ndi-cloud.com/v1",
}


@dataclass(frozen=True, slots=True)
class CloudConfig:
    """How to reach NDI Cloud. Raises BadConfiguration when ``url`` or ``token`` cannot be used.

    ``url`` is the base URL with ``/v1``; a slash at its end is dropped. The time-outs are in
    seconds: ``read_timeout`` is a little more than the 29 s after which the gateway gives up
    (section 1.1), ``budget`` is what one call may take with all its retries.
    """

    url: str
    email: str = ""
    password: str = field(repr=False, default="")
    token: str = field(repr=False, default="")
    organization_id: str = ""
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    budget: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", _base_url(self.url))
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise BadConfiguration("NDI_CLOUD_TOKEN is not a token; copy it again, or unset it")

    @property
    def host(self) -> str:
        """The host and port of ``url`` in lower case."""
        return urlsplit(self.url).netloc.lower()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> CloudConfig:
        """Read the variables that the other NDI clients read; ``NDI_CLOUD_URL`` wins.

        Raises BadConfiguration for an unknown ``CLOUD_API_ENVIRONMENT`` or a malformed
        ``NDI_CLOUD_URL``.
        """

        def variable(name: str) -> str:
            return environ.get(name, "").strip()

        url = variable("NDI_CLOUD_URL")
        if not url:
            stage = variable("CLOUD_API_ENVIRONMENT") or "prod"
            if stage not in ENVIRONMENTS:
                raise BadConfiguration(
                    f"CLOUD_API_ENVIRONMENT is {stage!r}, which names no NDI Cloud; "
                    f"use {' or '.join(ENVIRONMENTS)}, or unset it"
                )
            url = ENVIRONMENTS[stage]
        return cls(
            url=url,
            email=variable("NDI_CLOUD_USERNAME"),
            password=environ.get("NDI_CLOUD_PASSWORD", ""),
            token=variable("NDI_CLOUD_TOKEN"),
            organization_id=variable("NDI_CLOUD_ORGANIZATION_ID"),
        )


def _base_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        plain = not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        usable = plain = False
    if not usable or not plain or any(character.isspace() for character in text):
        # The text itself is not shown: what does not parse may hold a password.
        raise BadConfiguration(
            "NDI_CLOUD_URL is not the address of an NDI Cloud; "
            "write it as https://host/v1, without user name, query or fragment"
        )
    return text.rstrip("/")
