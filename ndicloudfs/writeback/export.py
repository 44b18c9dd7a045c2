"""The bytes of entries as plain files in a folder of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ndicloudfs.writeback.context import parked_name
from ndicloudfs.writeback.entries import Entry
from ndicloudfs.writeback.parking import Parking


def export(
    entries: Iterable[Entry],
    folder: Path,
    body: Callable[[int], bytes | None],
    staged: Callable[[str], Path],
) -> Iterator[Path]:
    """Copy the bytes of ``entries`` into ``folder``; gives each path when it is there.

    ``body`` knows the document of a generation, ``staged`` where the file of a uid is.
    """
    parking = Parking(folder)
    for entry in entries:
        document = body(entry.generation)
        if document is not None:
            yield parking.put(f"{parked_name(entry)}.json", document, entry.reason)
        elif entry.staged:
            name = f"{parked_name(entry)}.{entry.name}"
            yield parking.put(name, staged(entry.uid), entry.reason)
