"""Rows of text: folded to the width of a terminal, and elsewhere one line for each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

Row: TypeAlias = Sequence[str]


def show(rows: Iterable[Row], header: Row = ()) -> None:
    """Print ``rows``, all of as many columns, on standard output."""
    if on_terminal():
        Console().print(folded(rows, header))
        return
    for line in lines([header, *rows] if header else rows):
        click.echo(line)


def on_terminal() -> bool:
    """Whether standard output is a terminal, which has a width."""
    return sys.stdout.isatty()


def folded(rows: Iterable[Row], header: Row = ()) -> Table:
    """A table as wide as the terminal that shows it."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, show_header=bool(header))
    rows = list(rows)
    for number in range(max(map(len, rows), default=len(header))):
        style = "" if number else "bold"
        title = header[number] if header else ""
        table.add_column(title, style=style, no_wrap=not number, overflow="fold")
    for row in rows:
        # Names and errors come from elsewhere: nothing in them is markup.
        table.add_row(*map(Text, row))
    return table


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """A line for each row, however long, with its columns below each other."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()
