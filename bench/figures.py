"""Figures, their goals, and what a section found."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class BenchError(Exception):
    """A benchmark could not be run; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes:
        measured: value, n and spread, for people.
        beside: the floor or the peer, measured in the same run.
        met: None where no goal is set.

    """

    what: str
    measured: str
    goal: str = ""
    beside: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """What one section found.

    Attributes:
        lost: what is wrong with the jobs at the end; empty where every accepted job is accounted for.
        details: everything that was measured, for the JSON.

    """

    name: str
    figures: tuple[Figure, ...]
    details: dict[str, object]
    lost: tuple[str, ...] = ()


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0 to 1) of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def summary(values: Sequence[float]) -> dict[str, float]:
    """Return count, least, median, p90, p99 and most."""
    return {
        "n": len(values),
        "min": min(values),
        "p50": median(values),
        "p90": percentile(values, 0.9),
        "p99": percentile(values, 0.99),
        "max": max(values),
    }
