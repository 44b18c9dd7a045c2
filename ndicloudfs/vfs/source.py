"""What a mount shows at its root: everything, an organization, a dataset, or ``published``."""

from __future__ import annotations

import errno

from ndicloudfs.vfs.control import CONTROL_NAME
from ndicloudfs.vfs.nodes import Directory, Node
from ndicloudfs.vfs.root import PUBLISHED_NAME

# What /etc/fstab and mount(8) say where there is no device.
EVERYTHING = frozenset({"", "none", "all", "ndicloud", "ndicloudfs"})


class NoSuchSource(OSError):
    """The source names nothing, or several things: the sentence says which."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.ENOENT, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


def root_of(root: Directory, source: str) -> Directory:
    """The directory that ``source`` names.

    ``source`` is ``published``, an organization, a dataset, or a path of two of them; each by name
    or id. Raises NoSuchSource.
    """
    source = source.strip("/")
    if source in EVERYTHING:
        return root
    found = _at(root, source)
    if found is None:
        places = [entry for entry in root.entries() if entry.name != CONTROL_NAME]
        datasets = {
            f"{place.name}/{source}": node
            for place in places
            for node in [_at(root, f"{place.name}/{source}")]
            if node is not None
        }
        # A dataset of ours that is published is in both places; ours may be written to.
        own = {p: node for p, node in datasets.items() if not p.startswith(f"{PUBLISHED_NAME}/")}
        candidates = own or datasets
        if len(candidates) > 1:
            raise NoSuchSource(
                f"{source} is in several places; use one of: {', '.join(sorted(candidates))}"
            )
        found = next(iter(candidates.values()), None)
    if found is None:
        raise NoSuchSource(
            f"There is no organization and no dataset {source!r} that this account can see; "
            "see: ndicloudfs whoami"
        )
    return found


def _at(root: Directory, path: str) -> Directory | None:
    node: Node | None = root
    for name in path.split("/"):
        node = node.child(name) if isinstance(node, Directory) else None
    return node if isinstance(node, Directory) else None
