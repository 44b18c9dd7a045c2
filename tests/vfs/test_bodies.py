"""What can be a document, and what is said of what cannot."""

from __future__ import annotations

import pytest

from ndicloudfs.vfs.bodies import Defaults, Unusable, completed, parse

_DEFAULTS = Defaults("subject", "", "session", now=1_764_000_000.25)


def test_a_text_may_begin_with_a_mark_of_its_order_of_bytes() -> None:
    assert parse(b"\xef\xbb\xbf" + ' {"a": "ü"} '.encode()) == {"a": "ü"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"a": 1', "not JSON: Expecting"),
        (b'{"a": 1} {"b": 2}', "not JSON: Extra data in line 1, column 10"),
        (b"", "not JSON: Expecting value in line 1, column 1"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"b": {"a": 1, "a": 2}}', "the key 'a' twice"),
        (b'{"a": "\xff"}', "not UTF-8 text: .* at byte 7"),
        (b"[1]", "not a JSON object"),
        (b'{"a": ' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(Unusable, match=reason):
        parse(data)


def test_only_what_is_lacking_is_filled_in() -> None:
    whole = {
        "base": {"id": "a", "session_id": "b", "datestamp": "c"},
        "document_class": {"class_name": "subject"},
    }
    assert completed(whole, _DEFAULTS) == whole
    base = completed({"base": {"id": "", "name": "x"}}, _DEFAULTS)["base"]
    assert base.pop("id")
    assert base == {
        "name": "x",
        "session_id": "session",
        "datestamp": "2025-11-24T16:00:00.250Z",
    }
