"""A mount that is told to end sends what it can in time, and leaves the rest to the next one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ndicloudfs.mount.mountpoint import mounted_at
from ndicloudfs.writeback.settings import Limits
from tests.mount.test_writing import write_and_close
from tests.support.mounting import COMMAND_SECONDS
from tests.support.sandbox import Sandbox
from tests.support.system import until
from tests.support.written import NDI_ID, OTHER_ID, PACE, body, written

UPLOAD = "PUT /objects"
PLENTY = 10_000
SHUTDOWN = 2.0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_not_sent_in_time_is_sent_by_the_next_mount(
    sandbox: Sandbox, tmp_path: Path, number: signal.Signals
) -> None:
    with written(sandbox, tmp_path / "home") as lab:
        lab.user.umount(lab.mount)
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "ndicloudfs", "mount", "-f", str(lab.mount)),
                *(f"--write-pace={PACE}", f"--shutdown-timeout={SHUTDOWN:g}s"),
            ],
            env=lab.user.environment,
            stderr=subprocess.DEVNULL,
        ) as process:
            lab.user.mounts.append(lab.mount)
            until(lambda: mounted_at(str(lab.mount)) is not None)
            # Three travel at a time, and take most of the time that there is: they do not all fit.
            sandbox.clear_log()
            sandbox.fault(UPLOAD, "hang", count=PLENTY, seconds=0.75 * SHUTDOWN)
            files = {f"{count}.bin": bytes([count]) * Limits().small_file for count in range(9)}
            for name, data in files.items():
                write_and_close(lab.files / name, data)
            ids = [f"41269430c7aed0{count:02x}_40dc5489899dcfff" for count in range(3)]
            for ndi_id in ids:
                write_and_close(lab.documents / f"{ndi_id}.json", json.dumps(body(ndi_id)).encode())
            begun = time.monotonic()
            process.send_signal(number)
            assert process.wait(COMMAND_SECONDS) == 0
            assert time.monotonic() - begun < COMMAND_SECONDS / 2
        lab.user.mounts.remove(lab.mount)
        assert mounted_at(str(lab.mount)) is None
        sent = sandbox.count(UPLOAD)
        assert len(files) > sent > 0
        lab.user.mount()
        assert len(lab.queue()) >= len(files) - sent
        sandbox.clear_faults()
        lab.settle()
        assert set(lab.on_server()) == {NDI_ID, OTHER_ID, *ids}
        assert lab.files_on_server() == {"a.bin": lab.content, **files}
