"""Tables: drawn for people at a terminal, aligned columns for pipes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from rich.console import Console as Terminal
from rich.table import Table as RichTable

from jobqueue_cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under their titles."""

    titles: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def lines(self) -> list[str]:
        """Return the rows in aligned columns, the last one as long as it is."""
        every = [self.titles, *self.rows]
        widths = [max(len(row[column]) for row in every) for column in range(len(self.titles) - 1)]
        return [
            "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
            for row in every
        ]


class Printer(Protocol):
    """Where a command shows what it found."""

    def say(self, line: str) -> None:
        """Print a line."""
        ...

    def table(self, table: Table) -> None:
        """Print a table."""
        ...


class PlainPrinter(Console):
    """For pipes and files."""

    def table(self, table: Table) -> None:
        """Print aligned columns."""
        for line in table.lines():
            self.say(line)


class TerminalPrinter(Console):
    """For people."""

    def table(self, table: Table) -> None:
        """Draw the table as wide as the terminal is."""
        drawn = RichTable(*table.titles)
        for row in table.rows:
            drawn.add_row(*row)
        Terminal(highlight=False, markup=False).print(drawn)


def printer() -> Printer:
    """Return what fits standard output."""
    return TerminalPrinter() if sys.stdout.isatty() else PlainPrinter()
