"""A document body as the bytes of a file, and what else the tree needs to know of it.

The bytes are the same whichever call brought the body: pretty-printed (2 spaces, UTF-8, keys in
the server's order, newline at the end), presigned URLs replaced by ``ndic://<dataset>/<uid>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ndicloudfs.cache import pretty
from ndicloudfs.cloud.values import Document, Json, as_list, as_object, as_text

_LOCATIONS = frozenset({"location", "url", "signedUrl"})  # the last two in the legacy shape
_SIGNATURE = "X-Amz-Signature="
GENERIC_FILE_NAME = "generic_file.ext"  # the one name that every generic_file uses, section 7.6


_TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)(?:[T ](?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1  # what SQLite and the kernel can hold


@dataclass(frozen=True, slots=True)
class FileLink:
    """A file that a document names. ``uid`` is ``""`` where the document gives none."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class Rendered:
    """A document as a file: its bytes, its time (epoch ns, None if unknown), its files."""

    data: bytes
    mtime_ns: int | None
    files: tuple[FileLink, ...]


def render(document: Document, dataset_id: str) -> Rendered:
    """Render the body of ``document`` (sections 7.1, 7.3 and 7.5 of the API contract)."""
    body = document.body
    if "files" in body:
        body = {**body, "files": _without_presigned_urls(body["files"], dataset_id)}
    return Rendered(
        data=pretty_json(body),
        mtime_ns=iso_to_ns(as_text(as_object(body.get("base")).get("datestamp"))),
        files=_file_links(document),
    )


def presigned_urls(document: Document) -> Iterator[tuple[str, str]]:
    """The presigned URLs that came with a document, each with the uid of its file (5.2).

    What a document says of other places is not the object that its uid stands for: only what
    carries a signature is the server's.
    """
    for info in as_list(as_object(document.body.get("files")).get("file_info")):
        for location in map(as_object, as_list(as_object(info).get("locations"))):
            uid, url = as_text(location.get("uid")), as_text(location.get("location"))
            if uid and url.startswith(("https://", "http://")) and _SIGNATURE in url:
                yield uid, url


def pretty_json(value: Json) -> bytes:
    """Give ``value`` the form that every JSON file in the tree has: that of Python's ``json``."""
    text = pretty.dumps(value)
    # A lone surrogate is legal in JSON but has no UTF-8: it stays the escape it arrived as.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def iso_to_ns(text: str) -> int | None:
    """Epoch nanoseconds of an ISO 8601 time (UTC where it names no zone), or None."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    zone = (match["zone"] or "Z").replace("Z", "+0000").replace(":", "")
    try:
        # Not strptime, which takes 30 us: a walk through a class does it for each document.
        moment = datetime.fromisoformat(
            f"{match['day']}T{match['clock'] or '00:00:00'}{zone[:3]}:{zone[3:]}"
        )
    except ValueError:
        return None
    delta = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    seconds = delta.days * 86_400 + delta.seconds
    nanoseconds = seconds * 10**9 + int((match["fraction"] or "").ljust(9, "0"))
    return nanoseconds if _EARLIEST <= nanoseconds <= _LATEST else None


def _without_presigned_urls(files: Any, dataset_id: str) -> Any:
    """``files`` with every http(s) ``location`` replaced by the ``ndic://`` URI of its uid.

    One without a uid loses its query, which would be a signature, another one at each fetch.
    """
    if isinstance(files, list):
        return [_without_presigned_urls(item, dataset_id) for item in files]
    if not isinstance(files, dict):
        return files
    result = {}
    uid = as_text(files.get("uid"))
    for key, value in files.items():
        if key in _LOCATIONS and as_text(value).startswith(("https://", "http://")):
            result[key] = f"ndic://{dataset_id}/{uid}" if uid else value.partition("?")[0]
        else:
            result[key] = _without_presigned_urls(value, dataset_id)
    return result


def _file_links(document: Document) -> tuple[FileLink, ...]:
    files = document.body.get("files")
    if isinstance(files, list):  # the legacy shape: a flat list, section 7.3
        entries = files
    else:
        entries = as_list(as_object(files).get("file_info"))
    links = []
    for entry in entries:
        info = as_object(entry)
        name = as_text(info.get("name")) or as_text(info.get("filename"))
        locations = [as_object(location) for location in as_list(info.get("locations"))]
        uids = [as_text(location.get("uid")) for location in locations]
        uid = next((uid for uid in uids if uid), as_text(info.get("uid")))
        if name or uid:
            links.append(FileLink(name, uid))
    return tuple(_with_real_name(document, link) for link in links)


def _with_real_name(document: Document, link: FileLink) -> FileLink:
    filename = as_text(as_object(document.body.get("generic_file")).get("filename"))
    if filename and link.name == GENERIC_FILE_NAME:
        return FileLink(filename, link.uid)
    return link
