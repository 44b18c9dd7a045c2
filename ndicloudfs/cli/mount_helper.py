"""``mount.ndicloudfs``: what mount(8) runs for ``mount -t ndicloudfs`` and for /etc/fstab.

Found as /sbin/mount.ndicloudfs; it is called as mount(8) says: SOURCE MOUNTPOINT [-sfnv] [-o
OPTIONS] [-N NAMESPACE] [-t TYPE].
"""

from __future__ import annotations

import sys

from ndicloudfs.cli.main import run


def main() -> None:
    """Run ``ndicloudfs mount`` with the arguments of mount(8)."""
    sys.exit(run(translated(sys.argv[1:])))


def translated(arguments: list[str]) -> list[str]:
    """The arguments of mount(8) as those of ``ndicloudfs``.

    -f means to go through everything without mounting, -n and -s change nothing here.
    """
    places: list[str] = []
    command = ["mount"]
    waiting = iter(arguments)
    for argument in waiting:
        if argument == "-o":
            command.append(f"-o{next(waiting, '')}")
        elif argument in ("-N", "-t"):
            next(waiting, "")
        elif argument.startswith("-"):
            if "f" in argument:
                return ["config"]
            command += ["--verbose"] if "v" in argument else []
        else:
            places.append(argument)
    return [*command, "--", *places]
