"""The files that a document names: attaching, replacing, renaming and detaching them in a body.

Section 7.3: a list of one may be a bare object, nothing may be ``[]``, ``{}`` or ``""``, and keys
that are not understood (file series, section 12 #945) are kept. Every change may be made twice
with the effect of once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ndicloudfs.cloud.values import Json, as_list, as_object, as_text
from ndicloudfs.writeback.entries import Entry, Kind

GENERIC_NAME = "generic_file.ext"  # the one name that every generic_file uses, section 7.6
_GENERIC = "generic_file"


def with_files(body: Json, edits: Iterable[Entry], dataset_id: str) -> Json:
    """``body`` after ``edits`` (attachments and detachments, in order); ``body`` is left alone."""
    for edit in edits:
        known = {edit.uid, *edit.replaces}
        if edit.kind is Kind.ATTACHMENT:
            body = _attached(body, edit, known, dataset_id)
        else:
            body = _detached(body, known)
    return body


def _attached(body: Json, edit: Entry, known: set[str], dataset_id: str) -> Json:
    infos = _infos(body)
    name = edit.name
    place = next((at for at, info in enumerate(infos) if _uids(info) & known), None)
    if _GENERIC in body and _is_generic(infos, place):
        body = {**body, _GENERIC: {**as_object(body[_GENERIC]), "filename": name}}
        name = GENERIC_NAME
    if place is None:
        infos.append({"name": name, "locations": [_location(edit.uid, dataset_id)]})
    else:
        infos[place] = _moved(infos[place], name, known, edit.uid, dataset_id)
    return _with_infos(body, infos, name)


def _detached(body: Json, known: set[str]) -> Json:
    infos = _infos(body)
    kept = [info for info in infos if not _uids(info) & known]
    return body if len(kept) == len(infos) else _with_infos(body, kept)


def _is_generic(infos: list[Json], place: int | None) -> bool:
    """Whether a file is the one that a ``generic_file`` is about."""
    if place is not None:
        return as_text(infos[place].get("name")) == GENERIC_NAME
    return all(as_text(info.get("name")) != GENERIC_NAME for info in infos)


def _infos(body: Json) -> list[Json]:
    files = body.get("files")
    # The legacy shape is a flat list, section 7.3.
    listed = files if isinstance(files, list) else as_list(as_object(files).get("file_info"))
    return [as_object(info) for info in listed]


def _uids(info: Json) -> set[str]:
    located = [as_text(as_object(one).get("uid")) for one in as_list(info.get("locations"))]
    return {uid for uid in (*located, as_text(info.get("uid"))) if uid}


def _location(uid: str, dataset_id: str) -> Json:
    return {
        "uid": uid,
        "location": f"ndic://{dataset_id}/{uid}",
        "location_type": "ndicloud",
        "ingest": 0,
        "delete_original": 0,
        "parameters": "",
    }


def _moved(info: Json, name: str, known: set[str], uid: str, dataset_id: str) -> Json:
    """``info`` under ``name`` and with ``uid`` as the place of its bytes."""
    moved = {**info, "name": name}
    if uid in _uids(info):
        return moved
    if as_text(info.get("uid")) in known:
        moved["uid"] = uid
        for key in ("url", "signedUrl", "location"):
            if key in moved:
                moved[key] = f"ndic://{dataset_id}/{uid}"
    locations = as_list(info.get("locations"))
    if locations:
        kept = [one for one in locations if as_text(as_object(one).get("uid")) not in known]
        changed = [_location(uid, dataset_id), *kept]
        bare = isinstance(info["locations"], dict) and len(changed) == 1
        moved["locations"] = changed[0] if bare else changed
    return moved


def _with_infos(body: Json, infos: list[Json], name: str = "") -> Json:
    files = body.get("files")
    if isinstance(files, list):
        return {**body, "files": infos}
    known = as_object(files)
    before = known.get("file_info")
    shown: Any = infos[0] if isinstance(before, dict) and len(infos) == 1 else infos
    allowed = as_list(known.get("file_list"))
    changed = {**known, "file_info": shown}
    if name and not any(_allows(as_text(one), name) for one in allowed):
        changed = {**known, "file_list": [*allowed, name], "file_info": shown}
    return {**body, "files": changed}


def _allows(pattern: str, name: str) -> bool:
    """Whether a name of ``file_list`` stands for ``name``: a ``#`` at its end is a number."""
    if pattern.endswith("#") and name.startswith(pattern[:-1]):
        return name[len(pattern) - 1 :].isdigit()
    return pattern == name
