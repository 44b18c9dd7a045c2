"""The options of ``-o``: those of mount(8), and every setting as ``name=value``.

Options that say when and by whom a file system is mounted are for mount(8) and systemd; they arrive
here from /etc/fstab and are accepted without effect.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import click

from ndicloudfs.cli.settings import BY_NAME, nearest

# What is applied, with its line of docs/reference/settings.md.
APPLIED = {
    "ro": "read-only",
    "rw": "read and write, as far as the account may",
    "allow_other": "let other users in (needs user_allow_other in /etc/fuse.conf, except for root)",
    "uid": "owner of everything, a number  [default: who mounts]",
    "gid": "group of everything, a number  [default: of who mounts]",
    "umask": "bits that are taken from the permissions, octal, such as 027",
    "noexec": "no program in the mount can be run",
}
# What mount(8), systemd and autofs read themselves.
ACCEPTED = frozenset(
    [
        "defaults",
        "auto",
        "noauto",
        "user",
        "users",
        "nouser",
        "owner",
        "group",
        "nofail",
        "_netdev",
        "exec",
        "suid",
        "nosuid",
        "dev",
        "nodev",
        "sync",
        "async",
        "dirsync",
        "atime",
        "noatime",
        "diratime",
        "nodiratime",
        "relatime",
        "norelatime",
        "strictatime",
        "lazytime",
        "nolazytime",
        "mand",
        "nomand",
        "iversion",
        "noiversion",
        "silent",
        "loud",
        "intr",
        "nointr",
        "bg",
        "fg",
        "default_permissions",
        "comment",
    ]
)


@dataclass(frozen=True, slots=True)
class FuseOptions:
    """What ``-o`` asks for. None: as it is without. ``settings`` are texts by parameter name."""

    read_only: bool = False
    allow_other: bool = False
    uid: int | None = None
    gid: int | None = None
    umask: int | None = None
    no_exec: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


def parse(texts: Iterable[str]) -> FuseOptions:
    """Read the values of ``-o``; of contradicting options the last one counts.

    Raises click.UsageError for unknown options, with the nearest known name.
    """
    read_only = allow_other = no_exec = False
    numbers: dict[str, int] = {}
    settings: dict[str, str] = {}
    for option in (part for text in texts for part in text.split(",") if part):
        name, equals, value = option.partition("=")
        if name in ("ro", "rw") and not equals:
            read_only = name == "ro"
        elif name == "allow_other" and not equals:
            allow_other = True
        elif name in ("exec", "noexec") and not equals:
            no_exec = name == "noexec"
        elif name in ("uid", "gid", "umask"):
            numbers[name] = _number(name, value)
        elif name in BY_NAME:
            settings[BY_NAME[name].parameter] = value if equals else "true"
        elif name not in ACCEPTED and not name.startswith(("x-", "X-")):
            known = (*APPLIED, *BY_NAME, *sorted(ACCEPTED))
            there_are = f"; there are: {', '.join((*APPLIED, *BY_NAME))}"
            raise click.UsageError(f"-o {name} is not known{nearest(name, known) or there_are}")
    return FuseOptions(
        read_only,
        allow_other,
        numbers.get("uid"),
        numbers.get("gid"),
        numbers.get("umask"),
        no_exec,
        settings,
    )


def _number(name: str, text: str) -> int:
    try:
        number = int(text, 8 if name == "umask" else 10)
    except ValueError:
        number = -1
    if not 0 <= number <= (0o777 if name == "umask" else 2**32 - 2):
        example = "umask=027" if name == "umask" else f"{name}=1000"
        raise click.UsageError(f"-o {name}={text} is not a number such as {example}")
    return number
