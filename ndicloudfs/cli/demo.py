"""``ndicloudfs demo``: a sandbox with a sample dataset, its mount, and a short tour."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console

from ndicloudfs.cli.failure import Failure
from ndicloudfs.mount import mountpoint as points
from ndicloudfs.sandbox.sample import sample

READY_NAME = "ready.json"
_STOP_SECONDS = 10.0
DATASET_NAME = "Rat V1, orientation gratings (pilot)"
_READ_RECORDING = (
    "import wave; recording = wave.open({name}); "
    'print(recording.getnframes(), "samples at", recording.getframerate(), "Hz")'
)


class _Shell:
    """Runs commands as a user would type them, and shows them with their output."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console

    def cd(self, folder: str) -> None:
        """Change the folder that commands run in."""
        self._show(f"cd {shlex.quote(folder)}")
        self._folder /= folder

    def run(self, *command: str) -> str:
        """Run a command; its output. Raises Failure where it fails."""
        words = [Path(sys.executable).name if word == sys.executable else word for word in command]
        self._show(shlex.join(words))
        result = subprocess.run(
            command, capture_output=True, text=True, cwd=self._folder, check=False
        )
        output = (result.stdout + result.stderr).rstrip()
        if output:
            self._console.print(output, markup=False, highlight=False)
        if result.returncode:
            raise Failure(
                f"The tour stopped: {command[0]} ended with {result.returncode};"
                " see whether the machine has everything: ndicloudfs doctor"
            )
        return result.stdout

    def _show(self, line: str) -> None:
        self._console.print(f"\n$ {line}", style="bold", markup=False, highlight=False)


@click.command()
@click.option("--once", is_flag=True, help="End after the tour.")
def demo(once: bool) -> None:
    """Show ndicloudfs at work: a cloud on this machine, mounted, and a short tour of it.

    Nothing leaves this machine and nothing stays on it.

    Example: ndicloudfs demo --once
    """
    if importlib.util.find_spec("aiohttp") is None:
        raise Failure(
            "The demo needs the sandbox; install it with: pip install 'ndicloudfs[sandbox]'"
        )
    console = Console(soft_wrap=True)
    # SIGTERM ends the demo as Ctrl-C does: everything that it started ends with it. A script that
    # runs in the background has been told to ignore Ctrl-C, and the demo would not end at all.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: _interrupt())
    try:
        with _running(console) as mount:
            _tour(mount, console)
            if not once:
                console.print(f"\nLook around in {mount}; Ctrl-C ends the demo.", markup=False)
                signal.pause()
    except KeyboardInterrupt:
        console.print("\nThe mount and the sandbox have ended.")
        if once:
            sys.exit(130)


def _interrupt() -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _running(console: Console) -> Iterator[Path]:
    """A sandbox with the sample dataset, mounted."""
    with tempfile.TemporaryDirectory(prefix="ndicloudfs-demo-") as name:
        folder = Path(name)
        mount = folder / "ndi"
        mount.mkdir()
        console.print("Starting an NDI Cloud on this machine ...")
        with _sandbox(folder) as account:
            console.print("Loading the sample dataset ...")
            ready = str(folder / READY_NAME)
            named = ("--name", DATASET_NAME, "--publish", "--ready-file", ready)
            _ndicloudfs("sandbox", "sample", *named)
            console.print("Mounting it ...")
            environment = {
                **os.environ,
                "NDI_CLOUD_URL": account["url"],
                "NDI_CLOUD_USERNAME": account["email"],
                "NDI_CLOUD_PASSWORD": account["password"],
                "NDI_CLOUD_TOKEN": "",
                "XDG_STATE_HOME": str(folder / "state"),
            }
            arguments = ("mount", str(mount), "--cache-dir", str(folder / "cache"))
            try:
                _ndicloudfs(*arguments, environment=environment)
                yield mount
            finally:
                _unmount(mount)


@contextlib.contextmanager
def _sandbox(folder: Path) -> Iterator[dict[str, str]]:
    process = subprocess.Popen(
        [
            *_command("sandbox", "serve", "--data", str(folder / "cloud")),
            *("--ready-file", str(folder / READY_NAME)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for the demo, which ends the sandbox last
    )
    try:
        # The sandbox says where it is once it answers, and nothing if it cannot start.
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise Failure("The sandbox did not start; try: ndicloudfs sandbox serve --data DIR")
        account: dict[str, str] = json.loads(line)
        yield account
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _unmount(mount: Path) -> None:
    target = points.absolute(str(mount))
    if points.mounted_at(target) is None:
        return
    try:
        points.unmount(target)
    except points.MountError:
        # A shell of the user's may be in it: the demo ends all the same.
        points.unmount(target, lazy=True)


def _tour(mount: Path, console: Console) -> None:
    shell = _Shell(mount, console)
    shell.run("ls")
    shell.cd(f"published/{DATASET_NAME}")
    shell.run("ls", ".", "documents")
    dataset = mount / "published" / DATASET_NAME
    subject = sorted((dataset / "documents" / "subject").iterdir())[0]
    shell.run("cat", str(subject.relative_to(dataset)))
    recording = next((dataset / "files" / "generic_file").glob("*/*.wav"))
    shell.cd(str(recording.parent.relative_to(dataset)))
    shell.run("ls", "-l")
    if shutil.which("getfattr"):
        shell.run("getfattr", "-d", recording.name)
    copy = mount.parent / recording.name
    shell.run("cp", recording.name, str(copy))
    sums = shell.run("sha256sum", recording.name, str(copy))
    through = {line.split()[0] for line in sums.splitlines()}
    if through != {_source_sum(copy.stat().st_size)}:
        raise Failure(
            "The checksum of the recording differs from that of its source;"
            " report this to the maintainers"
        )
    console.print("The checksums equal that of the source.")
    shell.run(sys.executable, "-c", _READ_RECORDING.format(name=json.dumps(recording.name)))


def _source_sum(size: int) -> str:
    """The checksum of the sample's object of ``size`` bytes, from what the sample is made of."""
    for source in sample().objects():
        if source.size == size:
            with source.open() as data:
                return hashlib.sha256(data.read()).hexdigest()
    raise Failure(f"The sample has no object of {size} bytes; install ndicloudfs again")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ndicloudfs", *arguments]


def _ndicloudfs(*arguments: str, environment: dict[str, str] | None = None) -> None:
    result = subprocess.run(
        _command(*arguments), env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        said = result.stderr.strip().splitlines()[-1:] or [""]
        raise Failure(said[0].removeprefix("ndicloudfs: "), result.returncode)
