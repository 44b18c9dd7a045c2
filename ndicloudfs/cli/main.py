"""The ``ndicloudfs`` command: finds the command group, turns errors into a sentence and a code."""

from __future__ import annotations

import importlib
import sys

import click

from ndicloudfs import __version__
from ndicloudfs.cloud.errors import (
    CloudError,
    NotSignedIn,
    TimedOut,
    Unreachable,
    WrongCredentials,
)

FAILED, NOT_SIGNED_IN, OFFLINE = 1, 3, 4

# Commands by the module that holds them, imported when asked for: `--help` stays quick, and a
# command works without the optional packages that another one needs.
COMMANDS = {
    "sandbox": "sandbox",
}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(
            importlib.import_module(f"ndicloudfs.cli.{module}"), cmd_name
        )
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ndicloudfs")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def ndicloudfs(debug: bool) -> None:
    """Mount NDI Cloud: organizations, datasets, documents and files as directories and files."""
    del debug  # read by main(), where errors end


def exit_code(error: CloudError) -> int:
    """The exit code of a command that ended with ``error``."""
    if isinstance(error, (NotSignedIn, WrongCredentials)):
        return NOT_SIGNED_IN
    if isinstance(error, (Unreachable, TimedOut)):
        return OFFLINE
    return FAILED


def main() -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:]
    try:
        ndicloudfs.main(arguments, prog_name="ndicloudfs")
    except (CloudError, OSError) as error:
        if "--debug" in arguments:
            raise
        click.echo(f"ndicloudfs: {error}", err=True)
        sys.exit(exit_code(error) if isinstance(error, CloudError) else FAILED)
