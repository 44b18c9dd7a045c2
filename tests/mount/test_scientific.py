"""Files of laboratories through a real mount: right, and in few round trips."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ndicloudfs.mount.mountpoint import device
from ndicloudfs.mount.readahead import KERNEL_READAHEAD
from tests.mount.test_bad_days import EMAIL, LAB, OBJECTS, PASSWORD, Lab
from tests.sandbox.raw import login
from tests.support import look_into
from tests.support.mounting import Machine, machine, tool
from tests.support.sandbox import Sandbox
from tests.support.system import need

MIB = 1 << 20
USER_BLOCK = 512


@pytest.fixture
def lab(sandbox: Sandbox) -> Iterator[Lab]:
    made = sandbox.add_user(EMAIL, PASSWORD, LAB)
    (organization_id,) = made["organization_ids"]
    with login(sandbox, EMAIL, PASSWORD) as api:
        dataset = api.dataset(organization_id, name="Data")
        yield Lab(sandbox, api, organization_id, dataset)


@pytest.fixture
def user(lab: Lab, tmp_path: Path) -> Iterator[Machine]:
    with machine(tmp_path / "home", lab.account) as made:
        yield made


def cost(lab: Lab) -> tuple[int, int]:
    """Ranges and bytes that were asked of the object store since the last look."""
    log = lab.sandbox.log(OBJECTS)
    lab.sandbox.clear_log()
    return len(log), sum(entry["response_bytes"] for entry in log)


def session(path: Path, user_block: int = 0) -> Path:
    """Groups with attributes, and small tables between them over 1 MiB; recordings behind them."""
    samples = np.arange(2 * MIB).astype("int16")
    with h5py.File(path, "w", userblock_size=user_block) as file:
        recordings = []
        for number in range(12):
            group = file.create_group(f"epoch_{number:02d}")
            group.attrs.update({"start": number * 60.0, "rate": 30_000.0, "unit": "uV"})
            group["times"] = np.arange(12_000, dtype="float64") + number
            recordings.append(group.create_dataset("samples", samples.shape, "int16"))
            recordings[-1].attrs["gain"] = 0.195
        for number, data in enumerate(recordings[:4]):
            data[:] = samples + number
    return path


def look(*arguments: object) -> Any:
    """What a program of its own finds in a file: HDF5 holds up all of Python while it reads."""
    return json.loads(tool(sys.executable, look_into.__file__, *map(str, arguments)))


@pytest.mark.parametrize("user_block", [0, USER_BLOCK], ids=["hdf5", "matlab"])
def test_hdf5_is_opened_and_sliced_in_few_round_trips(
    user: Machine, lab: Lab, tmp_path: Path, user_block: int
) -> None:
    source = session(tmp_path / "source.h5", user_block)
    path = user.mount() / lab.add_file(7, "session.h5", source.read_bytes())
    path.stat()
    lab.sandbox.clear_log()
    assert look("walk", path) == look("walk", source)
    calls, size = cost(lab)
    assert calls <= 5
    assert size <= 4 * MIB
    window = ("epoch_02/samples,epoch_03/samples", 1_000_000, 1_030_000)
    assert look("part", path, *window) == look("part", source, *window)
    calls, size = cost(lab)
    assert calls <= 4
    assert size <= 2 * MIB
    whole = ("epoch_01/samples,epoch_11/times", 0, 1 << 30)
    assert look("part", path, *whole) == look("part", source, *whole)


def test_locks_are_the_kernels(user: Machine, lab: Lab) -> None:
    path = user.mount() / lab.add_file(7, "locked.bin", b"0123456789")
    with path.open("rb") as first, path.open("rb") as second:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(first, fcntl.LOCK_UN)
        fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_a_memory_map_shows_the_same_samples(user: Machine, lab: Lab, tmp_path: Path) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(os.urandom(24 * MIB))
    path = user.mount() / lab.add_file(7, "samples.bin", source.read_bytes())
    path.stat()
    lab.sandbox.clear_log()
    windows = (100_000, 160_000, 20_000)
    assert look("map", path, *windows) == look("map", source, *windows)
    _, size = cost(lab)
    assert size <= 4 * MIB
    assert path.read_bytes() == source.read_bytes()


def test_a_folder_of_chunks_reads_each_in_one_range(user: Machine, lab: Lab) -> None:
    chunks = {f"{row}.{column}": os.urandom(300_000) for row in range(3) for column in range(3)}
    paths = {
        name: lab.add_file(20 + number, name, data)
        for number, (name, data) in enumerate(chunks.items())
    }
    root = user.mount()
    lab.sandbox.clear_log()
    for name, data in chunks.items():
        assert (root / paths[name]).read_bytes() == data
    assert cost(lab) == (len(chunks), sum(map(len, chunks.values())))


def test_the_kernel_reads_ahead_further_where_it_may_be_told_to(user: Machine, lab: Lab) -> None:
    need(os.geteuid() == 0, "right to say how far the kernel reads ahead")
    root = user.mount()
    setting = Path(f"/sys/class/bdi/{device(str(root))}/read_ahead_kb")
    assert int(setting.read_text()) == KERNEL_READAHEAD
