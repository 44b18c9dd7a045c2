"""Progress on a real terminal, wide and narrow, looked at as a terminal emulator shows it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pexpect
import pyte
import pytest

from ndicloudfs.cli.failure import INTERRUPTED
from tests.mount.test_writing import write_and_close
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.written import Written, written

UPLOAD = "PUT /objects"
DOWNLOAD = "GET /objects"
PLENTY = 10_000
WIDE, NARROW = 100, 22


class Terminal:
    """A command on a terminal of ``columns``, and what somebody who looks at it sees."""

    def __init__(self, lab: Written, columns: int, *arguments: str | Path) -> None:
        self._screen = pyte.Screen(columns, 24)
        self._stream = pyte.Stream(self._screen)
        # Who runs the tests may have a size of its own in the environment, which would count.
        environment = {
            name: value
            for name, value in lab.user.environment.items()
            if name not in ("COLUMNS", "LINES")
        }
        self.session = pexpect.spawn(
            sys.executable,
            ["-m", "ndicloudfs", *map(str, arguments)],
            env={**environment, "TERM": "xterm"},
            encoding="utf-8",
            timeout=30,
            dimensions=(24, columns),
        )

    def lines(self) -> list[str]:
        """What is on the screen by now."""
        if not self.session.closed:
            with suppress(pexpect.TIMEOUT, pexpect.EOF):
                self._stream.feed(self.session.read_nonblocking(65536, timeout=0.05))
        return [line.rstrip() for line in self._screen.display if line.strip()]

    def shows(self, text: str) -> Callable[[], bool]:
        """Whether ``text`` can be read, lines that were broken put together."""
        wanted = text.replace(" ", "")
        return lambda: wanted in "".join(self.lines()).replace(" ", "")

    def ended(self) -> int:
        """Read until the command has ended; its exit code."""
        with suppress(pexpect.EOF):
            while True:
                self._stream.feed(self.session.read_nonblocking(65536, timeout=30))
        self.session.close()
        assert self.session.exitstatus is not None
        return self.session.exitstatus

    @property
    def cursor_is_seen(self) -> bool:
        """Whether the cursor is shown, as a shell needs it."""
        return not self._screen.cursor.hidden


@pytest.fixture
def lab(sandbox: Sandbox, tmp_path: Path) -> Iterator[Written]:
    with written(sandbox, tmp_path / "home") as made:
        yield made
        sandbox.clear_faults()


def attach(lab: Written) -> dict[str, bytes]:
    """Files that the server does not take before its faults are cleared."""
    lab.sandbox.fault(UPLOAD, "hang", count=PLENTY, seconds=120)
    files = {f"{count}.bin": os.urandom(30_000) for count in range(3)}
    for name, data in files.items():
        write_and_close(lab.files / name, data)
    return files


@pytest.mark.parametrize("columns", [WIDE, NARROW])
def test_sync_shows_what_is_to_go_and_leaves_one_line(lab: Written, columns: int) -> None:
    files = attach(lab)
    terminal = Terminal(lab, columns, "sync", lab.mount)
    until(terminal.shows("3 changes to go"))
    lab.sandbox.clear_faults()
    assert terminal.ended() == 0
    assert "".join(terminal.lines()) == "the server has everything"
    assert terminal.cursor_is_seen
    assert lab.files_on_server() == {"a.bin": lab.content, **files}


@pytest.mark.parametrize("columns", [WIDE, NARROW])
def test_ctrl_c_ends_the_waiting_and_not_the_sending(lab: Written, columns: int) -> None:
    files = attach(lab)
    terminal = Terminal(lab, columns, "sync", lab.mount)
    until(terminal.shows("3 changes to go"))
    terminal.session.sendintr()
    assert terminal.ended() == INTERRUPTED
    assert terminal.shows("ndicloudfs: interrupted")()
    assert "to go" not in "".join(terminal.lines()), terminal.lines()
    assert terminal.cursor_is_seen
    lab.sandbox.clear_faults()
    lab.settle()
    assert lab.files_on_server() == {"a.bin": lab.content, **files}


@pytest.mark.parametrize("columns", [WIDE, NARROW])
def test_prefetch_shows_bars_that_go_away(lab: Written, columns: int) -> None:
    lab.sandbox.fault(DOWNLOAD, "hang", count=PLENTY, seconds=120)
    terminal = Terminal(lab, columns, "prefetch", lab.tree)
    until(terminal.shows("documents"))
    until(lambda: len(terminal.lines()) <= 2 and lab.sandbox.count(DOWNLOAD) > 0)
    lab.sandbox.clear_faults()
    assert terminal.ended() == 0
    shown = "".join(terminal.lines())
    assert shown.startswith("cached 2 documents")
    assert "━" not in shown
    assert terminal.cursor_is_seen


def test_ctrl_c_ends_a_prefetch(lab: Written) -> None:
    lab.sandbox.fault(DOWNLOAD, "hang", count=PLENTY, seconds=120)
    terminal = Terminal(lab, NARROW, "prefetch", lab.tree)
    until(lambda: bool(terminal.lines()) and lab.sandbox.count(DOWNLOAD) > 0)
    terminal.session.sendintr()
    assert terminal.ended() == INTERRUPTED
    assert terminal.shows("ndicloudfs: interrupted")()
    assert terminal.cursor_is_seen
    lab.sandbox.clear_faults()
    assert lab.user.run("prefetch", lab.tree).returncode == 0
