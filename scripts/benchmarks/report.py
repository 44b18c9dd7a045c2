"""Results for a terminal, as JSON, and in docs/performance.md between its markers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import machine
from benchmarks.figures import Result

_VERDICTS = {True: "met", False: "NOT MET", None: ""}
_BEGIN = "<!-- results: written by `scripts/bench --write-docs` -->"
_END = "<!-- end of results -->"


@dataclass(frozen=True, slots=True)
class Report:
    """What a whole benchmark found; ``failures`` are lines that could not be measured."""

    machine: dict[str, str]
    network: dict[str, float]
    size: str
    seconds: float
    results: tuple[Result, ...]
    failures: dict[str, str]

    @property
    def met(self) -> bool:
        """Whether every line was measured and every target reached."""
        return not self.failures and all(result.met is not False for result in self.results)

    def as_json(self) -> str:
        """The text that ``--json`` writes and ``from_json`` reads."""
        content = {
            "machine": self.machine,
            "network": self.network,
            "size": self.size,
            "seconds": round(self.seconds, 1),
            "met": self.met,
            "results": [result.as_json() for result in self.results],
            "failures": self.failures,
        }
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Report:
        """What ``as_json`` gave."""
        found: dict[str, Any] = json.loads(text)
        keys = ("machine", "network", "size", "seconds", "failures")
        results = tuple(Result.from_json(one) for one in found["results"])
        return cls(**{key: found[key] for key in keys}, results=results)


def number(value: float) -> str:
    """A value to three digits, without an exponent."""
    if abs(value) >= 99.95 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:#.3g}"


def _target(result: Result) -> str:
    if result.figure.at_most is not None:
        return f"<= {number(result.figure.at_most)}"
    return "" if result.figure.at_least is None else f">= {number(result.figure.at_least)}"


def _spread(result: Result) -> str:
    low, high = number(min(result.runs)), number(max(result.runs))
    return "" if len(result.runs) == 1 or low == high else f"{low} - {high}"


def show(report: Report) -> None:
    """Print the table."""
    table = Table("line", "what", "measured", "runs", "to reach", "")
    for line, results in groupby(report.results, lambda result: result.line):
        for place, result in enumerate(results):
            table.add_row(
                "" if place else line,
                escape(result.figure.name),
                f"{number(result.value)} {result.figure.unit}",
                _spread(result),
                _target(result),
                _VERDICTS[result.met],
            )
    console = Console(width=130)
    console.print(table)
    for line, reason in report.failures.items():
        console.print(f"{line}: could not be measured: {reason}", markup=False)


def write_docs(report: Report, page: Path, plot: Path) -> None:
    """Put the results between the markers of ``page``; ``plot`` lies beside it."""
    before, begin, rest = page.read_text().partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise SystemExit(f"bench: {page} has no markers for the results")
    lines = "\n".join(_markdown(report, plot.name))
    page.write_text(f"{before}{begin}\n\n{lines}\n\n{end}{after}")


def _markdown(report: Report, plot: str) -> Iterator[str]:
    runs = max((len(result.runs) for result in report.results), default=0)
    yield f"Sizes: {report.size}. Runs: {runs}, of which the median is shown."
    yield f"The whole took {report.seconds / 60:.0f} minutes."
    if float(report.machine[machine.LOAD]) >= 1:
        yield "The machine was busy with other work: calls, bytes and ratios hold, but seconds and"
        yield "rates are worse than on a quiet one."
    yield ""
    yield from _table(("Machine", ""), report.machine.items())
    yield ""
    yield f"![Time and memory against the number of documents]({plot})"
    for line, results in groupby(report.results, lambda result: result.line):
        yield from ("", f"### `{line}`", "")
        yield from _table(
            ("What", "Measured", "Runs", "To reach", ""), (_cells(one) for one in results)
        )
    for line, reason in report.failures.items():
        yield from ("", f"`{line}` could not be measured: {reason}")


def _cells(result: Result) -> tuple[str, ...]:
    name = result.figure.name
    if name.startswith(" "):
        name = f"- {name.strip()}"
    measured = f"{number(result.value)} {result.figure.unit}"
    verdict = {True: "met", False: "**not met**", None: ""}[result.met]
    return name, measured, _spread(result), _target(result), verdict


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|---" * len(head) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
