"""The top of the tree: organizations, ``published/`` and ``.ndicloudfs/``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

from ndicloudfs.cache.listings import Listing
from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cache.scope import DatasetList, Everything, Scope
from ndicloudfs.cloud.values import DatasetRow, Organization, is_cloud_id
from ndicloudfs.vfs import names
from ndicloudfs.vfs.control import CONTROL_NAME, Control
from ndicloudfs.vfs.dataset import Dataset
from ndicloudfs.vfs.nodes import ROOT_INO, Directory, Entry, Kind, Node, derive_ino
from ndicloudfs.vfs.shown import Shown
from ndicloudfs.vfs.writable_root import Writing

PUBLISHED_NAME = "published"
_RESERVED = frozenset({PUBLISHED_NAME, CONTROL_NAME, ".", ".."})


class Root(Directory):
    """``MOUNT/``: each organization of the account, ``published/``, ``.ndicloudfs/``."""

    def __init__(
        self, cache: LocalCache, control: Control, writing: Writing, mounted_ns: int
    ) -> None:
        super().__init__(ROOT_INO, mounted_ns)
        self._cache = cache
        self._writing = writing
        self._organizations = Shown(
            cache.catalog.organizations, lambda rows: _by_name(rows, _RESERVED)
        )
        published = _Datasets(
            derive_ino(self.ino, PUBLISHED_NAME),
            cache,
            cache.catalog.published,
            lambda row: row.is_published,
            writing,
            mounted_ns,
        )
        self._fixed: dict[str, Directory] = {PUBLISHED_NAME: published, CONTROL_NAME: control}

    def scope(self) -> Scope:
        return Everything()

    def entries(self) -> Iterator[Entry]:
        for name, organization in self._organizations.items().items():
            yield Entry(name, derive_ino(self.ino, organization.id), Kind.DIRECTORY)
        for name, node in self._fixed.items():
            yield Entry(name, node.ino, Kind.DIRECTORY)

    def child(self, name: str) -> Node | None:
        if name in self._fixed:
            return self._fixed[name]
        organization = _find(self._organizations.items(), name)
        if organization is not None:
            return self._organization(organization)
        row = self._cache.catalog.dataset(name) if is_cloud_id(name) else None
        if row is None:
            return None
        dataset = Dataset(self.ino, self._cache, row, self.mtime_ns)
        mine = self._cache.catalog.organizations().items
        owner = next((one for one in mine if one.id == row.organization_id), None)
        return self._writing.dataset(dataset, owner)

    def _organization(self, organization: Organization) -> Directory:
        folder = _Datasets(
            derive_ino(self.ino, organization.id),
            self._cache,
            lambda: self._cache.catalog.datasets(organization.id),
            lambda row: row.organization_id == organization.id,
            self._writing,
            self.mtime_ns,
            organization,
        )
        return self._writing.organization(folder, organization)


class _Datasets(Directory):
    """A folder of datasets: an organization, or ``published/``."""

    def __init__(
        self,
        ino: int,
        cache: LocalCache,
        listing: Callable[[], Listing[DatasetRow]],
        belongs: Callable[[DatasetRow], bool],
        writing: Writing,
        mounted_ns: int,
        organization: Organization | None = None,
    ) -> None:
        """``belongs`` tells whether a dataset that ``listing`` does not show may be asked for."""
        super().__init__(ino, mounted_ns)
        self._cache = cache
        self._datasets = Shown(listing, lambda rows: _by_name(rows, frozenset({".", ".."})))
        self._belongs = belongs
        self._writing = writing
        self._organization = organization

    def scope(self) -> Scope:
        return DatasetList("" if self._organization is None else self._organization.id)

    def xattrs(self) -> dict[str, str]:
        if self._organization is None:
            return {}
        return {
            "user.ndi.cloud_id": self._organization.id,
            "user.ndi.name": self._organization.name,
        }

    def entries(self) -> Iterator[Entry]:
        for name, row in self._datasets.items().items():
            yield Entry(name, derive_ino(self.ino, row.id), Kind.DIRECTORY)

    def child(self, name: str) -> Node | None:
        row = _find(self._datasets.items(), name)
        if row is None and is_cloud_id(name):
            row = self._cache.catalog.dataset(name)
            if row is not None and not self._belongs(row):
                return None
        if row is None:
            return None
        dataset = Dataset(self.ino, self._cache, row, self.mtime_ns)
        return self._writing.dataset(dataset, self._organization)


class _Named(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


Item = TypeVar("Item", bound=_Named)


def _by_name(rows: tuple[Item, ...], reserved: frozenset[str]) -> dict[str, Item]:
    by_id = {row.id: row for row in rows}
    shown = names.unique_names(((row.id, row.name) for row in rows), reserved)
    return {name: by_id[id_] for name, id_ in shown.items()}


def _find(items: dict[str, Item], name: str) -> Item | None:
    """The item under ``name``, which may be its id in place of its name."""
    if name in items:
        return items[name]
    return next((item for item in items.values() if item.id == name), None)
