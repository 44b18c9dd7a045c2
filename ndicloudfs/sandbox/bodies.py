"""The body of a document: what the cloud reads out of it, and the two forms it is sent in.

The list-or-single quirk (7.3) is kept as it came: a bare object stays a bare object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ndicloudfs.sandbox.answers import Json, dump

# "Everything" is asked for as either (5.11).
_ROOT_CLASSES = ("base", "ndi_document")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A body and the columns that stand beside it (7.1)."""

    text: str
    ndi_id: str | None
    name: str | None
    class_name: str | None
    lineage: tuple[str, ...]
    depends_on: frozenset[tuple[str, str]]
    has_files: bool

    def summary(self, document_id: str, dataset_id: str) -> str:
        """The row of a list (5.1); what the body does not say is absent."""
        row = {
            "id": document_id,
            "ndiId": self.ndi_id,
            "name": self.name,
            "className": self.class_name,
            "datasetId": dataset_id,
        }
        return dump({key: value for key, value in row.items() if value is not None})


def parsed(body: Json) -> Parsed:
    """What the cloud stores of a body that was sent; ``id`` beside the blocks is dropped (5.2)."""
    stored = {key: value for key, value in body.items() if key not in ("id", "_id")}
    base, document_class = _object(stored.get("base")), _object(stored.get("document_class"))
    class_name = _text(document_class.get("class_name"))
    return Parsed(
        text=dump(stored),
        ndi_id=_text(base.get("id")),
        name=_text(base.get("name")),
        class_name=class_name,
        lineage=tuple(_lineage(class_name, document_class)),
        depends_on=frozenset(_depends_on(stored)),
        has_files=next(locations(stored), None) is not None,
    )


def _lineage(class_name: str | None, document_class: Json) -> Iterator[str]:
    names = [class_name] if class_name else []
    for item in as_list(document_class.get("superclasses")):
        definition = _text(_object(item).get("definition"))
        if definition:
            names.append(PurePosixPath(definition).stem)
    if names:
        names.extend(_ROOT_CLASSES)
    yield from dict.fromkeys(names)


def _depends_on(body: Json) -> Iterator[tuple[str, str]]:
    for item in as_list(body.get("depends_on")):
        name, value = _object(item).get("name"), _object(item).get("value")
        if isinstance(name, str) and isinstance(value, str):
            yield name, value


def locations(body: Json) -> Iterator[Json]:
    """The places that name the uid of a file (7.3)."""
    for info in as_list(_object(body.get("files")).get("file_info")):
        for location in as_list(_object(info).get("locations")):
            if isinstance(location, dict) and isinstance(location.get("uid"), str):
                yield location


def uids(texts: Iterable[str]) -> set[str]:
    """The uids that the bodies name."""
    return {place["uid"] for text in texts for place in locations(json.loads(text))}


def hydrated(text: str, urls: Mapping[str, str]) -> str:
    """The body with presigned URLs as locations of the uids that have one (5.2)."""
    body = json.loads(text)
    for place in locations(body):
        url = urls.get(place["uid"])
        if url is not None:
            place["location"] = url
    return dump(body)


def hoisted(document_id: str, text: str) -> str:
    """The form of a single GET and of ZIPs: ``id`` beside the blocks of the body (5.2, 5.9)."""
    return f'{{"id":"{document_id}"' + (f",{text[1:]}" if text != "{}" else "}")


def wrapped(summary: str, text: str) -> str:
    """The form of bulk-fetch: the body under ``data`` (5.8)."""
    return f'{summary[:-1]},"data":{text}}}'


def as_list(value: object) -> list[object]:
    """Undo the list-or-single quirk."""
    if isinstance(value, list):
        return value
    return [] if value in (None, "", {}) else [value]


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
