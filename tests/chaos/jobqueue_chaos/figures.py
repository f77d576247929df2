"""What a promised time is, what was measured, and whether it is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from jobqueue_chaos.account import Account


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number and the most that it may be."""

    name: str
    value: float
    most: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether it is within its bound."""
        return self.value <= self.most

    def shown(self) -> str:
        """Return the number with its unit."""
        return f"{self.value:.2f} {self.unit}" if self.unit else f"{self.value:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came of a scenario: figures, and the account of its jobs."""

    name: str
    figures: tuple[Figure, ...]
    account: Account
    seconds: float
    evidence: Path | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def is_clean(self) -> bool:
        """Whether every figure is met and every job accounted for."""
        return self.account.is_clean and all(figure.is_met for figure in self.figures)

    def as_json(self) -> dict[str, Any]:
        """Return what the JSON file says."""
        return {
            "seconds": self.seconds,
            "figures": {
                one.name: {"value": one.value, "most": one.most, "unit": one.unit} for one in self.figures
            },
            "account": {check.name: list(check.offenders) for check in self.account.faults},
            "notes": self.notes,
        }


def show_figures(console: Console, measured: Measured) -> None:
    """Print the figures, and what of the account is off."""
    table = Table(title=measured.name, title_justify="left", show_edge=False, pad_edge=False)
    for column in ("what", "measured", "at most", ""):
        table.add_column(column, justify="left" if column in ("what", "") else "right")
    for figure in measured.figures:
        most = f"{figure.most:g} {figure.unit}".strip()
        table.add_row(figure.name, figure.shown(), most, "met" if figure.is_met else "[bold red]not met[/]")
    console.print(table)
    for check in measured.account.faults:
        console.print(f"[bold red]{check.name}[/]: {check.named()}", highlight=False)
    for note in measured.notes:
        console.print(f"note: {note}")
    console.print()
