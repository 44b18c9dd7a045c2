"""Listings through the kernel: with attributes, from anywhere, as often as one likes."""

from __future__ import annotations

import os
from pathlib import Path
from stat import S_IFMT

from tests.mount.conftest import ORGANIZATION
from tests.support.mounting import Machine, tool


def _stats(folder: Path) -> dict[str, tuple[int, int, int, int]]:
    found = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stat = entry.stat()
            assert entry.inode() == stat.st_ino
            found[entry.name] = (stat.st_ino, stat.st_size, stat.st_mtime_ns, S_IFMT(stat.st_mode))
    return found


def test_a_listing_tells_of_each_file_what_asking_for_it_tells(tree: Path, lab: Machine) -> None:
    for folder in (tree / "Documents" / "documents").iterdir():
        first = _stats(folder)  # sizes are not known yet: each file is asked for
        assert _stats(folder) == first
        assert all(
            size == len((folder / name).read_bytes()) for name, (_, size, *_) in first.items()
        )
    # The sizes are known.
    again = lab.mount("again", "-o", "ro") / ORGANIZATION / "Documents" / "documents"
    for folder in (tree / "Documents" / "documents").iterdir():
        assert _stats(again / folder.name) == _stats(folder)
    lab.umount(lab.home / "again")


def test_find_du_and_ls_agree_on_a_listed_tree(tree: Path) -> None:
    folder = tree / "Documents" / "documents"
    sizes = tool("find", folder, "-type", "f", "-printf", "%s\\n").split()
    listed = [line.split() for line in tool("ls", "-lR", folder).splitlines()]
    assert sorted(sizes) == sorted(words[4] for words in listed if words and words[0][0] == "-")
    assert sum(map(int, sizes)) == sum(
        int(line.split()[0])
        for line in tool("du", "-ab", "--apparent-size", folder).splitlines()
        if line.endswith(".json")
    )
