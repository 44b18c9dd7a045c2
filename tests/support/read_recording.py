"""Read a recording by path with the library of its format, and keep its arrays.

Run as a program of its own, as a user's script is: ``read_recording.py OUTPUT KIND PATH...``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from neo.rawio import AxonRawIO, BlackrockRawIO


def arrays(kind: str, paths: list[Path]) -> dict[str, Any]:
    """Every signal and spike train as it is in the file, by where it was found."""
    if kind == "axon":
        reader = AxonRawIO(filename=str(paths[0]))
    elif len(paths) == 1:
        reader = BlackrockRawIO(filename=str(paths[0].with_suffix("")))
    else:
        signal, events = (str(path.with_suffix("")) for path in paths)
        reader = BlackrockRawIO(filename=signal, nsx_override=signal, nev_override=events)
    reader.parse_header()
    found: dict[str, Any] = {}
    for block in range(reader.block_count()):
        for segment in range(reader.segment_count(block)):
            for stream in range(reader.signal_streams_count()):
                chunk = reader.get_analogsignal_chunk(block, segment, stream_index=stream)
                found[f"signal {block} {segment} {stream}"] = chunk
            for unit in range(reader.spike_channels_count()):
                times = reader.get_spike_timestamps(block, segment, unit)
                found[f"spikes {block} {segment} {unit}"] = times
    return found


if __name__ == "__main__":
    output, kind, *paths = sys.argv[1:]
    np.savez(output, **arrays(kind, [Path(path) for path in paths]))
