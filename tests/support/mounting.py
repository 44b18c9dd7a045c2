"""Real mounts for tests, made by the command line as a user would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ctypes.util import find_library
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.mount import control
from ndicloudfs.mount.commands import CommandFailed, Place
from ndicloudfs.mount.control import Misused
from ndicloudfs.mount.mountpoint import MountError, unmount
from tests.support.sandbox import Sandbox
from tests.support.system import need

BINDINGS = ("mfusepy", "fusepy")
COMMAND_SECONDS = 60


def account_of(sandbox: Sandbox) -> dict[str, str]:
    """The variables that sign in as the sandbox's first user."""
    return {
        "NDI_CLOUD_URL": sandbox.url,
        "NDI_CLOUD_USERNAME": sandbox.email,
        "NDI_CLOUD_PASSWORD": sandbox.password,
    }


@dataclass
class Machine:
    """A user's machine: a home of its own, the variables of an account, mounts."""

    home: Path
    account: Mapping[str, str]
    binding: str = BINDINGS[0]
    arguments: tuple[str, ...] = ()
    mounts: list[Path] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of every command."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NDI_", "CLOUD_API_", "XDG_", "NDICLOUDFS_"))
        }
        return {
            **inherited,
            "HOME": str(self.home),
            "LC_ALL": "C.UTF-8",
            "NDICLOUDFS_FUSE": self.binding,
            **self.account,
        }

    def run(
        self, *arguments: str | Path, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``ndicloudfs ARGUMENTS``, with ``text`` on its standard input."""
        return subprocess.run(
            [sys.executable, "-m", "ndicloudfs", *map(str, arguments)],
            env=self.environment,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def mount(self, name: str = "ndi", *arguments: str) -> Path:
        """Mount at a folder of the home; the mount answers when this returns."""
        need_fuse(self.binding)
        target = self.home / name
        with suppress(FileExistsError):  # it may be what a dead mount has left
            target.mkdir()
        result = self.run("mount", target, *self.arguments, *arguments)
        assert result.returncode == 0, result.stderr
        self.mounts.append(target)
        return target

    def umount(self, target: Path) -> None:
        """End a mount."""
        result = self.run("umount", target)
        assert result.returncode == 0, result.stderr
        self.mounts.remove(target)

    def log(self) -> str:
        """What background mounts have logged."""
        files = (self.home / ".local/state/ndicloudfs/log").glob("*.log*")
        return "".join(file.read_text() for file in files)

    def ask(self, target: Path, command: str, **arguments: str) -> dict[str, Any]:
        """Give a mount a command, as the command line does, without starting it."""
        folder = self.home / ".local/state/ndicloudfs" / control.default_folder().name
        return Place(str(target), "").ask(command, arguments, folder=folder)

    def close(self) -> None:
        """End what is still mounted, as ``umount --lazy`` does; what is queued stays."""
        for target in list(self.mounts):
            with suppress(CommandFailed, CloudError, Misused):
                self.ask(target, "leave queue")
            with suppress(MountError):
                unmount(str(target), lazy=True)
            self.mounts.remove(target)


@contextmanager
def machine(
    home: Path, account: Mapping[str, str], *arguments: str, binding: str = BINDINGS[0]
) -> Iterator[Machine]:
    """A machine that leaves nothing mounted behind."""
    home.mkdir(parents=True, exist_ok=True)
    made = Machine(home, account, binding, arguments)
    try:
        yield made
    finally:
        made.close()


def need_fuse(binding: str) -> None:
    """Skip where this machine has no FUSE for ``binding``; fail where it must have it."""
    need(os.access("/dev/fuse", os.R_OK | os.W_OK), "usable /dev/fuse")
    library = "fuse" if binding == "fusepy" else "fuse3"
    need(find_library(library) is not None, f"lib{library}")
    need(os.geteuid() == 0 or shutil.which("fusermount3") is not None, "fusermount3")


def tool(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a tool that knows nothing of NDI; its output. Fails the test where the tool fails."""
    result = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    assert result.returncode == 0, f"{command}: {result.stderr}"
    return result.stdout


def serving(target: Path) -> list[int]:
    """The processes that serve, or want to serve, a mount at ``target``."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has ended
                continue
            if b"mount" in words and os.fsencode(target) in words:
                found.append(int(process.name))
    return found
