"""How often a process that dies is started again."""

from __future__ import annotations

from dataclasses import dataclass, replace

_DOUBLING = 2.0


@dataclass(frozen=True, slots=True)
class RestartBudget:
    """Immutable; times are monotonic seconds.

    Attributes:
        most: Restarts within the window; one more is none.
        window_seconds: Length of the window.
        initial_seconds: Wait before the first restart of a window; each further one doubles it.
        restarts: When the restarts of the window were.
    """

    most: int = 3
    window_seconds: float = 60.0
    initial_seconds: float = 0.25
    restarts: tuple[float, ...] = ()

    def after_death(self, now: float) -> tuple[RestartBudget, float] | None:
        """Return the budget that is left and the seconds to wait; None when it is used up."""
        recent = tuple(at for at in self.restarts if now - at < self.window_seconds)
        if len(recent) >= self.most:
            return None
        return replace(self, restarts=(*recent, now)), self.initial_seconds * _DOUBLING ** len(recent)
