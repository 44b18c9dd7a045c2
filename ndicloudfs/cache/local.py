"""The cache of one mount: the one place that puts its parts together."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar
from urllib.parse import quote

from ndicloudfs.cache.bodies import Bodies
from ndicloudfs.cache.catalog import Catalog
from ndicloudfs.cache.changes import Changes
from ndicloudfs.cache.flight import SingleFlight
from ndicloudfs.cache.index import SCHEMA_VERSION, Index
from ndicloudfs.cache.leases import Leases
from ndicloudfs.cache.objects import Objects
from ndicloudfs.cache.store import Store
from ndicloudfs.cache.uplink import Uplink
from ndicloudfs.cache.upstream import Upstream
from ndicloudfs.cloud import NdiCloud
from ndicloudfs.cloud.errors import CloudError, Unreachable

log = logging.getLogger(__name__)

Result = TypeVar("Result")

ANONYMOUS = "anonymous"
METADATA_TTL = 60.0  # s
# How long a reader waits for what another one is fetching (s): a listing of 100,000 documents
# takes 25 s at the second per page that section 8.5 names.
PATIENCE = 120.0
_BACKGROUND_THREADS = 8


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Where the cache is and how it behaves."""

    folder: Path
    limit: int | None = None  # bytes of bodies and blocks; None: 20 GiB or 1/4 of the free space
    metadata_ttl: float = METADATA_TTL  # s
    offline: bool = False  # nothing is fetched


class LocalCache:
    """Catalog, bodies and objects of one account on one server."""

    def __init__(
        self, cloud: NdiCloud, options: CacheOptions, clock: Callable[[], float] = time.time
    ) -> None:
        self.cloud = cloud
        self.host = cloud.config.host
        self.account = _account_name(cloud)
        self.ttl = options.metadata_ttl  # s
        self._uplink = Uplink(cloud.sign_of_life)
        self._object_uplink = Uplink(cloud.objects.sign_of_life)
        if options.offline:
            self._stay_down("The mount is offline (--offline); this is not in its cache")
        self._stopping = threading.Event()
        self._pool = ThreadPoolExecutor(_BACKGROUND_THREADS, thread_name_prefix="ndi-background")
        self.changes = Changes()
        upstream = Upstream(
            cloud=cloud,
            uplink=self._uplink,
            object_uplink=self._object_uplink,
            flight=SingleFlight(PATIENCE),
            pool=self._pool,
            stopping=self._stopping,
            clock=clock,
            changes=self.changes,
            ttl=options.metadata_ttl,
            patience=PATIENCE,
        )
        self._temporary: TemporaryDirectory[str] | None = None
        try:
            self._index, self._store = self._open(options.folder, options.limit)
        except (OSError, sqlite3.Error) as error:
            self._temporary = TemporaryDirectory(prefix="ndicloudfs-")
            log.warning(
                "the cache folder %s cannot be used, caching in %s until the mount ends: %s",
                *(options.folder, self._temporary.name, error),
            )
            self._index, self._store = self._open(Path(self._temporary.name), options.limit)
        self.catalog = Catalog(self._index, upstream)
        leases = Leases(self._index, upstream)
        self.bodies = Bodies(self._index, self._store, self.catalog, leases, upstream)
        self.objects = Objects(self._index, self._store, self.catalog, leases, upstream)

    @property
    def folder(self) -> Path:
        """Where the blocks are."""
        return self._store.folder

    @property
    def limit(self) -> int:
        """The most bytes that bodies and blocks may take."""
        return self._store.limit

    @property
    def writes(self) -> int:
        """How often this process has written to the index."""
        return self._index.database.writes

    @property
    def outage(self) -> CloudError | None:
        """Why the server or its object store cannot be reached at the moment, or None."""
        return self._uplink.down or self._object_uplink.down

    def ask(self, work: Callable[[], Result]) -> Result:
        """Run ``work``, which talks to the API; fails at once while the server is away."""
        return self._uplink.call(work)

    def used(self) -> int:
        """Bytes that bodies and blocks take."""
        return self._store.volume()

    def disk(self) -> os.statvfs_result:
        """The file system that the cache is on."""
        return os.statvfs(self._store.folder)

    def close(self) -> None:
        """Stop what runs in the background and close the files."""
        self._stopping.set()
        self._stay_down("The mount is ending and fetches nothing more; mount again")
        self.objects.close()
        self.bodies.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._store.close()
        self._index.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _stay_down(self, reason: str) -> None:
        for uplink in (self._uplink, self._object_uplink):
            uplink.stay_down(Unreachable(reason))

    def _open(self, folder: Path, limit: int | None) -> tuple[Index, Store]:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            raise PermissionError(errno.EPERM, "others may write there")
        index = Index(index_path(folder, self.host, self.account))
        try:
            return index, Store(blocks_folder(folder), limit)
        except BaseException:
            index.close()
            raise


def _account_name(cloud: NdiCloud) -> str:
    """Whose index it is: the e-mail address, else what tells one token from another."""
    if cloud.account.email or cloud.account.anonymous:
        return cloud.account.email or ANONYMOUS
    return f"token-{sha256(cloud.config.token.encode()).hexdigest()[:16]}"


def index_path(folder: Path, host: str, account: str) -> Path:
    """The file of the metadata index of an account on a server."""
    name = f"{quote(account, safe='@')}-{SCHEMA_VERSION}.sqlite"
    return folder / "index" / quote(host, safe="") / name


def blocks_folder(folder: Path) -> Path:
    """The folder of the store in a cache folder."""
    return folder / "blocks"
