"""What a mount shows at its root: everything, an organization, a dataset, or ``published``."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from ndicloudfs.cache.scope import Scope
from ndicloudfs.vfs.control import CONTROL_NAME
from ndicloudfs.vfs.nodes import Attributes, Directory, Entry, Kind, Node
from ndicloudfs.vfs.root import PUBLISHED_NAME

# What /etc/fstab and mount(8) say where there is no device.
EVERYTHING = frozenset({"", "none", "all", "ndicloud", "ndicloudfs"})


class NoSuchSource(OSError):
    """The source names nothing, or several things: the sentence says which."""

    def __init__(self, sentence: str) -> None:
        super().__init__(errno.ENOENT, sentence)

    def __str__(self) -> str:
        return str(self.strerror)


class SourceRoot(Directory):
    """A directory as the root of a mount: what is in it, and ``.ndicloudfs/``."""

    def __init__(self, inner: Directory, control: Node) -> None:
        super().__init__(inner.ino, inner.mtime_ns)
        self._inner = inner
        self._control = control

    @property
    def inner(self) -> Directory:
        """The directory itself."""
        return self._inner

    def attributes(self) -> Attributes:
        return self._inner.attributes()

    def xattrs(self) -> dict[str, str]:
        return self._inner.xattrs()

    def scope(self) -> Scope | None:
        return self._inner.scope()

    def entries(self) -> Iterator[Entry]:
        yield from self._inner.entries()
        yield Entry(CONTROL_NAME, self._control.ino, Kind.DIRECTORY)

    def child(self, name: str) -> Node | None:
        return self._control if name == CONTROL_NAME else self._inner.child(name)


def root_of(root: Directory, source: str) -> Directory:
    """The directory that ``source`` names, as a root.

    ``source`` is ``published``, an organization, a dataset, or a path of two of them; each by name
    or id. Raises NoSuchSource.
    """
    source = source.strip("/")
    control = root.child(CONTROL_NAME)
    if source in EVERYTHING or control is None:
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
    return SourceRoot(found, control)


def _at(root: Directory, path: str) -> Directory | None:
    node: Node | None = root
    for name in path.split("/"):
        node = node.child(name) if isinstance(node, Directory) else None
    return node if isinstance(node, Directory) else None
