"""A folder as the source of a dataset: documents, their objects, and everything else beside.

- ``*.json`` that holds an NDI document, bare or as bulk-fetch answers it, is that document.
- A file whose name is a uid that one of the documents names is that document's object.
- Every other file, JSON or not, becomes a ``generic_file`` document with its object.

The same folder gives the same documents wherever and whenever it is read. It is scanned once;
bodies and bytes are read again while they are sent, so the memory of one document is enough.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ndicloudfs.cloud.values import Json, as_list, as_object, as_text

GENERIC_NAME = "generic_file.ext"
# A file's own times differ from copy to copy of a folder; its document must not.
_DATE = "1970-01-01T00:00:00.000Z"


class FolderError(Exception):
    """The folder cannot be made a dataset: ``str(error)`` names the file and the reason."""


@dataclass(frozen=True, slots=True)
class FolderObject:
    """A file that becomes an object; ``size`` in bytes as it was when the folder was scanned."""

    uid: str
    size: int
    path: Path

    def open(self) -> BinaryIO:
        """The file, to be read from its start. Raises OSError."""
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class _Generic:
    """A file that gets a document; ``key`` is its path in the folder, with ``/``."""

    key: str
    uid: str
    name: str


@dataclass(frozen=True, slots=True)
class Folder:
    """What was found in a folder."""

    objects: tuple[FolderObject, ...]
    _documents: tuple[Path, ...]
    _generic: tuple[_Generic, ...]
    _session_id: str

    @property
    def document_count(self) -> int:
        """How many documents ``documents()`` gives."""
        return len(self._documents) + len(self._generic)

    def documents(self) -> Iterator[Json]:
        """The bodies, those of the folder first. Raises FolderError when one has changed."""
        for path in self._documents:
            body = read_document(path)
            if body is None:
                raise FolderError(f"{path} is no NDI document any more; load the folder again")
            yield body
        for item in self._generic:
            yield _generic_document(item, self._session_id)


def scan(root: Path) -> Folder:
    """Find everything below ``root``, in the order of the paths.

    Raises FolderError for what is neither a file nor a folder (symbolic links, sockets, devices),
    for what cannot be read, and where two files claim one uid.
    """
    documents: list[Path] = []
    others: list[tuple[Path, int]] = []
    uids: set[str] = set()
    session_id = ""
    for path, size in _walk(root):
        body = read_document(path) if path.suffix == ".json" else None
        if body is None:
            others.append((path, size))
            continue
        documents.append(path)
        uids.update(_uids(body))
        session_id = session_id or as_text(as_object(body.get("base")).get("session_id"))
    objects: dict[str, FolderObject] = {}
    generic = []
    for path, size in others:
        uid = path.name
        if uid not in uids:
            key = path.relative_to(root).as_posix()
            uid = _identity("object", key)
            generic.append(_Generic(key, uid, path.name))
        if uid in objects:
            raise FolderError(
                f"{objects[uid].path} and {path} are named by the same uid; rename one of them"
            )
        objects[uid] = FolderObject(uid, size, path)
    return Folder(
        objects=tuple(objects.values()),
        _documents=tuple(documents),
        _generic=tuple(generic),
        _session_id=session_id or _identity("session", ""),
    )


def read_document(path: Path) -> Json | None:
    """The body of the NDI document in a file; None where the file holds something else.

    Numbers that JSON does not have (``NaN``), as MATLAB writes them, come as the server's
    sentinels (section 7.5). Raises FolderError when the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    try:
        content = json.loads(data, parse_constant=lambda token: f"__NDI__{token}__")
    except (ValueError, RecursionError):
        return None
    outer = as_object(content)
    for body in (outer, as_object(outer.get("data"))):
        if isinstance(body.get("base"), dict) and isinstance(body.get("document_class"), dict):
            return body
    return None


def _walk(root: Path) -> Iterator[tuple[Path, int]]:
    """Every file below ``root`` with its size in bytes."""
    try:
        with os.scandir(root) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise _unreadable(root, error) from error
    for entry in entries:
        path = root / entry.name
        try:
            entry.name.encode()
        except UnicodeEncodeError:
            raise FolderError(f"the name of {str(path)!a} is not UTF-8; rename it") from None
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError as error:
            raise _unreadable(path, error) from error
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(path)
        elif stat.S_ISREG(status.st_mode):
            if not os.access(path, os.R_OK):
                raise FolderError(
                    f"{path} cannot be read: permission denied; run: chmod -R u+rX {path}"
                )
            yield path, status.st_size
        else:
            raise FolderError(
                f"{path} is {_kind(status.st_mode)}; only files can be loaded, move it away"
            )


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISSOCK(mode):
        return "a socket"
    if stat.S_ISFIFO(mode):
        return "a pipe"
    return "a device"


def _unreadable(path: Path, error: OSError) -> FolderError:
    reason = (error.strerror or str(error)).lower()
    return FolderError(f"{path} cannot be read: {reason}; correct that, or move it away")


def _uids(body: Json) -> Iterator[str]:
    for info in as_list(as_object(body.get("files")).get("file_info")):
        for location in as_list(as_object(info).get("locations")):
            uid = as_text(as_object(location).get("uid"))
            if uid:
                yield uid


def _identity(purpose: str, key: str) -> str:
    """An id in the form of an ndi id (section 7.2) that depends on the arguments only."""
    digest = hashlib.sha256(f"{purpose}\0{key}".encode()).hexdigest()
    return f"{digest[:16]}_{digest[16:32]}"


def _generic_document(item: _Generic, session_id: str) -> Json:
    """The document of a file that had none (section 7.6)."""
    location = {
        "uid": item.uid,
        "location": "",
        "location_type": "file",
        "ingest": 1,
        "delete_original": 0,
        "parameters": "",
    }
    return {
        "base": {
            "id": _identity("document", item.key),
            "session_id": session_id,
            "name": "",
            "datestamp": _DATE,
        },
        "document_class": {
            "class_name": "generic_file",
            "class_version": 1,
            "property_list_name": "generic_file",
            "definition": "$NDIDOCUMENTPATH/data/generic_file.json",
            "validation": "$NDISCHEMAPATH/data/generic_file_schema.json",
            "superclasses": {"definition": "$NDIDOCUMENTPATH/base.json"},
        },
        "depends_on": {"name": "document_id", "value": ""},
        "files": {
            "file_list": GENERIC_NAME,
            "file_info": {"name": GENERIC_NAME, "locations": location},
        },
        "generic_file": {
            "filename": item.name,
            "formatOntology": "",
            "dateCreated": "",
            "dateUpdated": "",
            "checksum": "",
        },
    }
