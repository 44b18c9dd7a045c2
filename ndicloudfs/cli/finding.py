"""``ndicloudfs find``, ``path`` and ``info``: from questions and ids to paths, and back."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import click

from ndicloudfs.cli.account import printable
from ndicloudfs.cli.failure import Failure
from ndicloudfs.cli.progress import Shown
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount.commands import Place, mounted, place_of

# How a condition is written, and what the server calls it (section 5.11). The longest come first.
OPERATORS = {
    "!~=": "~contains_string",
    "<=": "lessthaneq",
    ">=": "greaterthaneq",
    "==": "exact_number",
    "~=": "contains_string",
    "=~": "regexp",
    "!=": "~exact_string",
    "=": "exact_string",
    "<": "lessthan",
    ">": "greaterthan",
}
_NUMERIC = frozenset({"lessthaneq", "greaterthaneq", "exact_number", "lessthan", "greaterthan"})
_CONDITION = re.compile(
    rf"(?P<field>[^<>=!~]+)(?P<operator>{'|'.join(map(re.escape, OPERATORS))})(?P<value>.*)",
    re.DOTALL,
)


@click.command()
@click.argument("scope", default=".", required=False)
@click.option("--isa", multiple=True, metavar="CLASS", help="Of a class, or one derived from it.")
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME OP VALUE",
    help="A field: = and != (the same text), ~= (contains), =~ (regular expression), "
    "== < <= > >= (numbers), written in one word: base.name~=V1",
)
@click.option("--has", multiple=True, metavar="FIELD", help="Has a field at all.")
@click.option(
    "--depends-on",
    multiple=True,
    metavar="[NAME=]NDI_ID",
    help="Depends on a document, under a name or any.",
)
@click.option("-0", "--print0", is_flag=True, help="End each path with NUL, for xargs -0.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array with ids and paths.")
def find(
    scope: str,
    isa: tuple[str, ...],
    fields: tuple[str, ...],
    has: tuple[str, ...],
    depends_on: tuple[str, ...],
    print0: bool,
    as_json: bool,
) -> None:
    """Ask the server for documents at SCOPE and below, and print their paths.

    SCOPE is a folder of a mount. All conditions must be met. Nothing is downloaded.

    Example: ndicloudfs find ~/ndi/'My Lab' --isa element --field base.name~=V1
    """
    conditions = [
        *(_condition("", "isa", name) for name in isa),
        *map(parse, fields),
        *(_condition(name, "hasfield", "") for name in has),
        *map(_dependency, depends_on),
    ]
    if not conditions:
        conditions = [_condition("", "isa", "base")]
    place = place_of(scope)
    with Shown(lambda done: f"asked {done['datasets']} datasets, {done['found']} found") as shown:
        answer = place.ask("find", {"path": place.inner, "conditions": conditions}, shown)
    found: list[Json] = answer["found"]
    for each in found:
        each["path"] = f"{place.mountpoint}/{each['path']}"
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    end = "\0" if print0 else "\n"
    sys.stdout.write("".join(f"{each['path']}{end}" for each in found))
    sys.stdout.flush()


@click.command()
@click.argument("identity", metavar="ID|ndic://DATASET/UID")
@click.option(
    "--mount",
    "at",
    metavar="MOUNTPOINT",
    help="Which mount to look in.  [default: the one of the present folder, else the only one]",
)
def path(identity: str, at: str | None) -> None:
    """Print where in a mount an id or an ndic:// URI lives.

    An id is an ndi id, or the cloud id of a dataset or a document.

    Example: ndicloudfs path 412694315d04fc8b_c0d5c97a89ef47cc
    """
    place = _mount(at)
    inner = place.ask("path", {"id": identity})["path"]
    click.echo(f"{place.mountpoint}/{inner}" if inner else place.mountpoint)


@click.command()
@click.argument("path", metavar="PATH")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def info(path: str, as_json: bool) -> None:
    """Show what the cloud calls what is at PATH: ids, class, uid, URI, state.

    Example: ndicloudfs info ~/ndi/'My Lab'/'Rat V1'/documents/subject/4126*.json
    """
    place = place_of(path)
    facts = {**place.ask("info", {"path": place.inner}), "path": place.path}
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {printable(str(value))}")


def parse(text: str) -> Json:
    """A condition as ``--field`` has it. Raises click.UsageError."""
    match = _CONDITION.fullmatch(text)
    if match is None:
        known = " ".join(OPERATORS)
        raise click.UsageError(f"--field {text!r} has no operator; there are: {known}")
    operation = OPERATORS[match["operator"]]
    value: Any = match["value"].strip() if operation in _NUMERIC else match["value"]
    if operation in _NUMERIC:
        try:
            value = float(value)
        except ValueError:
            raise click.UsageError(
                f"--field {text!r} compares numbers, and {value!r} is none; for text use = or ~="
            ) from None
        value = int(value) if value.is_integer() else value
    return _condition(match["field"].strip(), operation, value)


def _dependency(text: str) -> Json:
    name, equals, ndi_id = text.rpartition("=")
    return _condition("", "depends_on", name if equals else "*", ndi_id)


def _condition(field: str, operation: str, first: object, second: object = "") -> Json:
    return {"field": field, "operation": operation, "param1": first, "param2": second}


def _mount(at: str | None) -> Place:
    if at is not None:
        return Place(place_of(at).mountpoint, "")
    here, there_are = str(Path.cwd()), mounted()
    for place in there_are:
        if f"{here}/".startswith(f"{place.mountpoint}/"):
            return place
    if len(there_are) == 1:
        return there_are[0]
    if not there_are:
        raise Failure("Nothing is mounted; run: ndicloudfs mount MOUNTPOINT")
    raise Failure("There are several mounts; say which with --mount MOUNTPOINT")
