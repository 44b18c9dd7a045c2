"""Recordings and documents for tests: real ones where they are kept, else written by code."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import tifffile

# Real recordings and documents, kept beside a checkout or wherever the variable says.
REAL = Path(
    os.environ.get("NDICLOUDFS_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)


def recordings(folder: Path) -> Path:
    """A folder with recordings: a Blackrock file, a TIFF, and where there are real ones more."""
    real = REAL / "recordings"
    if real.is_dir():
        return real
    folder.mkdir(parents=True, exist_ok=True)
    _blackrock(folder / "testData.ns2")
    image = (np.arange(600 * 400, dtype=np.uint16) % 4096).reshape(600, 400)
    tifffile.imwrite(folder / "example_frame.tif", image)
    return folder


def documents(folder: Path) -> Path:
    """A folder with NDI documents, as bulk-fetch answers."""
    real = REAL / "documents"
    if real.is_dir():
        return real
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(4):
        ndi_id = f"41269430c7aed02{number}_40dc5489899dc92a"
        body = {
            "base": {
                "datestamp": "2025-09-04T16:21:36.491Z",
                "id": ndi_id,
                "name": "",
                "session_id": "41269430c597c3e6_c0c9895d35d19b54",
            },
            "depends_on": [{"name": "subject_id", "value": ""}],
            "document_class": {"class_name": "openminds_subject", "class_version": 1},
            "openminds": {"fields": {"name": f"N{number}", "synonym": []}},
            "openminds_subject": {},
        }
        answer = {
            "className": "openminds_subject",
            "data": body,
            "datasetId": "682e7772cdf3f24938176fac",
            "id": f"68c05866f81ed200dc9a7e8{number}",
            "name": "",
            "ndiId": ndi_id,
        }
        (folder / f"document_{number}.json").write_text(json.dumps(answer, indent=2))
    return folder


def _blackrock(path: Path, channels: int = 2, samples: int = 200_000) -> None:
    """A Blackrock NSx file, specification 2.2: a recording of 200 s at 1 kHz."""
    header_size = 8 + 2 + 4 + 16 + 256 + 4 + 4 + 16 + 4 + 66 * channels
    header = struct.pack(
        "<8sBBI16s256sII8HI",
        *(b"NEURALCD", 2, 2, header_size, b"1 kS/s", b"", 30, 30_000),
        *(2026, 1, 5, 2, 3, 4, 5, 0),
        channels,
    )
    for channel in range(1, channels + 1):
        header += struct.pack(
            "<2sH16sBBhhhh16sIIHIIH",
            *(b"CC", channel, f"chan{channel}".encode(), 0, channel),
            *(-8191, 8191, -8191, 8191, b"uV"),
            *(300, 1, 1, 7_500_000, 3, 1),
        )
    assert len(header) == header_size
    wave = np.arange(samples * channels, dtype=np.int64) * 37 % 8000 - 4000
    packet = struct.pack("<BII", 1, 0, samples)
    path.write_bytes(header + packet + wave.astype("<i2").tobytes())
