from __future__ import annotations

import pytest

from ndicloudfs.cloud import CloudConfig
from ndicloudfs.cloud.errors import BadConfiguration, CloudError


def test_production_is_the_default() -> None:
    config = CloudConfig.from_environment({})
    assert config.url == "https://api.ndi-cloud.com/v1"
    assert config.host == "api.ndi-cloud.com"


def test_the_stage_chooses_the_server_and_the_url_wins() -> None:
    stage = {"CLOUD_API_ENVIRONMENT": "dev"}
    assert CloudConfig.from_environment(stage).host == "dev-api.ndi-cloud.com"
    both = {**stage, "NDI_CLOUD_URL": "http://127.0.0.1:8901/v1/"}
    assert CloudConfig.from_environment(both).url == "http://127.0.0.1:8901/v1"
    assert CloudConfig.from_environment(both).host == "127.0.0.1:8901"


def test_credentials_come_from_the_variables_of_the_other_clients() -> None:
    config = CloudConfig.from_environment(
        {
            "NDI_CLOUD_USERNAME": "a@b.org",
            "NDI_CLOUD_PASSWORD": " keeps its spaces ",
            "NDI_CLOUD_TOKEN": "t\n",
            "NDI_CLOUD_ORGANIZATION_ID": "o",
        }
    )
    assert (config.email, config.password) == ("a@b.org", " keeps its spaces ")
    assert (config.token, config.organization_id) == ("t", "o")


def test_no_secret_is_shown() -> None:
    shown = repr(CloudConfig("https://h/v1", password="geheim", token="eyJ.x.y"))
    assert "geheim" not in shown
    assert "eyJ" not in shown


def test_an_unknown_stage_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(BadConfiguration, match=r"CLOUD_API_ENVIRONMENT is 'test'.*prod or dev"):
        CloudConfig.from_environment({"CLOUD_API_ENVIRONMENT": "test"})


@pytest.mark.parametrize(
    "url",
    [
        "api.ndi-cloud.com/v1",
        "ftp://api.ndi-cloud.com/v1",
        "https://",
        "https:///v1",
        "https://me:geheim@host/v1",
        "https://host/v1?token=geheim",
        "https://host/v1#geheim",
        "https://host:99999/v1",
        "https://host:x/v1",
        "https://[::1/v1",
        "https://ho st/v1",
    ],
)
def test_a_malformed_url_is_an_error_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(BadConfiguration, match="NDI_CLOUD_URL") as caught:
        CloudConfig.from_environment({"NDI_CLOUD_URL": url})
    assert "geheim" not in str(caught.value)
    assert isinstance(caught.value, (CloudError, ValueError))


@pytest.mark.parametrize("token", ["line\nbreak", "two words", "schl\u00fcssel", "nul\0"])
def test_a_token_that_no_header_can_hold_is_an_error(token: str) -> None:
    with pytest.raises(BadConfiguration, match="NDI_CLOUD_TOKEN") as caught:
        CloudConfig("https://h/v1", token=token)
    assert token not in str(caught.value)
