"""The control socket: commands to a mount, from its owner, until they end or are cancelled."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from ndicloudfs.cloud.errors import Unreachable
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount.commands import CommandFailed, Place, place_of
from ndicloudfs.mount.control import (
    MOST_CONNECTIONS,
    ControlServer,
    Handler,
    Misused,
    Request,
    connect,
    socket_name,
)
from tests.support.system import until

POINT = "/home/somebody/ndi"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose path is too long for the address of a socket."""
    return tmp_path / ("long" * 30) / "run"


@contextmanager
def listening(folder: Path, handlers: Mapping[str, Handler]) -> Iterator[Callable[..., Json]]:
    """A server, and what asks it."""
    server = ControlServer(POINT, handlers, folder)

    def ask(command: str, on_progress: Callable[[Json], None] = print, **arguments: object) -> Json:
        return Place(POINT, "").ask(command, arguments, on_progress, folder)

    try:
        yield ask
    finally:
        server.close()


def fail(request: Request) -> Json:
    raise Unreachable(f"{request.text('what')} cannot be reached; check the network")


def count(request: Request) -> Json:
    for number in range(3):
        request.progress({"number": number})
    return {"total": 3}


def test_a_command_answers_with_progress_and_a_result(folder: Path) -> None:
    heard: list[Json] = []
    with listening(folder, {"count": count}) as ask:
        assert ask("count", heard.append) == {"total": 3}
    assert heard[0] == {"number": 0}


def test_arguments_and_answers_hold_any_name(folder: Path) -> None:
    name = "Zürich 😀 \udcff\n"
    with listening(folder, {"echo": lambda request: dict(request.arguments)}) as ask:
        assert ask("echo", path=name) == {"path": name}


def test_an_error_arrives_as_the_same_error(folder: Path) -> None:
    with listening(folder, {"fail": fail}) as ask:
        with pytest.raises(Unreachable, match=r"^The server cannot be reached; check the network$"):
            ask("fail", what="The server")
        with pytest.raises(Misused, match="what is missing"):
            ask("fail")
        with pytest.raises(Misused, match="does not know the command dance"):
            ask("dance")


def test_an_error_of_ours_is_said_without_its_traceback(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        listening(folder, {"fail": lambda request: {"n": request.arguments["nothing"]}}) as ask,
        pytest.raises(CommandFailed, match="its log says why"),
    ):
        ask("fail")
    assert "KeyError" in caplog.text


def test_a_client_that_goes_away_cancels_what_it_asked_for(folder: Path) -> None:
    begun, cancelled = threading.Event(), threading.Event()

    def wait(request: Request) -> Json:
        begun.set()
        assert request.cancelled.wait(10)
        cancelled.set()
        return {}

    with listening(folder, {"wait": wait, "count": count}) as ask:
        client = connect(folder, socket_name(POINT), 5.0)
        client.sendall(b'{"command": "wait", "arguments": {}}\n')
        assert begun.wait(10)
        assert ask("count") == {"total": 3}
        client.close()
        assert cancelled.wait(10)


def test_the_end_of_the_mount_cancels_what_goes_on(folder: Path) -> None:
    begun = threading.Event()

    def work(request: Request) -> Json:
        begun.set()
        request.cancelled.wait(10)
        request.check()
        return {}

    failures: list[str] = []

    def ask_and_fail(ask: Callable[..., Json]) -> None:
        try:
            ask("work")
        except CommandFailed as error:
            failures.append(str(error))

    with listening(folder, {"work": work}) as ask:
        thread = threading.Thread(target=ask_and_fail, args=(ask,))
        thread.start()
        assert begun.wait(10)
    thread.join(10)
    assert failures == ["The command was cancelled, as the mount is ending"]


def test_more_clients_than_threads_are_told_so(folder: Path) -> None:
    name = socket_name(POINT)
    with listening(folder, {"count": count}) as ask:
        idle = [connect(folder, name, 5.0) for _ in range(MOST_CONNECTIONS)]
        with pytest.raises(CommandFailed, match="busy with 16 other commands"):
            ask("count")
        for client in idle:
            client.close()
        until(lambda: answers(ask))


def answers(ask: Callable[..., Json]) -> bool:
    try:
        return bool(ask("count"))
    except CommandFailed:
        return False


def test_only_the_owner_can_reach_the_socket(folder: Path) -> None:
    with listening(folder, {}):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((folder / socket_name(POINT)).stat().st_mode) == 0o600


def test_the_socket_goes_away_with_its_mount(folder: Path) -> None:
    with listening(folder, {"count": count}):
        pass
    assert list(folder.glob("*.sock")) == []
    with pytest.raises(CommandFailed, match="takes no commands from you"):
        Place(POINT, "").ask("count", folder=folder)


def test_sockets_of_dead_mounts_are_cleaned_and_living_ones_stay(folder: Path) -> None:
    folder.mkdir(parents=True)
    dead = folder / socket_name("/home/somebody/dead")
    with socket.socket(socket.AF_UNIX) as left:
        directory = os.open(folder, os.O_RDONLY)
        left.bind(f"/proc/self/fd/{directory}/{dead.name}")
        os.close(directory)
    with pytest.raises(CommandFailed, match="has died; clear it with: ndicloudfs umount"):
        Place("/home/somebody/dead", "").ask("count", folder=folder)
    with listening(folder, {"count": count}) as ask:
        assert not dead.exists()
        ControlServer("/another", {}, folder).close()
        assert ask("count") == {"total": 3}


def test_a_mount_that_was_taken_away_lazily_leaves_the_socket_to_the_next(folder: Path) -> None:
    old = ControlServer(POINT, {}, folder)
    with listening(folder, {"count": count}) as ask:
        old.close()
        assert ask("count") == {"total": 3}


def test_a_path_that_is_in_no_mount_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(Misused, match="is not in a mount of ndicloudfs"):
        place_of(str(tmp_path / "nowhere"))
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(Misused):
        place_of(str(tmp_path / "loop"))
