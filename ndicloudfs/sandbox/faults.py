"""Faults on demand: which route fails, how often, and in which way.

``FaultTable`` keeps what was ordered and hands it out; ``Gate`` (gate.py) carries it out.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

from ndicloudfs.sandbox.answers import Json

KINDS = (
    "status",
    "drop",
    "truncate",
    "hang",
    "hollow",
    "stale",
    "garbage",
    "no_range",
    "short",
    "after",
    "omit",
)
_PARAMETER = re.compile(r"\{[^}]*\}")


class BadFault(ValueError):
    """A fault that cannot be ordered."""


@dataclass(slots=True)
class Fault:
    """A fault of ``kind`` on ``route``: after ``skip`` requests for ``count`` requests.

    ``options``: ``status`` and ``body`` of a status, ``bytes`` of truncate and short, ``seconds``
    of hang and stale, ``documents`` of omit.
    """

    number: int
    route: str
    kind: str
    count: int
    skip: int
    options: Json
    cleared: asyncio.Event = field(default_factory=asyncio.Event)

    def as_json(self) -> Json:
        """As the admin call shows it; ``count`` is what is left."""
        shown: Json = {"number": self.number, "route": self.route, "kind": self.kind}
        return {**shown, "count": self.count, "skip": self.skip, **self.options}

    def number_of(self, option: str, default: float) -> float:
        """A numeric option."""
        return float(self.options.get(option, default))


class FaultTable:
    """The faults that are ordered, first come first served."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ordered = 0

    def order(self, request: dict[str, Any]) -> Fault:
        """Add the fault that ``request`` describes. Raises BadFault."""
        options = dict(request)
        route, kind = options.pop("route", None), options.pop("kind", None)
        count, skip = options.pop("count", 1), options.pop("skip", 0)
        if not isinstance(route, str) or kind not in KINDS:
            raise BadFault(f"a fault has a route and a kind, one of {', '.join(KINDS)}")
        if not isinstance(count, int) or not isinstance(skip, int):
            raise BadFault("count and skip are integers")
        self._ordered += 1
        fault = Fault(self._ordered, route, str(kind), count, skip, options)
        self._faults.append(fault)
        return fault

    def take(self, route: str) -> Fault | None:
        """The fault that the request which has just arrived on ``route`` is to suffer."""
        for fault in self._faults:
            if fault.count == 0 or not _same(fault.route, route):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.count > 0:
                fault.count -= 1
            return fault
        return None

    def shown(self) -> list[Json]:
        """All faults that were ordered and not cleared."""
        return [fault.as_json() for fault in self._faults]

    def clear(self) -> None:
        """Forget all faults; requests that hang go on."""
        for fault in self._faults:
            fault.cleared.set()
        self._faults.clear()


def _same(ordered: str, route: str) -> bool:
    """Whether the templates are the same, whatever the parameters are called."""
    return ordered == "*" or _PARAMETER.sub("{}", ordered) == _PARAMETER.sub("{}", route)
