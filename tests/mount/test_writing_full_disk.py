"""A full disk stops the writer at the write; what was closed before is safe and is sent."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from tests.support.sandbox import Sandbox
from tests.support.system import tiny_disk, until
from tests.support.written import NDI_ID, Written, written

MIB = 1 << 20
DISK = 40 * MIB


def test_a_full_disk_is_enospc_at_the_write(sandbox: Sandbox, tmp_path: Path) -> None:
    state = tmp_path / "home" / ".local" / "state"
    state.parent.mkdir(parents=True)
    with tiny_disk(state, DISK), written(sandbox, tmp_path / "home") as lab:
        try:
            _fill(lab)
        finally:
            lab.user.umount(lab.mount)


def _fill(lab: Written) -> None:
    (lab.files / "before.bin").write_bytes(b"closed before")
    (lab.documents / "before.json").write_text("{}")
    descriptor = os.open(lab.files / "large.bin", os.O_WRONLY | os.O_CREAT)
    written_bytes, number = 0, 0
    try:
        while written_bytes < 2 * DISK:
            written_bytes += os.write(descriptor, bytes(MIB))
    except OSError as error:
        number = error.errno or 0
    (lab.files / "large.bin").unlink()
    os.close(descriptor)
    assert number == errno.ENOSPC
    assert written_bytes < DISK
    disk = os.statvfs(lab.mount)
    assert disk.f_blocks * disk.f_frsize <= DISK  # df shows the disk that is fuller
    until(lambda: os.statvfs(lab.mount).f_bavail > DISK // disk.f_frsize // 2)
    (lab.files / "after.bin").write_bytes(b"there is room again")
    lab.settle()
    assert lab.files_on_server(NDI_ID) == {
        "a.bin": lab.content,
        "before.bin": b"closed before",
        "after.bin": b"there is room again",
    }
    assert len(lab.on_server()) == 3
