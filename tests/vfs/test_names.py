"""Names: what people typed, shown as a file system can."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndicloudfs.vfs import names

IDS = [f"{number:024x}" for number in range(1, 6)]
any_name = st.text(max_size=400)


def test_a_sentence_stays_as_it_is() -> None:
    name = "Dataset: Vision in the ferret (2nd submission)"
    assert names.unique_names([(IDS[0], name)]) == {name: IDS[0]}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("LGN/V1", "LGN_V1"),
        ("two\nlines", "two_lines"),
        ("tab\there\0", "tab_here_"),
        ("cafe\u0301", "caf\u00e9"),
        (".hidden study", ".hidden study"),
    ],
)
def test_what_a_file_system_cannot_show_is_replaced(name: str, shown: str) -> None:
    assert names.unique_names([(IDS[0], name)]) == {shown: IDS[0]}


@pytest.mark.parametrize("name", ["", "/", "//", "..", ".", "   ", "\n\n", "___", IDS[3]])
def test_a_name_that_says_nothing_gets_the_id(name: str) -> None:
    ((shown, id_),) = names.unique_names([(IDS[0], name)]).items()
    assert shown.endswith(f"[{IDS[0]}]")
    assert id_ == IDS[0]


def test_the_smallest_id_keeps_a_name_that_several_have() -> None:
    rows = [(IDS[2], "same"), (IDS[0], "same"), (IDS[1], "same")]
    assert names.unique_names(rows) == {
        "same": IDS[0],
        f"same [{IDS[1]}]": IDS[1],
        f"same [{IDS[2]}]": IDS[2],
    }


def test_names_of_the_mount_itself_are_taken() -> None:
    assert names.unique_names([(IDS[0], "published")], {"published"}) == {
        f"published [{IDS[0]}]": IDS[0]
    }


def test_a_long_name_is_cut_between_characters() -> None:
    ((shown, _),) = names.unique_names([(IDS[0], "\u00fc" * 300)]).items()
    assert shown == "\u00fc" * 127
    two = names.unique_names([(IDS[0], "\u00fc" * 300), (IDS[1], "\u00fc" * 300)])
    assert all(len(name.encode()) <= 255 for name in two)
    assert len(two) == 2


@given(st.lists(any_name, max_size=5), st.randoms())
def test_every_row_gets_a_usable_name_whatever_the_order(texts: list[str], order: object) -> None:
    rows = [(IDS[number], text) for number, text in enumerate(texts)]
    shown = names.unique_names(rows, {"published"})
    assert sorted(shown.values()) == sorted(id_ for id_, _ in rows)
    assert names.unique_names(reversed(rows), {"published"}) == shown
    for name in shown:
        assert_usable(name)


@given(st.lists(st.tuples(any_name, any_name), max_size=5))
def test_files_of_one_document_get_usable_names(links: list[tuple[str, str]]) -> None:
    shown = names.unique_file_names(links)
    assert len(shown) == len(links)
    assert len(set(shown)) == len(links)
    for name in shown:
        assert_usable(name)


def test_a_repeated_file_name_gets_the_uid() -> None:
    links = [("data.bin", "u1"), ("data.bin", "u2"), ("data.bin", "u2")]
    assert names.unique_file_names(links) == ["data.bin", "data.bin [u2]", "data.bin [u2#2]"]


@given(any_name, st.sampled_from(IDS), st.booleans())
def test_the_stem_of_a_document_says_its_ndi_id_or_its_cloud_id(
    ndi_id: str, document_id: str, first: bool
) -> None:
    stem = names.document_stem(ndi_id, document_id, first=first)
    assert_usable(stem + names.JSON_SUFFIX)
    assert stem == ndi_id or names.mark_of(stem) == document_id


def test_classes_that_look_alike_stay_apart() -> None:
    shown = names.class_names(["a/b", "a_b", "subject", "", "."])
    assert shown["subject"] == "subject"
    assert shown["a_b"] == "a_b"
    assert shown["unknown"] == ""
    assert sorted(shown.values()) == ["", ".", "a/b", "a_b", "subject"]
    for name in shown:
        assert_usable(name)


def assert_usable(name: str) -> None:
    assert 0 < len(name.encode()) <= 255
    assert name not in (".", "..")
    assert not any(char == "/" or unicodedata.category(char) == "Cc" for char in name)
