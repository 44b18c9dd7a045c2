"""Settings: where each gets its value, and what is said of what cannot be one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ndicloudfs.cli import settings
from ndicloudfs.cli.failure import Failure
from ndicloudfs.cli.main import ndicloudfs


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def resolved(
    file: Path, variables: dict[str, str] | None = None, **flags: object
) -> settings.Settings:
    return settings.resolve(flags, {"NDICLOUDFS_CONFIG": str(file), **(variables or {})})


def test_each_place_weighs_more_than_the_one_before(file: Path) -> None:
    assert resolved(file)["metadata-ttl"].origin == "default"
    file.write_text('metadata-ttl = 1\n[profiles.lab]\nmetadata-ttl = "2s"\n')
    assert resolved(file).of("metadata-ttl") == 1
    assert resolved(file)["metadata-ttl"].origin == str(file)
    assert resolved(file, profile="lab").of("metadata-ttl") == 2
    variables = {"NDICLOUDFS_METADATA_TTL": "3"}
    assert resolved(file, variables, profile="lab").of("metadata-ttl") == 3
    found = resolved(file, variables, profile="lab", metadata_ttl="500ms")["metadata-ttl"]
    assert (found.value, found.origin) == (0.5, "--metadata-ttl")


def test_a_profile_may_be_chosen_in_the_file_or_the_environment(file: Path) -> None:
    file.write_text('profile = "lab"\n[profiles.lab]\nenvironment = "dev"\n[profiles.other]\n')
    assert resolved(file).of("environment") == "dev"
    assert resolved(file, {"NDICLOUDFS_PROFILE": "other"}).of("environment") == "prod"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cache-sise = 5", r"cache-sise in .*config.toml is no setting; did you mean cache-size\?"),
        ("cache_size = 5", r"did you mean cache-size\?"),
        ("qqq = 5", "qqq in .* is no setting; see: ndicloudfs config"),
        ("[profiles.lab]\nurll = 'x'", r"urll in \[profiles.lab\] of .*; did you mean url\?"),
        ("[profiles]\nlab = 5", "profiles.lab in .* is no table"),
        ("cache-size = ", "config.toml cannot be read: .*; correct it or move it away"),
        ("cache-size = 'lots'", r"cache-size \(.*config.toml\): 'lots' is not a size"),
        ("cache-size = []", r"cache-size .*is not a size"),
        ("environment = 'test'", "'test' names no NDI Cloud; use prod or dev"),
        ("log-level = 'loud'", "'loud' is no level; use debug"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(file: Path, text: str, sentence: str) -> None:
    file.write_text(text)
    with pytest.raises(Failure, match=sentence) as caught:
        resolved(file)
    assert caught.value.exit_code == 2


def test_config_shows_each_value_and_its_origin(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('cache-size = "5GiB"\n')
    monkeypatch.setenv("NDICLOUDFS_CONFIG", str(file))
    monkeypatch.setenv("NDICLOUDFS_LOG_LEVEL", "debug")
    result = CliRunner().invoke(ndicloudfs, ["config", "--json", "--profile", "lab"])
    shown = json.loads(result.output)
    assert shown["file"] == str(file)
    found = {name: (row["value"], row["origin"]) for name, row in shown["settings"].items()}
    assert found["cache-size"] == (str(5 << 30), str(file))
    assert found["log-level"] == ("debug", "NDICLOUDFS_LOG_LEVEL")
    assert found["profile"] == ("lab", "--profile")
    assert found["metadata-ttl"] == (None, "default")
    text = CliRunner().invoke(ndicloudfs, ["config"]).output
    assert str(file) in text
    assert "NDICLOUDFS_LOG_LEVEL" in text


def test_config_prints_a_line_for_each_setting_into_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / ("d" * 120) / "config.toml"
    file.parent.mkdir()
    file.write_text(f'cache-dir = "/{"c" * 120}"\n')
    result = subprocess.run(
        [sys.executable, "-m", "ndicloudfs", "config"],
        env={**os.environ, "NDICLOUDFS_CONFIG": str(file), "COLUMNS": "40"},
        capture_output=True,
        text=True,
        check=True,
    )
    header, *lines = result.stdout.split("\n\n")[0].splitlines()
    assert header.split() == ["setting", "value", "from"]
    assert [line.split("  ")[0] for line in lines] == list(settings.BY_NAME)
    (line,) = (line for line in lines if line.startswith("cache-dir"))
    assert line.split() == ["cache-dir", f"/{'c' * 120}", str(file)]


def test_every_setting_has_a_variable_and_a_name_of_its_own() -> None:
    assert len(settings.BY_NAME) == len(settings.SETTINGS)
    assert len({setting.variable for setting in settings.SETTINGS}) == len(settings.SETTINGS)
    for setting in settings.SETTINGS:
        assert setting.help.endswith(".")
