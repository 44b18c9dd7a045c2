"""What a line finds out: a measured value, the value to reach, and whether it was reached."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value with the value to reach: ``at_most`` or ``at_least``.

    ``series`` and ``size`` (documents) place it in the plot.
    """

    name: str
    value: float
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    series: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of one line over all runs."""

    line: str
    figure: Figure
    runs: tuple[float, ...]

    @property
    def value(self) -> float:
        """The median of the runs."""
        return statistics.median(self.runs)

    @property
    def met(self) -> bool | None:
        """Whether the median reaches the target; None where there is none."""
        if self.figure.at_most is not None:
            return self.value <= self.figure.at_most
        return None if self.figure.at_least is None else self.value >= self.figure.at_least

    def as_json(self) -> dict[str, Any]:
        """What ``--json`` writes."""
        return {
            "line": self.line,
            "what": self.figure.name,
            "value": self.value,
            "unit": self.figure.unit,
            "runs": list(self.runs),
            "at_most": self.figure.at_most,
            "at_least": self.figure.at_least,
            "met": self.met,
            "series": self.figure.series,
            "size": self.figure.size,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Result:
        """What ``as_json`` gave."""
        keys = ("value", "unit", "at_most", "at_least", "series", "size")
        figure = Figure(found["what"], **{key: found[key] for key in keys})
        return cls(found["line"], figure, tuple(found["runs"]))


def collect(line: str, runs: Sequence[Sequence[Figure]]) -> list[Result]:
    """The results of a line that was run several times; every run has found the same figures."""
    return [
        Result(line, same[0], tuple(figure.value for figure in same))
        for same in zip(*runs, strict=True)
    ]
