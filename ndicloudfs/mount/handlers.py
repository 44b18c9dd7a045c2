"""What a mount does for each command of its control socket.

To add a command, write a function that takes a ``Request`` and returns what the command answers,
and name it in ``handlers``. A handler that takes long calls ``request.progress`` or
``request.check`` now and then, which end it when nobody waits for it any more.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict

from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cache.prefetch import Prefetch, TooMuch
from ndicloudfs.cache.refresh import Refresh
from ndicloudfs.cache.scope import DatasetScope, Scope
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount.control import Handler, Misused, Request
from ndicloudfs.mount.queueing import Queueing
from ndicloudfs.vfs.filesystem import FileSystem
from ndicloudfs.vfs.finding import Finder
from ndicloudfs.writeback import WriteBack


def handlers(
    filesystem: FileSystem, cache: LocalCache, writeback: WriteBack | None = None
) -> Mapping[str, Handler]:
    """Every command of a mount by its name; without ``writeback`` nothing can be written."""
    handling = _Handlers(filesystem, cache)
    return {
        "ping": lambda _: {"pid": os.getpid()},
        "refresh": handling.refresh,
        "find": handling.find,
        "path": lambda request: {"path": handling.finder.place(request.text("id"))},
        "info": lambda request: handling.finder.about(request.text("path")),
        "prefetch": handling.prefetch,
        **Queueing(filesystem, writeback).handlers(),
        "status": lambda _: {"pid": os.getpid(), **filesystem.status.facts()},
    }


class _Handlers:
    def __init__(self, filesystem: FileSystem, cache: LocalCache) -> None:
        self._fs = filesystem
        self._cache = cache
        self.finder = Finder(filesystem, cache)

    def find(self, request: Request) -> Json:
        """The documents at ``path`` and below that meet ``conditions``."""
        conditions = request.arguments.get("conditions")
        if not isinstance(conditions, list):
            raise Misused(
                "The search has no conditions; say what to look for, such as --isa subject"
            )
        found: list[Json] = []

        def asked(datasets: int) -> None:
            request.check()
            request.progress({"datasets": datasets, "found": len(found)})

        for each in self.finder.find(request.text("path"), conditions, asked):
            document = each.document
            found.append(
                {
                    "path": each.path,
                    "ndi_id": document.ndi_id,
                    "cloud_id": document.id,
                    "class": document.class_name,
                    "name": document.name,
                    "dataset_id": each.dataset_id,
                }
            )
        return {"found": found}

    def refresh(self, request: Request) -> Json:
        """Ask the server again for all that is known of ``path``; what has changed, in numbers."""
        refresh = Refresh(
            self._cache.catalog, self._cache.bodies, lambda done: request.progress(asdict(done))
        )
        return asdict(refresh.run(self._scope(request.text("path"))))

    def prefetch(self, request: Request) -> Json:
        """Bring documents and files of ``paths`` into the cache; how many, in numbers."""
        cache = self._cache
        prefetch = Prefetch(
            *(cache.catalog, cache.bodies, cache.objects, cache.limit),
            lambda done: request.progress(asdict(done)),
        )
        scopes = []
        for path in request.texts("paths"):
            scope = self._scope(path)
            if not isinstance(scope, DatasetScope):
                raise Misused(f"{path or 'The mount'} is more than one dataset; name one dataset")
            scopes.append(scope)
        try:
            return asdict(prefetch.run(scopes))
        except TooMuch as error:
            raise Misused(str(error)) from error

    def _scope(self, path: str) -> Scope:
        try:
            scope = self._fs.resolve(path).scope()
        except FileNotFoundError as error:
            reason = f"{error.strerror}; where it is new on the server, refresh the folder above it"
            raise FileNotFoundError(error.errno, reason, path) from error
        if scope is None:
            raise Misused(
                f"{path} is made by the mount itself, there is nothing of it on the server;"
                " name a dataset, or something in one"
            )
        return scope
