"""What the demo shows while it runs: a live table on a terminal, a line a second elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from rich.console import Console as Terminal
from rich.live import Live
from rich.table import Table

from jobqueue_cli.console import Console

if TYPE_CHECKING:
    from jobqueue_cli.snapshot import Snapshot

_LINE_SECONDS = 1.0


class Display(Protocol):
    """An output that also shows snapshots."""

    def say(self, line: str) -> None:
        """Tell people one thing."""
        ...

    def complain(self, line: str) -> None:
        """Tell people what went wrong."""
        ...

    def show(self, snapshot: Snapshot) -> None:
        """Show the newest numbers."""
        ...

    def settle(self) -> None:
        """Leave the last numbers where they are."""
        ...


class LiveDisplay:
    """A table at the bottom of the terminal, redrawn in place; what is said scrolls by above it."""

    def __init__(self, terminal: Terminal | None = None) -> None:
        self._terminal = terminal or Terminal(highlight=False)
        self._live: Live | None = None

    def say(self, line: str) -> None:
        """Print above the table."""
        self._terminal.print(line, markup=False, soft_wrap=True)

    def complain(self, line: str) -> None:
        """Print to standard error, the table being done with."""
        self.settle()
        Console().complain(line)

    def show(self, snapshot: Snapshot) -> None:
        """Redraw the table."""
        table = Table(expand=False)
        for name, _ in snapshot.cells():
            table.add_column(name, justify="right", min_width=len(name))
        table.add_row(*(value for _, value in snapshot.cells()))
        if self._live is None:
            self._live = Live(console=self._terminal, auto_refresh=False)
            self._live.start()
        self._live.update(table, refresh=True)

    def settle(self) -> None:
        """Leave the table where it is and give the cursor back."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class PlainDisplay(Console):
    """A line a second, while anything changes."""

    def __init__(self) -> None:
        self._newest = ""
        self._printed_at = 0.0

    def show(self, snapshot: Snapshot) -> None:
        """Print it, unless the last line is the same or less than a second old."""
        line, now = snapshot.line(), time.monotonic()
        if line != self._newest and now - self._printed_at >= _LINE_SECONDS:
            self._newest, self._printed_at = line, now
            self.say(line)

    def settle(self) -> None:
        """Nothing is left open."""
