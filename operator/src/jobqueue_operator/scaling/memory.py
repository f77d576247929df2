"""What the policy carries from one decision to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The replicas that were wanted at one moment, within the bounds of the spec."""

    at: datetime
    replicas: int


@dataclass(frozen=True, slots=True)
class Memory:
    """State of the policy, immutable; a fresh one is right after a start.

    Attributes:
        recommendations: Oldest first, falling: an older one that is no higher than a newer one can
            never again be the highest of the window and is dropped, so there are at most as many
            as there are different numbers of replicas.
        empty_since: Since when queue and store have agreed, without a gap, that nothing is left.
        last_scale_time: When the number of replicas was last changed.
    """

    recommendations: tuple[Recommendation, ...] = ()
    empty_since: datetime | None = None
    last_scale_time: datetime | None = None

    def recommend(self, now: datetime, replicas: int, *, window_seconds: float) -> Memory:
        """Add a recommendation, drop what has left the window or cannot matter any more."""
        window = timedelta(seconds=window_seconds)
        kept = [old for old in self.recommendations if now - old.at < window and old.replicas > replicas]
        return replace(self, recommendations=(*kept, Recommendation(now, replicas)))

    def highest(self) -> int:
        """The highest recommendation within the window as of the last `recommend`."""
        return max((item.replicas for item in self.recommendations), default=0)

    def see_empty(self, now: datetime, *, empty: bool) -> Memory:
        """Note whether everything agrees that nothing is left to do."""
        if not empty:
            return replace(self, empty_since=None)
        return self if self.empty_since is not None else replace(self, empty_since=now)

    def empty_for(self, now: datetime) -> float | None:
        """Seconds for which everything has agreed that nothing is left; None if it does not."""
        return None if self.empty_since is None else (now - self.empty_since).total_seconds()

    def scaled(self, now: datetime) -> Memory:
        """Note a change of the number of replicas."""
        return replace(self, last_scale_time=now)

    def restarted(self) -> Memory:
        """Forget the observations, keep when it was last scaled."""
        return Memory(last_scale_time=self.last_scale_time)
