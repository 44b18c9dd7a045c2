"""The files that a document names, in every shape that documents have them."""

from __future__ import annotations

from typing import Any

import pytest

from ndicloudfs.writeback import Entry, Kind
from ndicloudfs.writeback.attachments import with_files

DATASET = "65f0c0ffee0000000000d001"


def edit(kind: Kind, uid: str, name: str = "", *replaces: str) -> Entry:
    return Entry(DATASET, "", "c", "n", name=name, kind=kind, uid=uid, replaces=replaces)


def attach(uid: str, name: str, *replaces: str) -> Entry:
    return edit(Kind.ATTACHMENT, uid, name, *replaces)


def detach(uid: str, *replaces: str) -> Entry:
    return edit(Kind.DETACHMENT, uid, "", *replaces)


def info(name: str, uid: str) -> dict[str, Any]:
    return {"name": name, "locations": {"uid": uid, "location": "https://x", "ingest": 1}}


def shown(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and uid of each file."""
    infos = body["files"]["file_info"]
    return [
        (item["name"], place["uid"])
        for item in (infos if isinstance(infos, list) else [infos])
        for place in (
            item["locations"] if isinstance(item["locations"], list) else [item["locations"]]
        )
    ]


@pytest.mark.parametrize("files", [None, [], {}, ""])
def test_nothing_in_any_shape_takes_a_first_file(files: object) -> None:
    body = {} if files is None else {"files": files}
    if files == []:  # the legacy shape is a flat list
        assert with_files(body, [attach("u", "a")], DATASET)["files"][0]["name"] == "a"
        return
    assert shown(with_files(body, [attach("u", "a")], DATASET)) == [("a", "u")]


def test_a_bare_object_stays_one_and_keeps_what_is_not_understood() -> None:
    body = {"files": {"file_info": {**info("a", "old"), "odd": 1}, "series_info": {"count": 2}}}
    changed = with_files(body, [attach("new", "a", "old")], DATASET)
    assert changed["files"]["file_info"]["odd"] == 1
    assert changed["files"]["series_info"] == {"count": 2}
    assert changed["files"]["file_info"]["locations"]["uid"] == "new"
    assert changed["files"]["file_info"]["locations"]["location"] == f"ndic://{DATASET}/new"
    assert body["files"]["file_info"]["locations"]["uid"] == "old"  # the original is left alone


def test_every_edit_may_be_made_twice() -> None:
    edits = [attach("u2", "b"), attach("u3", "c", "u1"), detach("u4"), attach("u2", "renamed")]
    body = {"files": {"file_list": "a", "file_info": [info("a", "u1"), info("d", "u4")]}}
    once = with_files(body, edits, DATASET)
    assert shown(once) == [("c", "u3"), ("renamed", "u2")]
    assert with_files(once, edits, DATASET) == once


def test_names_that_the_class_allows_are_not_listed_again() -> None:
    body = {"files": {"file_list": ["seg_#", "x"], "file_info": []}}
    edits = [attach("u1", "seg_12"), attach("u2", "x"), attach("u3", "seg_a")]
    assert with_files(body, edits, DATASET)["files"]["file_list"] == ["seg_#", "x", "seg_a"]


def test_the_real_name_of_a_generic_file_is_in_its_block() -> None:
    body = {"generic_file": {"filename": "old.pdf"}, "files": {"file_info": []}}
    changed = with_files(body, [attach("u", "new.pdf")], DATASET)
    assert changed["generic_file"]["filename"] == "new.pdf"
    assert shown(changed) == [("generic_file.ext", "u")]
    again = with_files(changed, [attach("u2", "newer.pdf", "u")], DATASET)
    assert again["generic_file"]["filename"] == "newer.pdf"
    assert shown(again) == [("generic_file.ext", "u2")]


def test_the_legacy_list_is_edited_as_it_is() -> None:
    body = {"files": [{"filename": "a", "uid": "u1", "url": "https://x?sig"}]}
    changed = with_files(body, [attach("u2", "a", "u1"), attach("u3", "b")], DATASET)
    assert changed["files"][0]["uid"] == "u2"
    assert changed["files"][0]["url"] == f"ndic://{DATASET}/u2"
    assert with_files(changed, [detach("u2"), detach("u3")], DATASET) == {"files": []}
