"""Whether the external service fails, from what the workers tell of their attempts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

WINDOW_SECONDS = 30.0
"""Attempts of this time are judged together."""
LEAST_ATTEMPTS = 10
"""Fewer attempts in the window say nothing new."""
FAILING_SHARE = 0.8
"""Of the attempts that could be tried again, so many are to be when the service is failing."""
FORGET_SECONDS = 60.0
"""When nothing has been tried for so long, nobody knows that it still fails."""


class _Reading(NamedTuple):
    at: float
    attempts: int
    retries: int


@dataclass(frozen=True, slots=True)
class FailureMeter:
    """Judges a window of readings; immutable.

    An attempt to be tried again is one that failed for a reason that may pass: time-outs, refused
    connections, 5xx, 429. Jobs that fail for good for a reason of their own say nothing of the service.

    The last attempt of a job is not tried again whatever becomes of it, so that of `m` attempts a
    job no more than `(m - 1) / m` can be, and a failing service is one at 80 % of that. With one
    attempt a job it cannot be seen at all.

    Attributes:
        failing: The external service is failing: more workers would only add to its load.
        readings: Those of the window and the newest one before it, the oldest first.
        tried_at: When attempts were last seen to end.
    """

    failing: bool = False
    readings: tuple[_Reading, ...] = ()
    tried_at: float | None = None

    def read(self, at: float, *, attempts: int, retries: int, max_attempts: int) -> FailureMeter:
        """Return the meter after another reading.

        Args:
            at: Monotonic seconds.
            attempts: Attempts ended so far, ever growing.
            retries: Of those, how many were to be tried again.
            max_attempts: Attempts that a job has.
        """
        newest = _Reading(at, attempts, retries)
        if not self.readings:
            return replace(self, readings=(newest,), tried_at=at)
        tried_at = at if attempts > self.readings[-1].attempts else self.tried_at
        # The newest reading outside of the window is where the window begins.
        begin = max(
            (index for index, old in enumerate(self.readings) if at - old.at >= WINDOW_SECONDS), default=0
        )
        readings = (*self.readings[begin:], newest)
        idle = tried_at is None or at - tried_at >= FORGET_SECONDS
        ended = attempts - readings[0].attempts
        failing = not idle and self._judge(ended, retries - readings[0].retries, max_attempts)
        return FailureMeter(failing, readings, tried_at)

    def _judge(self, ended: int, retried: int, max_attempts: int) -> bool:
        if max_attempts <= 1:
            return False
        if ended == 0:
            return self.failing
        share = FAILING_SHARE * (max_attempts - 1) / max_attempts
        is_bad = retried >= share * ended
        # A few attempts that go well are reason enough to stop holding back, not a few that fail to begin.
        return is_bad and (self.failing or ended >= LEAST_ATTEMPTS)
