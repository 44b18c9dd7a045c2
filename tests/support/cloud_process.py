"""A sandbox in a process of its own, which can be stopped and killed as a server can."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

_START_SECONDS = 30


@dataclass
class CloudProcess:
    """An NDI Cloud at fixed ports, with its state in ``data``."""

    data: Path
    process: subprocess.Popen[str]
    account: dict[str, str]
    ports: tuple[str, ...]

    def hang(self) -> None:
        """Stop it: connections are taken, and nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on where it was stopped."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Let it die: no connection can be made."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def start(self) -> None:
        """Start it again where it was."""
        self.process, _ = _serve(self.data, self.ports)

    def fault(self, route: str, kind: str) -> None:
        """Let all requests on ``route`` fail from now on."""
        url = self.account["NDI_CLOUD_URL"].removesuffix("/v1") + "/sandbox/faults"
        body = {"route": route, "kind": kind, "count": -1, "seconds": 300}
        requests.post(url, json=body, timeout=10).raise_for_status()

    def requests(self) -> int:
        """How many requests there were so far."""
        url = self.account["NDI_CLOUD_URL"].removesuffix("/v1") + "/sandbox/log"
        answer = requests.get(url, timeout=10)
        answer.raise_for_status()
        return len(answer.json()["requests"])


@contextmanager
def cloud_process(data: Path, *sample: str) -> Iterator[CloudProcess]:
    """A sandbox with one dataset, which ``sandbox sample`` makes with the options of ``sample``."""
    process, ready = _serve(data, ("--ready-file", str(data.with_suffix(".json"))))
    account = {
        "NDI_CLOUD_URL": ready["url"],
        "NDI_CLOUD_USERNAME": ready["email"],
        "NDI_CLOUD_PASSWORD": ready["password"],
    }
    ports = tuple(
        word
        for option, name in (("--port", "url"), ("--object-port", "object_url"))
        for word in (option, ready[name].removesuffix("/v1").rpartition(":")[2])
    )
    made = CloudProcess(data, process, account, ports)
    try:
        subprocess.run(
            [sys.executable, "-m", "ndicloudfs", "sandbox", "sample", *sample],
            env={**os.environ, **account},
            check=True,
            capture_output=True,
        )
        yield made
    finally:
        made.kill()


def _serve(data: Path, options: tuple[str, ...]) -> tuple[subprocess.Popen[str], dict[str, str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ndicloudfs", "sandbox", "serve", "--data", str(data), *options],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    ready: dict[str, str] = json.loads(process.stdout.readline())
    return process, ready
