"""The set-up of scripts/: an environment that is whole in the end, and nobody's folder emptied."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.system import until

LIBRARY = Path(__file__).parent.parent / "scripts/lib.sh"
# As scripts/test, without what takes a network.
BUILD = """
. "$1"
eval "$(declare -f quietly | sed '1s/quietly/really/')"
quietly() { if [[ $* != *" pip install "* ]]; then really "$@"; fi; }
build_venv test "$2"
"""


# A Python that Ctrl-C reaches when it has made the first folders of an environment.
INTERRUPTED = f"""#!/usr/bin/env bash
if [[ $* == "-m venv "* ]]; then mkdir -p "${{@: -1}}"/{{bin,include,lib}}; kill -INT 0; fi
exec {sys.executable} "$@"
"""


def build(venv: Path, python: str | Path = sys.executable) -> subprocess.Popen[str]:
    left = venv.with_name("temporary")  # what an interrupted ensurepip does not take away
    left.mkdir(exist_ok=True)
    return subprocess.Popen(
        ["bash", "-c", BUILD, "set-up", LIBRARY, python],
        env={**os.environ, "NDICLOUDFS_VENV": str(venv), "TMPDIR": str(left)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )


def built(venv: Path) -> tuple[int, str]:
    with build(venv) as process:
        output, _ = process.communicate()
    return process.returncode, output


def works(venv: Path) -> bool:
    command = (venv / "bin/python", "-m", "pip", "--version")
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_what_ctrl_c_leaves_is_made_anew(tmp_path: Path) -> None:
    venv, python = tmp_path / "venv", tmp_path / "python"
    python.write_text(INTERRUPTED)
    python.chmod(0o755)
    with build(venv, python) as process:
        process.communicate()
    assert (venv / "lib").exists()
    assert not (venv / "pyvenv.cfg").exists()
    for delay in (0.0, 0.05, 0.2, 0.5, 1.0):
        with build(venv) as process:
            until(venv.exists)
            killer = threading.Timer(delay, os.killpg, (process.pid, signal.SIGINT))
            killer.start()
            process.communicate()
            killer.cancel()
    code, output = built(venv)
    assert code == 0, output
    assert works(venv)


def test_an_environment_that_was_made_here_is_made_anew_when_it_is_broken(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    assert built(venv)[0] == 0
    (venv / "old").touch()
    assert built(venv)[0] == 0
    assert (venv / "old").exists()
    (venv / "bin/python").unlink()
    assert built(venv)[0] == 0
    assert not (venv / "old").exists()
    assert works(venv)


@pytest.mark.parametrize("files", [["notes.txt"], ["pyvenv.cfg", "bin/python"]])
def test_a_folder_of_somebody_elses_is_refused_and_left_as_it_is(
    tmp_path: Path, files: list[str]
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("precious")
    code, output = built(tmp_path)
    assert code == 1
    assert "choose another with NDICLOUDFS_VENV" in output
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.read_text() for path in left} == {"precious"}
    assert len(left) == len(files)


def test_an_environment_of_somebody_elses_is_used_and_never_emptied(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", tmp_path], check=True)
    (tmp_path / "precious").touch()
    assert built(tmp_path)[0] == 0
    (tmp_path / ".ndicloudfs-stamp").write_text("of an older pyproject.toml\n")
    assert built(tmp_path)[0] == 0
    assert (tmp_path / "precious").exists()
