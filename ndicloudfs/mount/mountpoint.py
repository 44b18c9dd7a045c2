"""Mount points: whether one can be used, which mounts there are, and how one ends."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

FILESYSTEM_TYPE = "fuse.ndicloudfs"
log = logging.getLogger(__name__)

_MOUNTS = "/proc/self/mounts"
_MOUNT_DEVICES = "/proc/self/mountinfo"
_DEVICE = "/dev/fuse"
_ESCAPE = re.compile(rb"\\([0-7]{3})")
_UNMOUNT_SECONDS = 30.0


class MountError(Exception):
    """A mount cannot begin or end: the sentence says why and what to do."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of the kernel's list of mounts."""

    source: str
    target: str
    filesystem: str


def mounts() -> list[Mount]:
    """All mounts that this process sees."""
    lines = Path(_MOUNTS).read_bytes().split(b"\n")
    return [Mount(*(_unescape(field) for field in line.split(b" ")[:3])) for line in lines if line]


def absolute(path: str) -> str:
    """``path`` as the kernel lists it; never touches what is mounted there, which may be dead."""
    given = Path(os.path.abspath(path))  # noqa: PTH100 (Path.resolve would look into the mount)
    return str(given.parent.resolve() / given.name)


def mounted_at(target: str) -> Mount | None:
    """The mount at ``target``, an absolute path, or None; the topmost of several."""
    return next((mount for mount in reversed(mounts()) if mount.target == target), None)


def device(target: str) -> str | None:
    """The number of the device that is mounted at ``target``, as ``major:minor``, or None."""
    found = None
    for line in Path(_MOUNT_DEVICES).read_bytes().split(b"\n"):
        fields = line.split(b" ")
        if len(fields) > 4 and _unescape(fields[4]) == target:
            found = fields[2].decode()
    return found


def check_fuse() -> None:
    """Raise ``MountError`` where this user cannot use FUSE on this machine."""
    if not Path(_DEVICE).exists():
        raise MountError(
            f"This machine has no {_DEVICE}; run: sudo modprobe fuse"
            " (a container needs: --device /dev/fuse --cap-add SYS_ADMIN)"
        )
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        raise MountError(f"{_DEVICE} may not be used by you; run: sudo chmod 0666 {_DEVICE}")
    if os.geteuid() != 0:
        _helper()


def check(target: str) -> None:
    """Raise ``MountError`` unless ``target`` is an empty directory that nothing is mounted on."""
    found = mounted_at(target)
    if found is not None and found.filesystem == FILESYSTEM_TYPE:
        if is_dead(target):
            raise MountError(
                f"{target} is left over from a mount that died;"
                f" clear it with: ndicloudfs umount {target}"
            )
        raise MountError(
            f"{target} is already mounted; to mount it anew, first run: ndicloudfs umount {target}"
        )
    if found is not None:
        raise MountError(
            f"{target} is already the mount point of a {found.filesystem} file system;"
            " choose another directory"
        )
    try:
        empty = not any(Path(target).iterdir())
    except FileNotFoundError:
        raise MountError(f"{target} does not exist; make it with: mkdir -p {target}") from None
    except NotADirectoryError:
        raise MountError(f"{target} is not a directory; a mount point must be one") from None
    except PermissionError:
        raise MountError(f"{target} may not be read by you; choose a directory of yours") from None
    if not empty:
        raise MountError(f"{target} is not empty; mount on an empty directory")


def clear_dead(target: str) -> bool:
    """Take away what a mount that died has left at ``target``; whether there was anything.

    Raises ``MountError`` where it does not go.
    """
    found = mounted_at(target)
    if found is None or found.filesystem != FILESYSTEM_TYPE or not is_dead(target):
        return False
    unmount(target, lazy=True)
    log.info("cleared %s, which a mount that died had left", target)
    return True


def check_ours(target: str) -> None:
    """Raise ``MountError`` where no mount of ndicloudfs is at ``target``."""
    found = mounted_at(target)
    if found is None:
        raise MountError(f"{target} is not mounted; `ndicloudfs status` shows what is")
    if found.filesystem != FILESYSTEM_TYPE:
        raise MountError(
            f"{target} is a {found.filesystem} mount, not one of ndicloudfs;"
            f" end it with: umount {target}"
        )


def unmount(target: str, *, lazy: bool = False) -> None:
    """End the mount at ``target``; ``lazy`` takes it away even while it is in use.

    Raises ``MountError``.
    """
    check_ours(target)
    dead = is_dead(target)
    try:
        result = subprocess.run(
            _unmount_command(target, lazy=lazy or dead),
            capture_output=True,
            text=True,
            timeout=_UNMOUNT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise MountError(
            f"{target} does not let go; run: ndicloudfs umount --lazy {target}"
        ) from None
    if result.returncode:
        reason = result.stderr.strip().splitlines()[-1:] or ["no reason given"]
        if "busy" in reason[0]:
            raise MountError(
                f"{target} is in use by a program or a shell; close it,"
                f" or run: ndicloudfs umount --lazy {target}"
            )
        raise MountError(
            f"{target} could not be unmounted: {reason[0]}; see: ndicloudfs doctor,"
            f" or run: ndicloudfs umount --lazy {target}"
        )


def _unmount_command(target: str, *, lazy: bool) -> list[str]:
    if os.geteuid() == 0:
        return ["umount", *(["--lazy"] if lazy else []), target]
    return [_helper(), "-u", *(["-z"] if lazy else []), target]


def _helper() -> str:
    for helper in ("fusermount3", "fusermount"):
        if shutil.which(helper):
            return helper
    raise MountError("fusermount3 is not installed; run: sudo apt-get install fuse3")


def is_dead(target: str) -> bool:
    """Whether the process behind the mount at ``target`` is gone."""
    try:
        os.statvfs(target)  # the kernel asks the process; of a stat it may remember the answer
    except OSError as error:
        return error.errno in (errno.ENOTCONN, errno.ECONNABORTED)
    return False


def _unescape(field: bytes) -> str:
    """Undo the kernel's octal escapes of blanks and backslashes; all else stands as it is."""
    return os.fsdecode(_ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), field))
