"""``ndicloudfs sync``: wait until the server has what was written."""

from __future__ import annotations

import json
import sys

import click

from ndicloudfs.cli.failure import FAILED, OFFLINE, Failure
from ndicloudfs.cli.progress import Shown
from ndicloudfs.cli.status import size as shown_size
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount import control
from ndicloudfs.mount.commands import Place, mounted, place_of
from ndicloudfs.mount.control import Misused


@click.command()
@click.argument("path", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def sync(path: str | None, as_json: bool) -> None:
    """Send what was written at PATH and below, and wait until the server shows it.

    Without PATH, of the whole mount, where there is only one. Ends with an error, and says what is
    left, where the server cannot be reached or refuses something; what is left stays queued.

    Example: cp -r results ~/ndi/'My Lab'/'Rat V1'/documents/ && ndicloudfs sync ~/ndi
    """
    place = the_mount(path)
    done = wait_for(place)
    if as_json:
        click.echo(json.dumps(done))
    elif not done["left"]:
        click.echo("the server has everything")
    if done["left"]:
        _tell(done)
        sys.exit(FAILED)


def wait_for(place: Place, *, even_offline: bool = False) -> Json:
    """Let the mount send everything at ``place``, showing how far it is; tells what is left."""
    with Shown(_sentence) as shown:
        return place.ask("sync", {"path": place.inner, "raise": not even_offline}, shown)


def the_mount(path: str | None) -> Place:
    """The place of ``path``, or the one mount there is. Raises ``Misused``."""
    if path is not None:
        return place_of(path)
    found = own_mounts()
    if len(found) == 1:
        return found[0]
    if not found:
        raise Misused("Nothing is mounted; `ndicloudfs mount` takes up the queue again")
    paths = ", ".join(place.path for place in found)
    raise Misused(f"There are {len(found)} mounts; name one of them: {paths}")


def own_mounts() -> list[Place]:
    """The mounts that take commands from this user, as far as can be told without asking."""
    sockets = control.default_folder()
    return [
        place
        for place in mounted()
        if (sockets / control.socket_name(place.mountpoint)).exists()  # else somebody else's
    ]


def left_over(place: Place, done: Json) -> Failure:
    """What to say where a mount is to end and not everything is on the server."""
    because = f" ({done['outage']})" if done["outage"] else ""
    return Failure(
        f"{_count(done)} of {place.mountpoint} are not on the server{because}; they are safe here:"
        f" `ndicloudfs umount --now {place.mountpoint}` leaves them for the next mount",
        OFFLINE if done["outage"] else FAILED,
    )


def _tell(done: Json) -> None:
    """Say what is left, a line each."""
    for entry in done["left"]:
        click.echo(f"{entry['id']}\t{entry['state']}\t{named(entry)}\t{entry['reason']}", err=True)
    more = done["entries"] + done["parked"] - len(done["left"])
    if more > 0:
        click.echo(f"and {more} more", err=True)
    click.echo(
        "ndicloudfs: not everything is on the server; `ndicloudfs queue list` shows what is left,"
        " `queue retry`, `queue resolve` and `queue discard` decide",
        err=True,
    )


def named(entry: Json) -> str:
    """What an entry is about, for people."""
    what = f"{entry['class']}/{entry['ndi_id']}" if entry["ndi_id"] else entry["dataset_id"]
    name = entry["name"]
    return what if not name or name == entry["ndi_id"] else f"{what}/{name}"


def _sentence(facts: Json) -> str:
    return f"{_count(facts)} to go, {shown_size(facts['size'])}"


def _count(facts: Json) -> str:
    return f"{facts['entries']} change{'' if facts['entries'] == 1 else 's'}"
