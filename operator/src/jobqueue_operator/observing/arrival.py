"""How many jobs arrive, from what the store and the workers tell."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_HALF_LIFE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ArrivalMeter:
    """An exponentially weighted rate, immutable.

    What arrived between two readings is what the unfinished jobs grew by and what was finished meanwhile.

    Attributes:
        per_second: The rate; None before the second reading.
        at: Monotonic seconds of the newest reading.
        unfinished: Jobs of the store that were not finished then.
        finished: Jobs that the workers had finished by then, ever growing.
    """

    per_second: float | None = None
    at: float | None = None
    unfinished: int = 0
    finished: int = 0

    def read(self, at: float, *, unfinished: int, finished: int) -> ArrivalMeter:
        """Return the meter after another reading."""
        if self.at is None or at <= self.at:
            return replace(self, at=at, unfinished=unfinished, finished=finished)
        elapsed = at - self.at
        arrived = max(0, unfinished - self.unfinished + finished - self.finished)
        rate = arrived / elapsed
        if self.per_second is not None:
            kept = math.exp2(-elapsed / _HALF_LIFE_SECONDS)
            rate = kept * self.per_second + (1 - kept) * rate
        return ArrivalMeter(rate, at, unfinished, finished)
