"""What somebody wrote as a document: whether it can be one, and what it lacks.

A document has an id, a session, a time and a class (section 7.1 of the API contract). Who writes
one by hand may leave them out; what is there is never changed.
"""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ndicloudfs.cache.rendering import FileLink, render
from ndicloudfs.cloud.values import UNKNOWN_CLASS, Document, Json, Summary, as_text
from ndicloudfs.writeback import new_ndi_id


class Unusable(Exception):
    """What was written cannot be a document: ``str(error)`` says why."""


@dataclass(frozen=True, slots=True)
class Body:
    """A document as it will be: bytes of its file, ndi id, time (epoch ns), files it names.

    ``unheard_of``: the ndi id has just been made up.
    """

    data: bytes
    ndi_id: str
    mtime_ns: int | None
    files: tuple[FileLink, ...]
    unheard_of: bool = False


@dataclass(frozen=True, slots=True)
class Defaults:
    """What is filled in where the body has nothing; ``ndi_id`` ``""``: a new one."""

    class_name: str
    ndi_id: str
    session_id: str
    now: float  # s of the epoch


def parse(data: bytes) -> Json:
    """The JSON object in ``data``. Raises ``Unusable``."""
    try:
        text = data.removeprefix(BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unusable(f"it is not UTF-8 text: {error.reason} at byte {error.start}") from None
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise Unusable(
            f"it is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise Unusable("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise Unusable("it is not a JSON object")
    return value


def completed(value: Json, defaults: Defaults) -> Json:
    """``value`` with what it lacks. Raises ``Unusable`` where it is not of the folder's class."""
    base = _section(value, "base")
    document_class = _section(value, "document_class")
    class_name = document_class.get("class_name")
    if class_name in (None, ""):
        class_name = defaults.class_name
    elif class_name != defaults.class_name:
        raise Unusable(
            f"its class is {class_name!r} and this is the folder of {defaults.class_name!r}"
        )
    lacking: dict[str, str] = {}
    if base.get("id") in (None, ""):
        lacking["id"] = defaults.ndi_id or new_ndi_id()
    if base.get("session_id") in (None, ""):
        lacking["session_id"] = defaults.session_id
    if base.get("datestamp") in (None, ""):
        moment = datetime.fromtimestamp(defaults.now, timezone.utc)
        lacking["datestamp"] = moment.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"
    if not isinstance(base.get("id", ""), str):
        raise Unusable("its base.id is not a text")
    result = dict(value)
    if lacking:
        result["base"] = {**base, **lacking}
    if document_class.get("class_name") in (None, "") and class_name != UNKNOWN_CLASS:
        result["document_class"] = {**document_class, "class_name": class_name}
    return result


def shown(value: Json, dataset_id: str, class_name: str, *, unheard_of: bool = False) -> Body:
    """A whole body as the file that it will be. Raises ``Unusable``."""
    ndi_id = as_text(value["base"].get("id")) if isinstance(value.get("base"), dict) else ""
    document = Document(Summary("", ndi_id, class_name, ""), value)
    try:
        rendered = render(document, dataset_id)
    except ValueError:
        raise Unusable("it has a number that is too large") from None
    return Body(rendered.data, ndi_id, rendered.mtime_ns, rendered.files, unheard_of)


def _section(value: Json, key: str) -> Json:
    section = value.get(key)
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise Unusable(f"its {key} is not a JSON object")
    return section


def _no_constant(name: str) -> Any:
    raise Unusable(f'{name} is no JSON; NDI writes it as the text "__NDI__{name}__"')


def _unrepeated(pairs: list[tuple[str, Any]]) -> Json:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise Unusable(f"it has the key {key!r} twice")
            seen.add(key)
    return value


_DECODER = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_unrepeated)
