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
from ndicloudfs.mount.binding import BindingError
from ndicloudfs.mount.commands import CommandFailed
from ndicloudfs.mount.control import Misused
from ndicloudfs.mount.mountpoint import MountError

FAILED, WRONG_USAGE, NOT_SIGNED_IN, OFFLINE = 1, 2, 3, 4
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
    if isinstance(error, (NotSignedIn, WrongCredentials)):
        return Failure(str(error), NOT_SIGNED_IN)
    if isinstance(error, (Unreachable, TimedOut)):
        return Failure(str(error), OFFLINE)
    if isinstance(error, (BadConfiguration, Misused)):
        return Failure(str(error), WRONG_USAGE)
    if isinstance(error, (CloudError, CommandFailed, MountError, BindingError, OSError)):
        return Failure(str(error))
    return None
