"""The control socket of a mount: commands for it from other processes of its owner.

Line-delimited JSON over a Unix socket, one command per connection. The client sends

    {"command": "refresh", "arguments": {"path": "Lab/Data"}}

and the mount answers with any number of ``{"progress": {...}}``, an ``{}`` every few seconds as a
sign of life, and at last ``{"result": {...}}`` or ``{"error": sentence, "kind": class of the
error}``. A client that closes the connection cancels the command.

One thread accepts and watches all connections, so that it hears at once when a client goes away;
the commands run in a few threads beside it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import platformdirs

from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.cloud.values import Json

log = logging.getLogger(__name__)

MOST_CONNECTIONS = 16  # a thread for each, once it has asked for something
SIGN_OF_LIFE = 5.0  # s
PROGRESS_EVERY = 0.1  # s; what happens faster is not worth a line
_MOST_REQUEST = 1 << 20  # bytes
_REQUEST_SECONDS = 10.0  # for a client that connects and asks for nothing
_SEND_SECONDS = 30.0  # for a client that does not read
_SUFFIX = ".sock"


class Cancelled(Exception):
    """Whoever gave the command has gone away, or the mount ends."""


class Misused(Exception):
    """A command that there is not, or that was given what it does not take."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command as its handler sees it."""

    arguments: Json
    progress: Callable[[Json], None]  # says how far it is, at most every ``PROGRESS_EVERY``
    cancelled: threading.Event

    def check(self) -> None:
        """Raise ``Cancelled`` where nobody waits for the answer any more."""
        if self.cancelled.is_set():
            raise Cancelled

    def text(self, name: str) -> str:
        """The argument ``name``, which must be text. Raises ``Misused``."""
        value = self.arguments.get(name)
        if not isinstance(value, str):
            raise Misused(
                f"{name} is missing in what the mount was sent; unmount and mount it again"
            )
        return value

    def texts(self, name: str) -> list[str]:
        """The argument ``name``, which must be a list of texts. Raises ``Misused``."""
        value = self.arguments.get(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise Misused(
                f"{name} is missing in what the mount was sent; unmount and mount it again"
            )
        return value


Handler: TypeAlias = Callable[[Request], Json]


def default_folder() -> Path:
    """Where the sockets of this user are.

    In the state folder: the runtime folder goes away when the user logs out, and the mount stays.
    """
    return platformdirs.user_state_path("ndicloudfs", appauthor=False) / "run"


def socket_name(mountpoint: str) -> str:
    """The name of the socket of the mount at ``mountpoint``, an absolute path without links.

    It begins with this machine, as machines may share a home. 36 bytes, however long the path is.
    """
    return f"{_machine()}-{_hash(mountpoint, 10)}{_SUFFIX}"


def connect(folder: Path, name: str, seconds: float) -> socket.socket:
    """Connect to the socket ``name`` in ``folder``. Raises OSError where nobody listens."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        client.settimeout(seconds)
        with _short_path(folder, name) as path:
            client.connect(path)
    except BaseException:
        client.close()
        raise
    return client


@dataclass(slots=True)
class _Connection:
    """A client: what it has sent so far, and whether it still waits."""

    socket: socket.socket
    since: float
    received: bytes = b""
    asked: bool = False
    refused: bool = False
    cancelled: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)  # lines do not mix

    def send(self, message: Json) -> None:
        """Send a line; a client that cannot be reached has gone away."""
        with self.lock, self._or_cancelled():
            self.socket.sendall(json.dumps(message).encode() + b"\n")

    def send_sign_of_life(self) -> None:
        """Send an empty line, unless another one is being sent."""
        if self.lock.acquire(blocking=False):
            try:
                with self._or_cancelled():
                    self.socket.sendall(b"{}\n")
            finally:
                self.lock.release()

    def end(self) -> None:
        """Nothing more is sent or read; the thread that watches closes it."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def _or_cancelled(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.cancelled.set()


class ControlServer:
    """Listens for commands from the moment it is made until it is closed."""

    def __init__(
        self, mountpoint: str, handlers: Mapping[str, Handler], folder: Path | None = None
    ) -> None:
        """``mountpoint``: absolute, without links; ``folder``: ``default_folder()`` when None.

        Raises OSError where there can be no socket.
        """
        self._handlers = handlers
        self._listener = _Listener(folder or default_folder(), socket_name(mountpoint))
        self._pool = ThreadPoolExecutor(MOST_CONNECTIONS, thread_name_prefix="ndi-command")
        self._ending, self._end = socket.socketpair()
        self._connections: dict[socket.socket, _Connection] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener.socket, selectors.EVENT_READ)
        self._selector.register(self._ending, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="ndi-control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Cancel what is going on, wait for it, and take the socket away."""
        self._end.send(b"\0")
        self._thread.join()
        self._pool.shutdown(wait=True)
        self._listener.close()
        self._ending.close()
        self._end.close()

    def _serve(self) -> None:
        while True:
            timeout = SIGN_OF_LIFE if self._connections else None
            ready = [key.fileobj for key, _ in self._selector.select(timeout)]
            if self._ending in ready:
                break
            for connection in list(self._connections.values()):
                if connection.socket in ready:
                    self._hear(connection)
            if self._listener.socket in ready:
                self._accept()
            self._keep_alive()
        for connection in list(self._connections.values()):
            connection.cancelled.set()
            if not connection.asked:
                self._forget(connection)
        self._pool.shutdown(wait=True)  # the last answers are sent
        for connection in list(self._connections.values()):
            self._forget(connection)
        self._selector.close()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.socket.accept()
        except OSError:  # it has gone away already, or there are too many open files
            return
        client.settimeout(_SEND_SECONDS)
        connection = _Connection(client, time.monotonic())
        self._connections[client] = connection
        self._selector.register(client, selectors.EVENT_READ)
        if len(self._connections) > MOST_CONNECTIONS:
            sentence = f"The mount is busy with {MOST_CONNECTIONS} other commands; try again"
            connection.send({"error": sentence})
            connection.refused = True
            with suppress(OSError):  # closed at once, it might not read what it was sent
                client.shutdown(socket.SHUT_WR)

    def _hear(self, connection: _Connection) -> None:
        """Read what a client has sent: its command, or that it has gone away."""
        try:
            received = connection.socket.recv(_MOST_REQUEST)
        except OSError:
            received = b""
        if not received:
            connection.cancelled.set()
            self._forget(connection)
        elif not connection.asked and not connection.refused:
            connection.received += received
            if b"\n" in connection.received:
                connection.asked = True
                self._pool.submit(self._run, connection)
            elif len(connection.received) >= _MOST_REQUEST:
                self._forget(connection)

    def _keep_alive(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections.values()):
            if connection.asked:
                if now - connection.since > SIGN_OF_LIFE:
                    connection.since = now
                    connection.send_sign_of_life()
            elif now - connection.since > _REQUEST_SECONDS:
                self._forget(connection)

    def _forget(self, connection: _Connection) -> None:
        del self._connections[connection.socket]
        self._selector.unregister(connection.socket)
        connection.socket.close()

    def _run(self, connection: _Connection) -> None:
        last = float("-inf")

        def progress(facts: Json) -> None:
            nonlocal last
            if connection.cancelled.is_set():
                raise Cancelled
            now = time.monotonic()
            if now - last >= PROGRESS_EVERY:
                last = now
                connection.send({"progress": facts})

        try:
            handler, arguments = self._understood(connection.received)
            result = handler(Request(arguments, progress, connection.cancelled))
            connection.send({"result": result})
        except Cancelled:
            connection.send({"error": "The command was cancelled, as the mount is ending"})
        except (CloudError, OSError, Misused) as error:
            connection.send({"error": _sentence(error), "kind": type(error).__name__})
        except Exception:
            log.exception("a command failed, an error in ndicloudfs itself")
            connection.send({"error": "The command failed in the mount; its log says why"})
        finally:
            connection.end()

    def _understood(self, line: bytes) -> tuple[Handler, Json]:
        try:
            request = json.loads(line)
            name, arguments = request["command"], request["arguments"]
        except (ValueError, KeyError, TypeError):
            raise Misused("The mount was not sent a command; unmount and mount it again") from None
        handler = self._handlers.get(name)
        if handler is None or not isinstance(arguments, dict):
            raise Misused(f"The mount does not know the command {name}; unmount and mount it again")
        return handler, arguments


class _Listener:
    """The socket in its folder."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        self._folder, self._name = folder, name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with _locked(folder):
                _clean(folder)
                # One that is there is of a mount that was taken away lazily and is still in use.
                (folder / name).unlink(missing_ok=True)
                with _short_path(folder, name) as path:
                    self.socket.bind(path)
                (folder / name).chmod(0o600)
                self.socket.listen(MOST_CONNECTIONS)
            self._inode = (folder / name).stat().st_ino
        except BaseException:
            self.socket.close()
            raise

    def close(self) -> None:
        self.socket.close()
        with suppress(OSError), _locked(self._folder):
            if (self._folder / self._name).stat().st_ino == self._inode:
                (self._folder / self._name).unlink()


def _clean(folder: Path) -> None:
    """Take away the sockets of this machine's mounts that have died."""
    for path in folder.glob(f"{_machine()}-*{_SUFFIX}"):
        try:
            connect(folder, path.name, 1.0).close()
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError:  # it lives, and is busy
            continue


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep others out between making a socket and listening at it, when it looks dead."""
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _short_path(folder: Path, name: str) -> Iterator[str]:
    """A path to ``folder/name`` that fits into the 107 bytes that the address of a socket has."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{name}"
    finally:
        os.close(directory)


def _machine() -> str:
    return _hash(socket.gethostname(), 5)


def _hash(text: str, size: int) -> str:
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=size).hexdigest()


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return str(error)
