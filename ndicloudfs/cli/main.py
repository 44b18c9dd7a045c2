"""The ``ndicloudfs`` command: finds the command group, turns errors into a sentence and a code."""

from __future__ import annotations

import importlib
import sys

import click

from ndicloudfs import __version__
from ndicloudfs.cli.failure import failure_of

# Commands by the module that holds them, imported when asked for: `--help` stays quick, and a
# command works without the optional packages that another one needs.
COMMANDS = {
    "demo": "demo",
    "mount": "mount",
    "umount": "mount",
    "refresh": "freshness",
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


def main() -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:]
    try:
        ndicloudfs.main(arguments, prog_name="ndicloudfs")
    except Exception as error:
        failure = failure_of(error)
        if failure is None or "--debug" in arguments:
            raise
        failure.show()
        sys.exit(failure.exit_code)
