"""What the kernel is told of a node, as the structure of this machine."""

from __future__ import annotations

import ctypes

import pytest

from ndicloudfs.mount import binding
from ndicloudfs.mount.stats import Layout, Stats
from ndicloudfs.vfs.nodes import Attributes, Kind


@pytest.mark.parametrize(
    "attributes",
    [
        Attributes(2**63 - 1, Kind.FILE, 5 * 2**30, 1_764_000_000_123_456_789, writable=True),
        Attributes(2, Kind.DIRECTORY, 0, -1),  # a moment before 1970
    ],
)
def test_a_structure_has_every_field_and_nothing_that_was_in_it_before(
    attributes: Attributes,
) -> None:
    try:
        structure = binding.load(binding.MFUSEPY).module.c_stat
    except binding.BindingError as error:
        pytest.skip(str(error))
    found, expected = structure(), structure()
    ctypes.memset(ctypes.byref(found), 0xFF, ctypes.sizeof(found))
    stats = Stats(umask=0o022)
    for name, value in stats.of(attributes).items():
        if name.endswith("time"):
            time = getattr(expected, f"{name}spec")
            time.tv_sec, time.tv_nsec = divmod(value, 10**9)
        else:
            setattr(expected, name, value)
    Layout(structure).fill(found, attributes, stats)
    assert bytes(found) == bytes(expected)
