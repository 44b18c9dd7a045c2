"""Options of ``mount`` that are read before anything is mounted."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ndicloudfs.cli import mount_options, quantities
from ndicloudfs.cli.main import commands, ndicloudfs


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
    assert quantities.size(text) == size


@pytest.mark.parametrize("text", ["", "lots", "GiB", "-1", "0", "5XB", "1e400", "5ib"])
def test_other_text_is_no_size(text: str) -> None:
    with pytest.raises(click.BadParameter):
        quantities.size(text)


def test_rates_and_times_are_read_as_people_write_them() -> None:
    assert quantities.rate("80MB/s") == 80e6
    assert quantities.rate("1.5 MiB/s") == 1.5 * 2**20
    assert [quantities.time(text) for text in ("100ms", "0.1s", "2")] == [0.1, 0.1, 2]
    for read, text in (
        (quantities.rate, "fast"),
        (quantities.rate, "0"),
        (quantities.time, "soon"),
        (quantities.time, "1h"),
    ):
        with pytest.raises(click.BadParameter):
            read(text)


@pytest.mark.parametrize(
    ("option", "hint"),
    [("alow_other", "did you mean allow_other?"), ("qqq", "there are: ro, rw, allow_other")],
)
def test_an_unknown_mount_option_is_wrong_usage(tmp_path: Path, option: str, hint: str) -> None:
    result = CliRunner().invoke(ndicloudfs, ["mount", "-o", f"ro,{option}", str(tmp_path)])
    assert result.exit_code == 2
    assert f"-o {option} is not known; {hint}" in result.output


@pytest.mark.parametrize("option", ["uid=me", "uid=", "gid=-1", "umask=9", "umask=1000"])
def test_a_number_that_is_none_is_wrong_usage(option: str) -> None:
    with pytest.raises(click.UsageError, match=f"-o {option} is not a number"):
        mount_options.parse([option])


def test_options_of_fstab_are_read() -> None:
    text = "rw,_netdev,noauto,user,x-systemd.automount,uid=1000,umask=027,cache-size=5GB,noexec"
    found = mount_options.parse([text, "ro"])
    assert (found.read_only, found.uid, found.gid, found.umask) == (True, 1000, None, 0o027)
    assert found.no_exec
    assert found.settings == {"cache_size": "5GB"}


def test_a_cache_inside_the_mount_point_is_refused(tmp_path: Path) -> None:
    arguments = ["mount", str(tmp_path), "--cache-dir", str(tmp_path / "cache")]
    result = CliRunner().invoke(ndicloudfs, arguments)
    assert result.exit_code == 1
    assert "lies inside the mount point" in result.output


def test_help_of_every_command_has_an_example() -> None:
    for words, _ in commands():
        result = CliRunner().invoke(ndicloudfs, [*words, "--help"])
        assert result.exit_code == 0
        assert "Example:" in result.output, words
