"""The pages: made from the code as it is, without broken links, and their commands work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ndicloudfs.cli.reference import pages
from tests.support.mounting import Machine, need_fuse
from tests.support.system import need

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs/tutorial.md"
_EXECUTED = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", sorted(pages()))
def test_the_reference_is_that_of_the_code(name: str) -> None:
    assert (ROOT / name).read_text() == pages()[name], "run: scripts/docs"


def test_every_message_names_the_next_step() -> None:
    sentences = re.findall(r"^- (.+)$", pages()["docs/reference/messages.md"], re.MULTILINE)
    assert len(sentences) > 50
    # The next step is what stands behind the semicolon.
    assert [sentence for sentence in sentences if not re.search(r"; \S", sentence)] == []


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-d", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "site/tutorial/index.html").exists()


def test_every_command_of_the_tutorial_works(tmp_path: Path) -> None:
    need_fuse("mfusepy")
    script = "set -euo pipefail\n" + "".join(_EXECUTED.findall(TUTORIAL.read_text()))
    home = tmp_path / "home"
    home.mkdir()
    machine = Machine(home, {})
    commands = Path(sys.executable).parent
    process = subprocess.run(
        ["bash", "-c", f"trap 'cd; kill $(cat sandbox.pid); umount -l ndi' ERR\n{script}"],
        cwd=home,
        env={**machine.environment, "PATH": f"{commands}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    for shown in ("Sandbox Lab", "published", "local_identifier", "needed no download"):
        assert shown in process.stdout
    picture = (home / "recording.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 10_000
    assert list((home / "ndi").iterdir()) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_what_the_shell_can_read(shell: str, tmp_path: Path) -> None:
    machine = Machine(tmp_path, {})
    result = machine.run("completion", shell)
    assert result.returncode == 0, result.stderr
    need(shutil.which(shell) is not None, shell)
    check = subprocess.run([shell, "-n"], input=result.stdout, text=True, check=False)
    assert check.returncode == 0


def test_bash_completes_commands(tmp_path: Path) -> None:
    need(shutil.which("bash") is not None, "bash")
    machine = Machine(tmp_path, {"_NDICLOUDFS_COMPLETE": "bash_complete", "COMP_WORDS": "x mo"})
    machine.account = {**machine.account, "COMP_CWORD": "1"}
    assert machine.run().stdout.splitlines() == ["plain,mount"]


def test_the_manual_page_is_clean() -> None:
    need(shutil.which("man") is not None, "man")
    result = subprocess.run(
        ["man", "--warnings", "-l", str(ROOT / "docs/man/ndicloudfs.1")],
        env={**os.environ, "MANROFFSEQ": "", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0
    assert result.stderr == ""
    assert "ndicloudfs mount" in result.stdout


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    need(shutil.which("systemd-analyze") is not None, "systemd-analyze")
    unit = ROOT / "packaging/systemd/ndicloudfs@.service"
    # It looks for the program and the manual page, which are installed beside the unit.
    text = unit.read_text().replace("Documentation=man:ndicloudfs(1)\n", "")
    copy = tmp_path / "ndicloudfs@mnt.service"
    copy.write_text(text)
    result = subprocess.run(
        ["systemd-analyze", "verify", "--user", str(copy)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "ndicloudfs@" not in result.stderr
