"""What of the top of the tree can be written: organizations that take datasets."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from ndicloudfs.cache.scope import Scope
from ndicloudfs.cloud.values import DatasetRow, Organization
from ndicloudfs.vfs import names
from ndicloudfs.vfs.dataset import Dataset
from ndicloudfs.vfs.nodes import Attributes, Directory, Entry, Kind, Node, derive_ino
from ndicloudfs.vfs.scratch import is_scratch
from ndicloudfs.vfs.writable import Edits, Home, refusal
from ndicloudfs.vfs.writable_dataset import WritableDataset


class Writing:
    """Which datasets can be written, and what they are then."""

    def __init__(self, edits: Edits | None) -> None:
        """``edits``: None where nothing can be written."""
        self._edits = edits

    def dataset(self, dataset: Dataset, organization: Organization | None) -> Directory:
        """``dataset`` as it is shown in the folder of ``organization``, None: in no one's."""
        row = dataset.row
        if self._edits is None or row.is_published or organization is None:
            return dataset
        if not organization.can_upload or row.organization_id != organization.id:
            return dataset
        home = Home(row.id, organization.id)
        return WritableDataset(dataset.ino, self._edits, home, row, dataset.mtime_ns)

    def organization(self, folder: Directory, organization: Organization) -> Directory:
        """The folder of an organization."""
        if self._edits is None or not organization.can_upload:
            return folder
        return WritableOrganization(folder, organization, self._edits)


class WritableOrganization(Directory):
    """``<organization>/``: a folder made in it is a new dataset."""

    def __init__(self, inner: Directory, organization: Organization, edits: Edits) -> None:
        super().__init__(inner.ino, inner.mtime_ns)
        self._inner = inner
        self._organization = organization
        self._edits = edits

    def attributes(self) -> Attributes:
        return Attributes(self.ino, Kind.DIRECTORY, 0, self.mtime_ns, writable=True)

    def xattrs(self) -> dict[str, str]:
        return self._inner.xattrs()

    def scope(self) -> Scope | None:
        return self._inner.scope()

    def entries(self) -> Iterator[Entry]:
        gone = self._deleted()
        local = self._made()
        for entry in self._inner.entries():
            if entry.ino not in gone:
                local.pop(entry.name, None)
                yield entry
        for name, dataset_id in local.items():
            yield Entry(name, derive_ino(self.ino, dataset_id), Kind.DIRECTORY)

    def child(self, name: str) -> Node | None:
        node = self._inner.child(name)
        if node is not None:
            return None if node.ino in self._deleted() else node
        dataset_id = self._made().get(name)
        if dataset_id is None:
            return None
        home = Home(dataset_id, self._organization.id)
        row = DatasetRow(dataset_id, name, self._organization.id, "", False)
        ino = derive_ino(self.ino, dataset_id)
        return WritableDataset(ino, self._edits, home, row, self.mtime_ns)

    def make_folder(self, name: str) -> None:
        """Make a dataset. Raises EPERM for a name that no dataset can be shown under."""
        if is_scratch(name) or names.unique_names([("", name)]) != {name: ""}:
            raise refusal(errno.EPERM, name)
        made = self._edits.writeback.create_dataset(self._organization.id, name)
        self._edits.made[self._organization.id, name] = made.dataset_id

    def remove_folder(self, name: str, node: Directory) -> None:
        """Delete a dataset. Raises EPERM where the mount may not."""
        if not self._edits.allow_delete_datasets:
            raise refusal(errno.EPERM, name)
        if isinstance(node, WritableDataset):
            self._edits.made.pop((self._organization.id, name), None)
            self._edits.writeback.delete_dataset(node.home.dataset_id, self._organization.id)

    def _made(self) -> dict[str, str]:
        """The datasets that were made here and that no list shows yet: id by name."""
        pending = self._edits.writeback.datasets(self._organization.id)
        found = {entry.name: entry.dataset_id for entry in pending}
        # What has just arrived is not in the list of the server as it was last fetched.
        for (organization_id, name), dataset_id in list(self._edits.made.items()):
            if organization_id == self._organization.id:
                found.setdefault(name, dataset_id)
        return found

    def _deleted(self) -> set[int]:
        """The inode numbers of the datasets that are to go."""
        return {
            derive_ino(self.ino, entry.dataset_id)
            for entry in self._edits.writeback.dataset_deletions(self._organization.id)
        }
