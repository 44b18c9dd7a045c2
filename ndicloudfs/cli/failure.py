"""How a command ends when it fails: a sentence and an exit code."""

from __future__ import annotations

from typing import IO

import click

from ndicloudfs.cloud.errors import (
    BadConfiguration,
    CloudError,
    NotSignedIn,
    TimedOut,
    Unreachable,
    WrongCredentials,
)
from ndicloudfs.integrations.folder import FolderError
from ndicloudfs.mount.binding import BindingError
from ndicloudfs.mount.commands import CommandFailed
from ndicloudfs.mount.control import Misused
from ndicloudfs.mount.mountpoint import MountError
from ndicloudfs.vfs.source import NoSuchSource
from ndicloudfs.writeback.errors import WriteBackError

FAILED, WRONG_USAGE, NOT_SIGNED_IN, OFFLINE = 1, 2, 3, 4
# Errors, besides those of the cloud, whose text is a sentence for the user.
SENTENCES: tuple[type[Exception], ...] = (
    BindingError,
    CommandFailed,
    FolderError,
    Misused,
    MountError,
    NoSuchSource,
    WriteBackError,
)
_CODES: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((NotSignedIn, WrongCredentials), NOT_SIGNED_IN),
    ((Unreachable, TimedOut), OFFLINE),
    ((BadConfiguration, Misused), WRONG_USAGE),
    ((CloudError, *SENTENCES), FAILED),
)
INTERRUPTED = 130  # as shells count a program that Ctrl-C ended


class Failure(click.ClickException):
    """A failure with its sentence and exit code."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]

    def show(self, file: IO[str] | None = None) -> None:
        """Print the sentence."""
        click.echo(f"ndicloudfs: {self.message}", file=file, err=True)


def failure_of(error: BaseException) -> Failure | None:
    """What to tell the user of ``error``; None where it is a fault of ndicloudfs itself."""
    if isinstance(error, Failure):
        return error
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return Failure(str(error), code)
    if isinstance(error, OSError) and error.errno is not None:
        return Failure(_of_the_system(error))
    return None


def _of_the_system(error: OSError) -> str:
    """What the operating system says, about what, without its number."""
    said = (error.strerror or "it failed").lower()
    about = error.filename if isinstance(error.filename, str) else ""
    return f"{about}: {said}" if about else said
