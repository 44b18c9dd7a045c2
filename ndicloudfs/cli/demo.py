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
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from ndicloudfs.cli.failure import Failure
from ndicloudfs.mount import mountpoint as points

READY_NAME = "ready.json"
_STOP_SECONDS = 10.0
_READ_RECORDING = """
import wave
with wave.open({path!r}) as recording:
    frames, rate = recording.getnframes(), recording.getframerate()
    print(f"{{frames}} samples at {{rate}} Hz, {{frames / rate:.2f}} s")
"""


@dataclass(frozen=True, slots=True)
class _Demo:
    """A sandbox and a mount of it that are running."""

    mount: Path
    scratch: Path
    console: Console

    def show(self, *command: str) -> str:
        """Run a command on the mount as a user would type it, and show it with its output."""
        words = [Path(sys.executable).name if word == sys.executable else word for word in command]
        self.console.print(f"\n[bold]$ {_markup_safe(shlex.join(words))}[/bold]", highlight=False)
        result = subprocess.run(
            command, capture_output=True, text=True, cwd=self.mount, check=False
        )
        self.console.print((result.stdout + result.stderr).rstrip(), markup=False, highlight=False)
        if result.returncode:
            raise Failure(f"The tour stopped: {command[0]} ended with {result.returncode}")
        return result.stdout


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
    # SIGTERM ends the demo as Ctrl-C does: everything that it started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    try:
        with _running(console) as running:
            _tour(running)
            if not once:
                console.print(
                    f"\nThe mount stays at {running.mount} until you press Ctrl-C.", markup=False
                )
                signal.pause()
    except KeyboardInterrupt:
        console.print("\nThe mount and the sandbox have ended.")
        if once:
            sys.exit(130)


def _interrupt() -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def _running(console: Console) -> Iterator[_Demo]:
    with tempfile.TemporaryDirectory(prefix="ndicloudfs-demo-") as name:
        folder = Path(name)
        mount = folder / "ndi"
        mount.mkdir()
        console.print("Starting an NDI Cloud on this machine ...")
        with _sandbox(folder) as account:
            console.print("Loading the sample dataset ...")
            ready = str(folder / READY_NAME)
            _ndicloudfs("sandbox", "sample", "--ready-file", ready, "--publish")
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
            _ndicloudfs(*arguments, environment=environment)
            scratch = folder / "copies"
            scratch.mkdir()
            try:
                yield _Demo(mount, scratch, console)
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
    try:
        points.unmount(str(mount))
    except points.MountError:
        # A shell of the user's may be in it: the demo ends all the same.
        points.unmount(str(mount), lazy=True)


def _tour(running: _Demo) -> None:
    running.show("ls")
    running.show("ls", "published")
    (dataset,) = (running.mount / "published").iterdir()
    here = dataset.relative_to(running.mount)
    running.show("ls", str(here), str(here / "documents"))
    subject = sorted((dataset / "documents" / "subject").iterdir())[0]
    running.show("cat", str(subject.relative_to(running.mount)))
    running.show("ls", "-lh", *_generic_files(running, here))
    recording = next(path for path in _generic_files(running, here) if path.endswith(".wav"))
    running.show("getfattr", "-d", recording) if shutil.which("getfattr") else None
    copy = running.scratch / "recording.wav"
    running.show("cp", recording, str(copy))
    sums = running.show("sha256sum", recording, str(copy))
    _compare(running, sums, copy)
    code = _READ_RECORDING.format(path=recording).strip()
    running.show(sys.executable, "-c", code)


def _generic_files(running: _Demo, dataset: Path) -> list[str]:
    found = (running.mount / dataset / "files" / "generic_file").glob("*/*")
    return sorted(str(path.relative_to(running.mount)) for path in found)


def _compare(running: _Demo, sums: str, copy: Path) -> None:
    """Compare what came through the mount with what the sample dataset was made of."""
    from ndicloudfs.sandbox.sample import sample  # noqa: PLC0415 (aiohttp is optional)

    through = {line.split()[0] for line in sums.splitlines()}
    for source in sample().objects():
        if source.size == copy.stat().st_size:
            with source.open() as data:
                if through == {hashlib.sha256(data.read()).hexdigest()}:
                    running.console.print("The checksum equals that of the source.")
                    return
    raise Failure("The checksum differs from that of the source")


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ndicloudfs", *arguments]


def _ndicloudfs(*arguments: str, environment: dict[str, str] | None = None) -> None:
    result = subprocess.run(
        _command(*arguments), env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        said = result.stderr.strip().splitlines()[-1:] or [""]
        raise Failure(said[0].removeprefix("ndicloudfs: "), result.returncode)


def _markup_safe(text: str) -> str:
    return text.replace("[", r"\[")
