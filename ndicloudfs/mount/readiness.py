"""Tells systemd how far a mount is (sd_notify(3)); silence where nobody listens."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import MutableMapping

VARIABLE = "NOTIFY_SOCKET"


def notify(state: str, environ: MutableMapping[str, str] = os.environ) -> None:
    """Send ``READY=1``, ``STOPPING=1`` or ``STATUS=words`` to who started this process."""
    address = environ.get(VARIABLE, "")
    if not address.startswith(("/", "@")):
        return
    if address[0] == "@":  # a name in the abstract namespace
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(1.0)
        sender.sendto(state.encode(), address)
