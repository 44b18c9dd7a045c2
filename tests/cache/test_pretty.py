"""JSON in the form of the tree's files is what Python's ``json`` makes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ndicloudfs.cache import pretty

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def _of_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)


@given(_VALUES)
def test_every_value_is_written_as_json_writes_it(value: Any) -> None:
    assert pretty.dumps(value) == _of_json(value)


def test_hundreds_of_levels_and_what_is_no_json_are_written_as_json_writes_them() -> None:
    nested: Any = []
    for _ in range(300):
        nested = [{"a": nested}]
    for value in (nested, {"a": (1, 2), 3: None}):
        assert pretty.dumps(value) == _of_json(value)


@pytest.mark.parametrize("number", [float("inf"), float("-inf"), float("nan")])
def test_a_number_that_is_no_json_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        pretty.dumps({"a": [number]})
