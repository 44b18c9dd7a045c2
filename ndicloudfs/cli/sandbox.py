"""``ndicloudfs sandbox``: an NDI Cloud that runs on this machine, and what goes into it."""

from __future__ import annotations

import asyncio
import importlib
import ipaddress
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ndicloudfs.cli import quantities
from ndicloudfs.cli.failure import Failure

if TYPE_CHECKING:
    from ndicloudfs.sandbox.settings import Settings

# Further commands by the module that holds them.
COMMANDS = {"load": "sandbox_data", "sample": "sandbox_data"}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *COMMANDS])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"ndicloudfs.cli.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Commands)
def sandbox() -> None:
    """Run an NDI Cloud on this machine, to try things out."""


def _pairs(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for value in values:
        name, equals, setting = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
        pairs[name.replace("-", "_")] = setting
    return pairs


@sandbox.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, help="Port of the API.  [default: a free one]")
@click.option("--object-port", default=0, help="Port of the objects.  [default: a free one]")
@click.option(
    "--data",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps everything; it is made when it is not there.",
)
@click.option(
    "--ready-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write the line to, too, when both ports answer.",
)
@click.option("--allow-remote", is_flag=True, help="Permit a host other than this machine.")
@click.option("--api-latency", type=quantities.time, help="Before every API call.")
@click.option("--object-latency", type=quantities.time, help="Before every object request.")
@click.option("--object-bandwidth", type=quantities.rate, help="Per connection: 80MB/s.")
@click.option("--bulk-fetch-per-document", type=quantities.time, help="Of a bulk-fetch.")
@click.option("--token-life", type=quantities.time, help="Of a token: 3600s.")
@click.option("--url-life", type=quantities.time, help="Of a presigned URL: 3600s.")
@click.option(
    "--delay",
    "delays",
    multiple=True,
    callback=_pairs,
    metavar="NAME=SECONDS",
    help="Of what happens later, such as document_import; may be repeated.",
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    callback=_pairs,
    metavar="NAME=VALUE",
    help="How to answer where the real cloud is not known; may be repeated.",
)
def serve(
    host: str,
    port: int,
    object_port: int,
    data: Path,
    ready_file: Path | None,
    allow_remote: bool,
    delays: dict[str, object],
    variants: dict[str, object],
    **latencies: float | None,
) -> None:
    """Run a sandbox until it is interrupted; prints where it is and its first user as JSON.

    Example: ndicloudfs sandbox serve --data ./cloud --api-latency 100ms --delay publish=5
    """
    try:
        from ndicloudfs.sandbox.serve import running, write_private  # noqa: PLC0415
    except ImportError as error:
        raise Failure(
            f"The sandbox needs {error.name}: pip install 'ndicloudfs[sandbox]'"
        ) from error
    if not allow_remote and not is_loopback(host):
        raise click.UsageError(f"{host} is open to other machines; say so with --allow-remote")
    settings = _settings(latencies, delays, variants)

    async def run() -> None:
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        async with running(data, settings, host, port, object_port) as ready:
            if ready_file is not None:
                write_private(ready_file, ready.as_json() + "\n")
            click.echo(ready.as_json())
            await stopped.wait()

    asyncio.run(run())


def _settings(
    latencies: dict[str, float | None], delays: dict[str, object], variants: dict[str, object]
) -> Settings:
    from ndicloudfs.sandbox import settings as known  # noqa: PLC0415

    for kind, given in ((known.DELAY, delays), (known.VARIANT, variants)):
        unknown = set(given) - set(known.names(kind))
        if unknown:
            names = ", ".join(known.names(kind))
            raise click.UsageError(f"there is no {kind} {', '.join(unknown)}; there are {names}")
    chosen: dict[str, object] = {
        name: value for name, value in latencies.items() if value is not None
    }
    try:
        return known.changed(known.Settings(), {**chosen, **delays, **variants})
    except known.BadSetting as error:
        raise click.UsageError(str(error)) from error


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
