"""Files as laboratories keep them, and what their libraries do to look into them.

Libraries are imported where they are used: the other lines do without them.
"""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

HDF5, CHUNKED, MATLAB, RAW = "session.h5", "chunked.h5", "recording.mat", "samples.bin"
ZARR = "image.zarr"
CHANNELS = 64
_GROUPS, _ELECTRODES = 3, 4
_SPIKES = 26_000  # 203 KiB of times
_CHUNK_SAMPLES = 32_768
_ZARR_CHUNKS = 4  # along each of two axes
_MATLAB_USER_BLOCK = 512
_VARIABLES = 24


def write(folder: Path, size: int) -> None:
    """Documents with an HDF5 file, a MATLAB v7.3 file, raw samples and a Zarr array.

    Each is about ``size`` bytes; ``ndicloudfs sandbox load`` makes a dataset of the folder.
    """
    scratch = folder.parent / "scratch"
    scratch.mkdir()
    write_hdf5(scratch / HDF5, size)
    write_hdf5(scratch / CHUNKED, size, chunk=_CHUNK_SAMPLES)
    write_matlab(scratch / MATLAB, size)
    write_raw(scratch / RAW, size)
    write_zarr(scratch / ZARR, size)
    for number, path in enumerate(sorted(p for p in scratch.iterdir() if p.is_file())):
        _document(folder, number, {path.name: path})
    pieces = sorted((scratch / ZARR).iterdir())
    _document(folder, 15, {path.name: path for path in pieces})
    for path in sorted(scratch.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    scratch.rmdir()


def write_hdf5(path: Path, size: int, chunk: int | None = None) -> None:
    """A session as neo and NWB lay it out: what describes it lies between small tables.

    Groups, attributes and time stamps are written first, and so the descriptions are scattered
    over the first 2 MiB. The recordings follow, each in one piece, or in chunks of ``chunk``
    samples, whose indexes lie between them all over the file.
    """
    import h5py  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    samples = size // (2 * _GROUPS * _ELECTRODES)
    chunks = None if chunk is None else (min(chunk, samples),)
    noise = np.frombuffer(os.urandom(2 * samples), "int16")
    with h5py.File(path, "w") as file:
        file.attrs["session"] = "V1 pilot"
        recordings = []
        for group in range(_GROUPS):
            epoch = file.create_group(f"epoch_{group:03d}")
            epoch.attrs.update({"start": group * 60.0, "rate": 30_000.0, "unit": "uV"})
            for number in range(_ELECTRODES):
                name = f"electrode_{number:02d}"
                data = epoch.create_dataset(name, (samples,), "int16", chunks=chunks)
                data.attrs.update({"gain": 0.195, "channel": number, "filter": "300-6000 Hz"})
                epoch[f"{name}_spike_times"] = np.arange(_SPIKES, dtype="float64")
                recordings.append(data)
        for data in recordings:
            data[:] = noise


def walk_hdf5(file: str | io.RawIOBase) -> int:
    """Open an HDF5 file and look at everything but the data, as a browser does; what it found."""
    import h5py  # noqa: PLC0415

    found = 0
    with h5py.File(file, "r") as opened:

        def look(_name: str, thing: Any) -> None:
            nonlocal found
            found += 1 + len(dict(thing.attrs)) + len(getattr(thing, "shape", ()))

        opened.visititems(look)
    return found


def slice_hdf5(path: Path) -> int:
    """A second of one epoch from every electrode; the bytes."""
    import h5py  # noqa: PLC0415

    with h5py.File(path, "r") as file:
        epoch = file["epoch_001"]
        names = [name for name in epoch if not name.endswith("_times")]
        return sum(int(epoch[name][10_000:40_000].nbytes) for name in names)


def small_reads(path: Path) -> int:
    """How many reads the library does to walk the file."""

    class Counting(io.FileIO):
        reads = 0

        def readinto(self, buffer: Any) -> int | None:
            Counting.reads += 1
            return super().readinto(buffer)

    with Counting(path) as file:
        walk_hdf5(file)
    return Counting.reads


def write_matlab(path: Path, size: int) -> None:
    """What ``save -v7.3`` writes: HDF5 behind a block of text, each variable with its class."""
    import h5py  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    rows = size // (8 * _VARIABLES)
    with h5py.File(path, "w", userblock_size=_MATLAB_USER_BLOCK) as file:
        for number in range(_VARIABLES):
            noise = np.frombuffer(os.urandom(8 * rows), "float64").reshape(1, rows)
            data = file.create_dataset(
                f"trial_{number:02d}", data=noise, chunks=(1, min(rows, _CHUNK_SAMPLES))
            )
            data.attrs["MATLAB_class"] = np.bytes_("double")
        cells = file.create_dataset("labels", (1, _VARIABLES), h5py.ref_dtype)
        cells.attrs["MATLAB_class"] = np.bytes_("cell")
        for number in range(_VARIABLES):
            text = np.frombuffer(f"trial {number}".encode("utf-16-le"), "uint16")
            label = file.create_dataset(f"#refs#/{number}", data=text.reshape(-1, 1))
            label.attrs["MATLAB_class"] = np.bytes_("char")
            cells[0, number] = label.ref
    with path.open("r+b") as file:
        head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, HDF5 schema 1.00 ."
        file.write(head.ljust(124) + b"\x00\x02IM")


def load_matlab(path: Path) -> int:
    """List the variables, read the labels and one variable, as ``whos`` and ``load`` do."""
    import h5py  # noqa: PLC0415

    with h5py.File(path, "r") as file:
        names = [name for name in file if file[name].attrs.get("MATLAB_class") == b"double"]
        labels = [file[reference][:].tobytes() for reference in file["labels"][0]]
        return len(labels) + int(file[names[len(names) // 2]][:].nbytes)


def write_raw(path: Path, size: int) -> None:
    """Interleaved 16-bit samples of all channels."""
    with path.open("wb") as file:
        for _ in range(0, size, 1 << 20):
            file.write(os.urandom(1 << 20))


def map_raw(path: Path, windows: int) -> int:
    """20 ms of all channels at places spread over the recording, through ``numpy.memmap``."""
    import numpy as np  # noqa: PLC0415

    samples = np.memmap(path, "int16", "r").reshape(-1, CHANNELS)
    step = len(samples) // windows
    return sum(int(samples[at : at + 600].copy().nbytes) for at in range(0, len(samples), step))


def write_zarr(path: Path, size: int) -> None:
    """An image, its chunks beside each other in one folder (Zarr version 2)."""
    path.mkdir()
    side = int((size // 2) ** 0.5) // _ZARR_CHUNKS  # of a chunk
    described = {
        "zarr_format": 2,
        "shape": [side * _ZARR_CHUNKS] * 2,
        "chunks": [side, side],
        "dtype": "<u2",
        "order": "C",
        "fill_value": 0,
        "compressor": None,
        "filters": None,
    }
    (path / ".zarray").write_text(json.dumps(described))
    (path / ".zattrs").write_text(json.dumps({"objective": "16x"}))
    for row in range(_ZARR_CHUNKS):
        for column in range(_ZARR_CHUNKS):
            (path / f"{row}.{column}").write_bytes(os.urandom(2 * side * side))


def read_zarr(path: Path) -> int:
    """Open the array and read a quarter of it; the bytes."""
    import zarr  # noqa: PLC0415

    array = zarr.open_array(path, mode="r", zarr_format=2)
    half = array.shape[0] // 2
    return int(array[:half, :half].nbytes)


def _document(folder: Path, number: int, files: dict[str, Path]) -> None:
    """A document with ``files`` by name, each beside it under its uid."""
    info = []
    for place, (name, path) in enumerate(files.items()):
        uid = f"4126a{number:x}{place:010x}_40c0000000000000"
        path.rename(folder / uid)
        location = {"uid": uid, "location": "", "location_type": "file", "ingest": 1}
        info.append({"name": name, "locations": [location]})
    body = {
        "base": {
            "id": f"4126b{number:011x}_40c0000000000000",
            "session_id": "4126b0000000000f_40c0000000000000",
            "name": "",
            "datestamp": "2025-09-04T16:21:36.000Z",
        },
        "document_class": {"class_name": "recording", "superclasses": []},
        "files": {"file_list": list(files), "file_info": info},
        "recording": {},
    }
    (folder / f"{number}.json").write_text(json.dumps(body))
