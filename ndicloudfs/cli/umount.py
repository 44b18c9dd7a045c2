"""``ndicloudfs umount``."""

from __future__ import annotations

import contextlib

import click

from ndicloudfs.cli.sync import left_over, wait_for
from ndicloudfs.mount import mountpoint as points
from ndicloudfs.mount.commands import CommandFailed, Place
from ndicloudfs.mount.control import Misused


@click.command()
@click.argument("mountpoint")
@click.option("--now", is_flag=True, help="Do not wait for uploads; the next mount goes on.")
@click.option("--lazy", is_flag=True, help="Take the mount away even while it is in use.")
def umount(mountpoint: str, now: bool, lazy: bool) -> None:
    """End the mount at MOUNTPOINT, after the server has everything that was written.

    Example: ndicloudfs umount ~/ndi
    """
    target = points.absolute(mountpoint)
    points.check_ours(target)
    # Whoever does not answer has died, belongs to somebody else, or is of an older version; what
    # is queued is safe anyway.
    with contextlib.suppress(CommandFailed, Misused):
        _prepare(Place(target, ""), now=now or lazy)
    points.unmount(target, lazy=lazy)


def _prepare(place: Place, *, now: bool) -> None:
    if now:
        place.ask("leave queue")
        return
    done = wait_for(place, even_offline=True)
    if done["entries"]:
        raise left_over(place, done)
    if done["parked"]:
        click.echo(
            f"{done['parked']} changes wait for a decision; `ndicloudfs queue list` shows them"
            " when it is mounted again",
            err=True,
        )
