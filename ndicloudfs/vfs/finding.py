"""From ids and questions to paths, and from a path to what the cloud calls it.

Questions are answered by the server (ndiquery, section 5.11); this gives its answers the names that
the mount shows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from ndicloudfs.cache.local import LocalCache
from ndicloudfs.cache.scope import DatasetScope, Part
from ndicloudfs.cloud.errors import NotFound, NotSignedIn
from ndicloudfs.cloud.values import Json, Summary, is_cloud_id
from ndicloudfs.vfs import names
from ndicloudfs.vfs.control import CONTROL_NAME
from ndicloudfs.vfs.dataset import DOCUMENTS_NAME, FILES_NAME
from ndicloudfs.vfs.documents import UID_DIRECTORY, DocumentClass
from ndicloudfs.vfs.filesystem import FileSystem
from ndicloudfs.vfs.nodes import Directory, Node

PAGE = 1000  # the server's cap, section 5.1
URI_SCHEME = "ndic"
# A class with more hits than this is listed for the names; with fewer, each ndi id is asked for.
LIST_FROM = 20


@dataclass(frozen=True, slots=True)
class Found:
    """A document that meets the conditions, and where it is in the mount."""

    path: str
    document: Summary
    dataset_id: str


class Finder:
    """Finds documents and places. Used by any thread."""

    def __init__(self, filesystem: FileSystem, cache: LocalCache) -> None:
        self._fs = filesystem
        self._cache = cache

    def find(
        self, path: str, conditions: Sequence[Json], asked: Callable[[int], None] = lambda _: None
    ) -> Iterator[Found]:
        """The documents at ``path`` and below that meet all conditions, one dataset after another.

        ``asked`` is told how many datasets have been asked so far. Raises NotFound where ``path``
        holds no documents.
        """
        narrowed = self._fs.resolve(path).scope()
        class_name = narrowed.class_name if isinstance(narrowed, DatasetScope) else ""
        number = 0
        for number, (where, dataset_id) in enumerate(self._datasets(path), 1):
            documents = self._matching(dataset_id, conditions)
            if class_name:
                documents = [each for each in documents if each.class_name == class_name]
            for document, place in self._places(dataset_id, documents):
                yield Found(_joined(where, place), document, dataset_id)
            asked(number)
        if not number:
            raise NotFound(f"{path or 'the mount'} holds no dataset; name a folder that does")

    def place(self, text: str) -> str:
        """The path of ``ndic://<dataset>/<uid>``, of an ndi id, or of a cloud id.

        Raises NotFound.
        """
        if text.startswith(f"{URI_SCHEME}://"):
            parts = urlsplit(text)
            name = quote(parts.path.strip("/"), safe="")
            path = _joined(self._dataset(parts.netloc), f"{FILES_NAME}/{UID_DIRECTORY}/{name}")
            self._fs.resolve(path)
            return path
        everywhere = {dataset_id: where for where, dataset_id in self._datasets("")}
        if is_cloud_id(text):
            if text in everywhere:
                return everywhere[text]
            for dataset_id, where in everywhere.items():
                row = self._cache.catalog.known_document(dataset_id, text)
                if row is not None:
                    found = Summary(row.id, row.ndi_id, row.class_name, row.name)
                    return next(self._paths(where, dataset_id, [found]))
            return self._dataset(text)
        condition = {"field": "base.id", "operation": "exact_string", "param1": text, "param2": ""}
        for dataset_id, where in everywhere.items():
            for path in self._paths(where, dataset_id, self._matching(dataset_id, [condition])):
                return path
        raise NotFound(f"There is no document {text!r} that this mount can see; check the id")

    def about(self, path: str) -> Json:
        """What the cloud calls what is at ``path``, with its URI where it has one."""
        node = self._fs.resolve(path)
        found = node.attributes()
        shown = {name.removeprefix("user.ndi."): text for name, text in node.xattrs().items()}
        facts: Json = {"path": path, "kind": found.kind.value, "size": found.size, **shown}
        if "uid" in shown:
            facts["uri"] = f"{URI_SCHEME}://{shown['dataset_id']}/{shown['uid']}"
        return facts

    def _datasets(self, path: str) -> Iterator[tuple[str, str]]:
        """Path and id of every dataset at ``path`` or below, or of the one that it lies in."""
        node: Node = self._fs.root
        names_left, where = [name for name in path.split("/") if name], ""
        while True:
            scope = node.scope()
            if isinstance(scope, DatasetScope) and scope.part is Part.ALL:
                yield where, scope.dataset_id
                return
            if not names_left:
                break
            name = names_left.pop(0)
            node, where = self._fs.lookup(node, name), _joined(where, name)
        seen: set[str] = set()
        for below, dataset_id in self._below(node, where):
            if dataset_id not in seen:  # ours that are published are listed twice
                seen.add(dataset_id)
                yield below, dataset_id

    def _below(self, node: Node, where: str) -> Iterator[tuple[str, str]]:
        scope = node.scope()
        if isinstance(scope, DatasetScope):
            yield where, scope.dataset_id
        elif isinstance(node, Directory):
            for entry in node.entries():
                if entry.name != CONTROL_NAME:
                    child = self._fs.lookup(node, entry.name)
                    yield from self._below(child, _joined(where, entry.name))

    def _dataset(self, dataset_id: str) -> str:
        for where, known in self._datasets(""):
            if known == dataset_id:
                return where
        node = self._fs.resolve(dataset_id)  # what is not listed resolves by its id all the same
        if isinstance(node.scope(), DatasetScope):
            return dataset_id
        raise NotFound(f"There is no dataset {dataset_id!r} that this mount can see; check the id")

    def _matching(self, dataset_id: str, conditions: Sequence[Json]) -> list[Summary]:
        if self._cache.catalog.anonymous:
            raise NotSignedIn(
                "The server answers questions of an account only; run: ndicloudfs login"
            )
        query = self._cache.cloud.documents.query
        found: dict[str, Summary] = {}
        number = 0
        while True:
            number += 1
            page = self._cache.ask(lambda: query(dataset_id, conditions, number, PAGE))  # noqa: B023
            found.update((document.id, document) for document in page.documents)
            if page.rows < PAGE or (page.total is not None and number * PAGE >= page.total):
                return list(found.values())

    def _paths(self, where: str, dataset_id: str, documents: list[Summary]) -> Iterator[str]:
        for _, place in self._places(dataset_id, documents):
            yield _joined(where, place)

    def _places(self, dataset_id: str, documents: list[Summary]) -> Iterator[tuple[Summary, str]]:
        """Each document with its path below the dataset, ordered by class and ndi id."""
        by_class: dict[str, list[Summary]] = {}
        for document in sorted(documents, key=lambda each: (each.class_name, each.ndi_id, each.id)):
            by_class.setdefault(document.class_name, []).append(document)
        counted = dict(self._cache.catalog.classes(dataset_id).items)
        folders = {
            class_name: name
            for name, class_name in names.class_names(
                {**counted, **dict.fromkeys(by_class, 0)}, {UID_DIRECTORY}
            ).items()
        }
        for class_name, members in by_class.items():
            named = DocumentClass(self._cache, dataset_id, class_name)
            if len(members) >= LIST_FROM:
                stems = {row.id: stem for stem, row in named.every()}
            else:
                stems = {
                    row.id: stem
                    for ndi_id in {document.ndi_id for document in members}
                    for stem, row in named.named(
                        self._cache.catalog.documents_with_ndi_id(dataset_id, class_name, ndi_id)
                    )
                }
            for document in members:
                # An id resolves in place of a name, for what the list does not show yet.
                stem = stems.get(document.id, document.id)
                yield document, f"{DOCUMENTS_NAME}/{folders[class_name]}/{stem}{names.JSON_SUFFIX}"


def _joined(where: str, name: str) -> str:
    return f"{where}/{name}" if where else name
