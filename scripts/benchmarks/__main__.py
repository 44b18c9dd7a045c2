"""``scripts/bench``: run the lines, print measured against target, as a table and as JSON."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.lines import LINES, Figure
from benchmarks.world import FULL, QUICK, world

VERDICTS = {True: "met", False: "NOT MET", None: ""}


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"of: {', '.join(LINES)}")
    parser.add_argument("--quick", action="store_true", help="small datasets, one run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    unknown = set(arguments.lines) - set(LINES)
    if unknown:
        parser.error(f"no line {', '.join(sorted(unknown))}; there are {', '.join(LINES)}")
    sizes = QUICK if arguments.quick else FULL
    chosen = arguments.lines or list(LINES)
    console = Console(stderr=True)
    runs: list[list[Figure]] = []
    with tempfile.TemporaryDirectory(prefix="ndicloudfs-bench-") as folder:
        console.print(f"making datasets: {sizes.documents} documents and two large files")
        with world(Path(folder), sizes) as made:
            for run in range(sizes.runs):
                found: list[Figure] = []
                for name in chosen:
                    console.print(f"run {run + 1} of {sizes.runs}: {name}")
                    found += LINES[name](made)
                runs.append(found)
    figures = [_median(list(same)) for same in zip(*runs, strict=True)]
    _show(figures)
    if arguments.json:
        arguments.json.write_text(json.dumps([_as_json(f) for f in figures], indent=2) + "\n")
    return 1 if any(figure.met is False for figure in figures) else 0


def _median(figures: list[Figure]) -> Figure:
    return replace(figures[0], value=statistics.median(figure.value for figure in figures))


def _show(figures: list[Figure]) -> None:
    table = Table("what", "measured", "to reach", "")
    for figure in figures:
        target = ""
        if figure.at_most is not None:
            target = f"<= {figure.at_most:,.4g}"
        elif figure.at_least is not None:
            target = f">= {figure.at_least:,.6g}"
        table.add_row(
            figure.name, f"{figure.value:,.4g} {figure.unit}", target, VERDICTS[figure.met]
        )
    Console(width=110).print(table)


def _as_json(figure: Figure) -> dict[str, object]:
    return {
        "what": figure.name.strip(),
        "value": figure.value,
        "unit": figure.unit,
        "at_most": figure.at_most,
        "at_least": figure.at_least,
        "met": figure.met,
    }


if __name__ == "__main__":
    sys.exit(main())
