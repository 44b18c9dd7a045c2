"""``scripts/bench``: run the lines, print measured against target, as a table and as JSON."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError
from types import FrameType

from rich.console import Console

from benchmarks import datasets, machine, plot, report
from benchmarks.figures import Figure, collect
from benchmarks.lines import LINES
from benchmarks.processes import Failed
from benchmarks.report import Report
from benchmarks.world import LATENCIES, SIZES, World, world
from ndicloudfs.cloud.errors import CloudError
from ndicloudfs.mount.mountpoint import MountError

_DOCS = Path(__file__).resolve().parents[2] / "docs"
_PAGE, _PLOT = _DOCS / "performance.md", _DOCS / "performance.svg"
_INTERRUPTED = 130
_LONG = 60.0  # s: a line that takes longer is run once, or all would take more than 15 minutes
_NOT_MEASURED = (Failed, ImportError, OSError, SubprocessError, CloudError, MountError)

console = Console(stderr=True)


def main() -> int:
    """The exit code: 0 if every target was reached, 1 if not, 130 when interrupted."""
    parser = _parser()
    arguments = parser.parse_args()
    unknown = set(arguments.lines) - set(LINES)
    if unknown:
        parser.error(f"no line {', '.join(sorted(unknown))}; there are {', '.join(LINES)}")
    try:
        with _interruptible():
            found = _found(arguments)
    except Failed as failure:
        console.print(f"bench: {failure}", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; everything that was started has ended")
        return _INTERRUPTED
    report.show(found)
    if arguments.json:
        arguments.json.write_text(found.as_json())
    if arguments.plot:
        plot.draw(found.results, arguments.plot)
    if arguments.write_docs:
        plot.draw(found.results, _PLOT)
        report.write_docs(found, _PAGE, _PLOT)
    return 0 if found.met else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure what a user waits for, against the figures to reach and against "
        "baselines of the same run. The exit code is 1 if a target is missed.",
        epilog=f"Lines: {', '.join(LINES)}.",
    )
    parser.add_argument("lines", nargs="*", metavar="LINE", help="those to run  [default: all]")
    parser.add_argument("--size", choices=SIZES, default="full", help="of datasets and files")
    parser.add_argument(
        "--quick", dest="size", action="store_const", const="quick", help="--size quick, one run"
    )
    parser.add_argument("--runs", type=int, help="how often each line is run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument(
        *("--plot",),
        type=Path,
        nargs="?",
        const=_PLOT,
        metavar="FILE",
        help=f"draw the line scale  [{_PLOT.name}]",
    )
    parser.add_argument(
        "--write-docs", action="store_true", help=f"put results and plot into {_PAGE.name}"
    )
    parser.add_argument(
        *("--from",),
        dest="earlier",
        type=Path,
        metavar="FILE",
        help="measure nothing: take the results that --json wrote",
    )
    return parser


def _found(arguments: argparse.Namespace) -> Report:
    if arguments.earlier:
        return Report.from_json(arguments.earlier.read_text())
    lines = arguments.lines or list(LINES)
    if (arguments.plot or arguments.write_docs) and "scale" not in lines:
        lines.append("scale")
    sizes = SIZES[arguments.size]
    start = time.monotonic()
    found: dict[str, list[list[Figure]]] = {}
    failures: dict[str, str] = {}
    took: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="ndicloudfs-bench-") as name:
        folder = Path(name)
        facts = machine.facts(folder)
        with world(folder, sizes) as made:
            console.print("making datasets")
            datasets.make(made, {need for line in lines for need in LINES[line].needs})
            for run in range(arguments.runs or sizes.runs):
                for line in lines:
                    if run and (LINES[line].once or took[line] > _LONG):
                        continue
                    began = time.monotonic()
                    figures = _run(made, line, failures)
                    took[line] = time.monotonic() - began
                    console.print(f"run {run + 1}: {line}, {took[line]:.0f} s")
                    if figures is not None:
                        found.setdefault(line, []).append(figures)
    results = (result for line, runs in found.items() for result in collect(line, runs))
    return Report(
        facts, LATENCIES, arguments.size, time.monotonic() - start, tuple(results), failures
    )


def _run(made: World, line: str, failures: dict[str, str]) -> list[Figure] | None:
    """The figures of one run, or None and an entry in ``failures``: the other lines go on."""
    try:
        return list(LINES[line].run(made))
    except _NOT_MEASURED as error:
        failures[line] = str(error)
        console.print(f"{line}: {error}", markup=False)
        return None


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the work once; what they say while it cleans up is not heard."""

    def stop(*_: int | FrameType | None) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    yield


if __name__ == "__main__":
    sys.exit(main())
