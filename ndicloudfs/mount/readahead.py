"""How far the kernel reads ahead of a program, where this process may say so.

By default a mount gets requests of 128 KiB, two at a time. With 512 KiB it gets a quarter of them,
and they are what a read from the disk cache costs most (scripts/bench sequential). Only root may
raise it, and only libfuse 3 lets the value through.
"""

from __future__ import annotations

import logging
from pathlib import Path

from ndicloudfs.mount.mountpoint import device

log = logging.getLogger(__name__)

# KiB. With 1024, as much as a request holds, a fault of a memory map fetches a MiB around it: 8.7
# bytes per byte asked (scripts/bench memmap). With 128, a read from the disk costs a third more.
KERNEL_READAHEAD = 512


def raise_for(target: str) -> None:
    """Let the kernel read ahead further in the mount at ``target``; nothing where it may not.

    To be called before the kernel has heard back about the mount: it then takes the smaller one of
    this and what it hears. The mount itself is not touched.
    """
    number = device(target)
    setting = Path(f"/sys/class/bdi/{number}/read_ahead_kb")
    try:
        if number is not None and int(setting.read_text()) < KERNEL_READAHEAD:
            setting.write_text(f"{KERNEL_READAHEAD}\n")
    except OSError as error:
        log.debug("the kernel reads ahead as far as by default: %s", error)
