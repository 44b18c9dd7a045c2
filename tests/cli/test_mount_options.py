"""Options of ``mount`` that are read before anything is mounted."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ndicloudfs.cli.main import ndicloudfs
from ndicloudfs.cli.mount import parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500MB", 500_000_000),
        ("20GiB", 20 << 30),
        ("20 GiB", 20 << 30),
        ("1.5k", 1500),
        ("2T", 2 * 10**12),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "GiB", "-1", "0", "5XB", "1e400"])
def test_other_text_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_size(text)


def test_an_unknown_mount_option_is_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(ndicloudfs, ["mount", "-o", "ro,rw", str(tmp_path)])
    assert result.exit_code == 2
    assert "-o rw is not known; there are: ro, allow_other" in result.output


def test_a_cache_inside_the_mount_point_is_refused(tmp_path: Path) -> None:
    arguments = ["mount", str(tmp_path), "--cache-dir", str(tmp_path / "cache")]
    result = CliRunner().invoke(ndicloudfs, arguments)
    assert result.exit_code == 1
    assert "lies inside the mount point" in result.output


def test_help_of_every_command_has_an_example() -> None:
    for command in ("mount", "umount", "demo"):
        result = CliRunner().invoke(ndicloudfs, [command, "--help"])
        assert result.exit_code == 0
        assert "Example:" in result.output
