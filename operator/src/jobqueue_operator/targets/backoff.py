"""When a worker that died may be replaced."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True)
class CrashBackoff:
    """Exponential back-off over the workers of one command, immutable; times are monotonic seconds.

    Attributes:
        initial_seconds: Wait after the first crash; each crash of a replacement doubles it.
        max_seconds: The longest wait.
        stable_seconds: A worker that ran this long was sound: its end is a first crash again.
        crashes: Crashes in a row.
        retry_at: Before this moment nobody is started.
    """

    initial_seconds: float = 0.5
    max_seconds: float = 30.0
    stable_seconds: float = 30.0
    crashes: int = 0
    retry_at: float = -math.inf

    def may_start(self, now: float) -> bool:
        """Whether a worker may be started now."""
        return now >= self.retry_at

    def after_exit(self, *, started_at: float, now: float) -> CrashBackoff:
        """The state after a worker has ended unasked."""
        if started_at < self.retry_at:
            # It ran before the last crash: it may have died of the same cause, and is no failed repair.
            return self
        crashes = 1 if now - started_at >= self.stable_seconds else self.crashes + 1
        doublings = min(crashes - 1, _MOST_DOUBLINGS)
        delay = min(self.max_seconds, self.initial_seconds * 2**doublings)
        return replace(self, crashes=crashes, retry_at=now + delay)
