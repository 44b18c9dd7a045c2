"""The commands about what waits to be written back: ``sync`` and those of ``queue``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from ndicloudfs.cache.scope import DatasetScope
from ndicloudfs.cloud.values import Json
from ndicloudfs.mount.control import Handler, Misused, Request
from ndicloudfs.vfs.filesystem import FileSystem
from ndicloudfs.vfs.queued import facts
from ndicloudfs.writeback import Entry, Remaining, Scope, State, WriteBack

_MOST_SHOWN = 20  # entries that are told of what is left


class Queueing:
    """Handlers of a mount; ``writeback`` is None where nothing can be written."""

    def __init__(self, filesystem: FileSystem, writeback: WriteBack | None) -> None:
        self._fs = filesystem
        self._writeback = writeback

    def handlers(self) -> Mapping[str, Handler]:
        """Every command by its name."""
        return {
            "sync": self.sync,
            "queue": self.queue,
            "queue retry": self.retry,
            "queue discard": self.discard,
            "queue export": self.export,
            "queue resolve": self.resolve,
            "leave queue": self.leave,
        }

    def sync(self, request: Request) -> Json:
        """Send what waits at ``path`` and below, and wait for it; tells what is left, and why."""
        if self._writeback is None:
            return {"entries": 0, "size": 0, "outage": None, "left": [], "parked": 0}
        scope = self._scope(request.text("path"))

        def progress(remaining: Remaining) -> None:
            request.progress({"entries": remaining.entries, "size": remaining.size})

        remaining = self._writeback.sync(scope, progress, request.cancelled.is_set)
        request.check()
        if remaining.outage is not None and request.arguments.get("raise", True):
            raise remaining.outage
        now, queue = time.time(), self._writeback.queue(scope)
        return {
            "entries": remaining.entries,
            "size": remaining.size,
            "outage": None if remaining.outage is None else str(remaining.outage),
            "left": [facts(entry, now) for entry in queue[:_MOST_SHOWN]],
            "parked": sum(entry.state in (State.CONFLICT, State.REJECTED) for entry in queue),
        }

    def queue(self, request: Request) -> Json:
        """What the server does not have yet, of what is at ``path`` and below."""
        if self._writeback is None:
            return {"entries": []}
        now = time.time()
        found = self._writeback.queue(self._scope(request.text("path")))
        return {"entries": [facts(entry, now) for entry in found]}

    def retry(self, request: Request) -> Json:
        """Send entries once more that were refused or have failed."""
        chosen = self._chosen(request)
        conflicts = [entry for entry in chosen if entry.state is State.CONFLICT]
        if conflicts and "ids" in request.arguments:
            raise Misused(
                f"{conflicts[0].generation} is a conflict; decide it:"
                f" ndicloudfs queue resolve {conflicts[0].generation} --mine or --theirs"
            )
        again = [one.generation for one in chosen if one.state is not State.CONFLICT]
        return {"retried": self._own().retry(again)}

    def discard(self, request: Request) -> Json:
        """Give entries up; what was written is lost then."""
        chosen = [entry.generation for entry in self._chosen(request)]
        return {"discarded": len(self._own().discard(chosen))}

    def export(self, request: Request) -> Json:
        """Write the bytes of entries into ``folder``."""
        folder = Path(request.text("folder"))
        paths = self._own().export(self._chosen(request), folder)
        return {"paths": [str(path) for path in paths]}

    def resolve(self, request: Request) -> Json:
        """Decide a conflict: the version of here (``mine``), or the server's."""
        (entry,) = self._chosen(request)
        if entry.state is not State.CONFLICT:
            raise Misused(
                f"{entry.generation} is no conflict, it is {entry.state.value};"
                " `ndicloudfs queue list` shows the conflicts"
            )
        self._own().resolve(entry.generation, mine=request.arguments.get("mine") is True)
        return {"resolved": entry.generation}

    def leave(self, request: Request) -> Json:
        """Send nothing more when the mount ends: the queue is for the next one."""
        del request
        if self._writeback is not None:
            self._writeback.leave_queue()
        return {}

    def _own(self) -> WriteBack:
        if self._writeback is None:
            raise Misused(
                "This mount is read-only and has no queue; mount without -o ro, signed in, to write"
            )
        return self._writeback

    def _chosen(self, request: Request) -> list[Entry]:
        """The entries of ``ids``, or without them all that are parked or have failed."""
        queue = self._own().queue()
        ids = request.arguments.get("ids")
        if ids is None:
            return [
                entry
                for entry in queue
                if entry.tries or entry.state in (State.CONFLICT, State.REJECTED)
            ]
        if not isinstance(ids, list):
            raise Misused("The mount was sent ids that are no list; unmount and mount it again")
        known = {entry.generation: entry for entry in queue}
        missing = [id_ for id_ in ids if id_ not in known]
        if missing:
            raise Misused(f"{missing[0]} is not in the queue; `ndicloudfs queue list` shows it")
        return [known[id_] for id_ in ids]

    def _scope(self, path: str) -> Scope:
        """What of the queue is about the place ``path``."""
        node = self._fs.resolve(path)
        about = node.xattrs()
        scope = node.scope()
        dataset_id = about.get("user.ndi.dataset_id", "")
        class_name = about.get("user.ndi.class", "")
        if isinstance(scope, DatasetScope):
            dataset_id = dataset_id or scope.dataset_id
            class_name = class_name or scope.class_name
        if not dataset_id:
            return Scope()
        return Scope(dataset_id, class_name, about.get("user.ndi.id", ""))
