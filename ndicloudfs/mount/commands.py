"""Commands to a running mount, from the command line or any other process of its owner."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ndicloudfs.cloud import errors
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount import control, mountpoint
from ndicloudfs.mount.control import Misused

_CONNECT_SECONDS = 5.0
# The mount gives a sign of life every 5 s, whatever it does for us.
_SILENCE_SECONDS = 30.0
_MOST_LINKS = 40  # as the kernel


class CommandFailed(Exception):
    """The mount did not do what it was asked for: the sentence says why."""


_KINDS: Mapping[str, type[Exception]] = {
    **{
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.CloudError)
    },
    Misused.__name__: Misused,
}


@dataclass(frozen=True, slots=True)
class Place:
    """A path in a mount: ``inner`` has no slash at either end, and is empty for the whole mount."""

    mountpoint: str
    inner: str

    @property
    def path(self) -> str:
        """The path as other programs know it."""
        return f"{self.mountpoint}/{self.inner}" if self.inner else self.mountpoint

    def ask(
        self,
        command: str,
        arguments: Json | None = None,
        on_progress: Callable[[Json], None] = lambda _: None,
        folder: Path | None = None,
    ) -> Json:
        """Give the mount a command and wait for its result; being interrupted cancels it there.

        ``folder``: of the sockets. Raises ``CommandFailed``, ``Misused``, or the ``CloudError``
        that the command failed with in the mount.
        """
        for message in self._messages(command, arguments or {}, folder):
            if "progress" in message:
                on_progress(message["progress"])
            elif "result" in message:
                result: Json = message["result"]
                return result
            elif "error" in message:
                _fail(message)
        raise CommandFailed(f"The mount at {self.mountpoint} ended before it was done; mount again")

    def _messages(self, command: str, arguments: Json, folder: Path | None) -> Iterator[Json]:
        request = json.dumps({"command": command, "arguments": arguments}).encode() + b"\n"
        name = control.socket_name(self.mountpoint)
        try:
            connection = control.connect(folder or control.default_folder(), name, _CONNECT_SECONDS)
        except ConnectionRefusedError:
            raise CommandFailed(
                f"The mount at {self.mountpoint} has died;"
                f" clear it with: ndicloudfs umount {self.mountpoint}"
            ) from None
        except OSError:
            raise CommandFailed(
                f"The mount at {self.mountpoint} takes no commands from you; it belongs to"
                " another user, or was made with another home"
            ) from None
        try:
            with connection, connection.makefile("rb") as lines:
                connection.settimeout(_SILENCE_SECONDS)
                connection.sendall(request)
                for line in lines:
                    yield json.loads(line)
        except TimeoutError:
            raise CommandFailed(
                f"The mount at {self.mountpoint} does not answer; its process is stopped or hangs:"
                f" wait, or take it away with: ndicloudfs umount --lazy {self.mountpoint}"
            ) from None
        except OSError:  # it has ended meanwhile
            return


def place_of(path: str) -> Place:
    """The mount that ``path`` lies in, found without touching it. Raises ``Misused``."""
    ours = {
        mount.target
        for mount in mountpoint.mounts()
        if mount.filesystem == mountpoint.FILESYSTEM_TYPE
    }
    names = os.path.abspath(path).split("/")[1:]  # noqa: PTH100 (resolve looks into the mount)
    current, links = "", 0
    while names:
        name, *names = names
        current = f"{current}/{name}"
        if current in ours:
            return Place(current, "/".join(names))
        try:
            link = os.readlink(current)  # noqa: PTH115 (a string is wanted)
        except OSError:
            continue
        links += 1
        if links > _MOST_LINKS:
            break
        current = os.path.dirname(current)  # noqa: PTH120
        names = os.path.normpath(os.path.join(current, link, *names)).split("/")[1:]  # noqa: PTH118
        current = ""
    raise Misused(f"{path} is not in a mount of ndicloudfs; `ndicloudfs mount` makes one")


def mounted() -> list[Place]:
    """All mounts of ndicloudfs that this process sees."""
    return [
        Place(mount.target, "")
        for mount in mountpoint.mounts()
        if mount.filesystem == mountpoint.FILESYSTEM_TYPE
    ]


def _fail(message: Json) -> NoReturn:
    kind = _KINDS.get(message.get("kind", ""), CommandFailed)
    raise kind(message["error"])
