"""The search structures of ndiquery (5.11): what they mean for one body.

A field is a path with dots; it passes through arrays, so it may have several values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from ndicloudfs.sandbox.answers import Json, refused
from ndicloudfs.sandbox.bodies import as_list

# Class tests must use `isa` (5.11).
_UNSEARCHABLE = "document_class.class_name"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A document as a query sees it."""

    body: Json
    lineage: frozenset[str]


Condition: TypeAlias = Callable[[Candidate], bool]
_Operation: TypeAlias = Callable[[Json], Condition]


def condition(structure: object) -> Condition:
    """What ``structure``, an array whose entries are ANDed, asks for. Raises Refusal (400)."""
    if not isinstance(structure, list):
        raise refused(400, "searchstructure must be an array")
    parts = [_part(entry) for entry in structure]
    return lambda candidate: all(part(candidate) for part in parts)


def _part(entry: object) -> Condition:
    if not isinstance(entry, dict):
        raise refused(400, "searchstructure must be an array of objects")
    operation = str(entry.get("operation", ""))
    name = operation.removeprefix("~")
    if name not in _OPERATIONS:
        raise refused(400, f"Unknown operation: {operation}")
    if operation == "~or":
        raise refused(400, "Operation or cannot be negated")
    meant = _OPERATIONS[name](entry)
    return meant if name == operation else lambda candidate: not meant(candidate)


def _or(entry: Json) -> Condition:
    first, second = (condition(_array(entry.get(name))) for name in ("param1", "param2"))
    return lambda candidate: first(candidate) or second(candidate)


def _array(value: object) -> object:
    return [value] if isinstance(value, dict) else value


def _isa(entry: Json) -> Condition:
    name = entry.get("param1")
    return lambda candidate: name in candidate.lineage


def _depends_on(entry: Json) -> Condition:
    name = entry.get("param1")
    wanted = entry.get("param2")
    values = wanted if isinstance(wanted, list) else [wanted]

    def holds(candidate: Candidate) -> bool:
        return any(
            isinstance(item, dict)
            and (name == "*" or item.get("name") == name)
            and item.get("value") in values
            for item in as_list(candidate.body.get("depends_on"))
        )

    return holds


def _on_strings(test: Callable[[str, str], bool]) -> _Operation:
    def operation(entry: Json) -> Condition:
        wanted = _text(entry)
        return _some_value(entry, lambda value: isinstance(value, str) and test(value, wanted))

    return operation


def _regexp(entry: Json) -> Condition:
    try:
        pattern = re.compile(_text(entry), re.IGNORECASE)
    except re.error as error:
        raise refused(400, f"Invalid regular expression: {error}") from None
    return _some_value(
        entry, lambda value: isinstance(value, str) and pattern.search(value) is not None
    )


def _on_numbers(test: Callable[[float, float], bool]) -> _Operation:
    def operation(entry: Json) -> Condition:
        try:
            wanted = float(entry.get("param1", ""))
        except (TypeError, ValueError):
            raise refused(400, f"{entry.get('operation')} needs a number") from None
        return _some_value(entry, lambda value: _is_number(value) and test(value, wanted))

    return operation


def _hasfield(entry: Json) -> Condition:
    return _some_value(entry, lambda _: True, whole=True)


def _hasmember(entry: Json) -> Condition:
    wanted = entry.get("param1")
    return _some_value(entry, lambda value: type(value) is type(wanted) and value == wanted)


def _on_subfields(test: Callable[[str, str], bool]) -> _Operation:
    """Some element of an array of structs has all the sub-fields with the values."""

    def operation(entry: Json) -> Condition:
        names, wanted = as_list(entry.get("param1")), as_list(entry.get("param2"))
        if len(names) != len(wanted) or not all(isinstance(one, str) for one in (*names, *wanted)):
            raise refused(400, f"{entry.get('operation')} needs sub-fields and their values")
        pairs = [(str(name), str(value)) for name, value in zip(names, wanted, strict=True)]

        def fits(element: object) -> bool:
            return isinstance(element, dict) and all(
                any(
                    isinstance(found, str) and test(found, value)
                    for found in _values(element, name)
                )
                for name, value in pairs
            )

        return _some_value(entry, fits)

    return operation


def _some_value(entry: Json, test: Callable[[Any], bool], *, whole: bool = False) -> Condition:
    """Whether one of the values of the entry's field passes ``test``.

    An array counts as its elements, unless ``whole``.
    """
    field = entry.get("field")
    if not isinstance(field, str) or not field:
        raise refused(400, f"{entry.get('operation')} needs a field")
    if field == _UNSEARCHABLE:
        return lambda _: False

    def holds(candidate: Candidate) -> bool:
        for value in _values(candidate.body, field):
            if isinstance(value, list) and not whole:
                if any(map(test, value)):
                    return True
            elif test(value):
                return True
        return False

    return holds


def _values(value: object, field: str) -> Iterator[object]:
    """What stands at ``field`` in ``value``, through arrays, as MongoDB finds it."""
    if isinstance(value, list):
        for item in value:
            yield from _values(item, field)
        return
    name, _, rest = field.partition(".")
    if isinstance(value, dict) and name in value:
        if rest:
            yield from _values(value[name], rest)
        else:
            yield value[name]


def _text(entry: Json) -> str:
    wanted = entry.get("param1")
    if not isinstance(wanted, str):
        raise refused(400, f"{entry.get('operation')} needs a string")
    return wanted


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _contains(found: str, wanted: str) -> bool:
    return wanted.casefold() in found.casefold()


_OPERATIONS: dict[str, _Operation] = {
    "or": _or,
    "isa": _isa,
    "depends_on": _depends_on,
    "exact_string": _on_strings(lambda found, wanted: found == wanted),
    "exact_string_anycase": _on_strings(
        lambda found, wanted: found.casefold() == wanted.casefold()
    ),
    "contains_string": _on_strings(_contains),
    "regexp": _regexp,
    "exact_number": _on_numbers(lambda found, wanted: found == wanted),
    "lessthan": _on_numbers(lambda found, wanted: found < wanted),
    "lessthaneq": _on_numbers(lambda found, wanted: found <= wanted),
    "greaterthan": _on_numbers(lambda found, wanted: found > wanted),
    "greaterthaneq": _on_numbers(lambda found, wanted: found >= wanted),
    "hasfield": _hasfield,
    "hasmember": _hasmember,
    "hasanysubfield_contains_string": _on_subfields(_contains),
    "hasanysubfield_exact_string": _on_subfields(lambda found, wanted: found == wanted),
}
