"""The ``ndicloudfs`` command: finds the command group, turns errors into a sentence and a code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator

import click

from ndicloudfs import __version__
from ndicloudfs.cli import logs
from ndicloudfs.cli.failure import FAILED, INTERRUPTED, Failure, failure_of
from ndicloudfs.cloud.redaction import one_line

# Commands by the module that holds them, imported when asked for: `--help` stays quick, and a
# command works without the optional packages that another one needs.
COMMANDS = {
    "demo": "demo",
    "login": "account",
    "logout": "account",
    "whoami": "account",
    "mount": "mount",
    "umount": "umount",
    "status": "status",
    "sync": "sync",
    "queue": "queue",
    "find": "finding",
    "path": "finding",
    "info": "finding",
    "refresh": "freshness",
    "prefetch": "prefetching",
    "cache": "cache",
    "config": "config",
    "doctor": "doctor",
    "completion": "completion",
    "reference": "reference",
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


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with its words: ``("cache", "info")``."""

    def below(
        words: tuple[str, ...], group: click.Group
    ) -> Iterator[tuple[tuple[str, ...], click.Command]]:
        context = click.Context(group)
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            if isinstance(command, click.Group):
                yield from below((*words, name), command)
            elif command is not None and not command.hidden:
                yield (*words, name), command

    return below((), ndicloudfs)


def main() -> None:
    """Run the command line and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command; its exit code. Every error ends here as a sentence on standard error."""
    debug = "--debug" in arguments
    try:
        code = ndicloudfs.main(arguments, prog_name="ndicloudfs", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nndicloudfs: interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough; the interpreter must not find out once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last place where an error can go
        if debug:
            click.echo(logs.traceback_of(error).rstrip(), err=True)
        if isinstance(error, click.ClickException):
            error.show()
            return error.exit_code
        failure = failure_of(error) or fault(error)
        failure.show()
        return failure.exit_code
    return code if isinstance(code, int) else 0


def fault(error: BaseException) -> Failure:
    """What to say of an error that is nobody's but ours."""
    what = one_line(f"{type(error).__name__}: {error}")
    return Failure(
        f"an error in ndicloudfs itself ({what}); "
        "run it again with: ndicloudfs --debug, and report what it shows"
    )
