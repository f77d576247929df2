"""Floors of replicas at certain times: a cron expression says when each begins, a duration how long it lasts.

What a change of the clocks does to an expression stands in `jobqueue_core.domain.cron`. Durations are elapsed
time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from jobqueue_core.domain.cron import cron_fault, fires_after
from jobqueue_operator.scaling.spec import InvalidScalingSpecError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, tzinfo

# Many queues share few schedules, and each is asked for the same hour again and again.
_next_beginning = lru_cache(maxsize=16_384)(fires_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A floor of replicas at certain times.

    Attributes:
        cron: When it begins: minute, hour, day of month, month and day of week, on the clocks of `zone`.
        zone: Time zone of `cron`.
        duration_seconds: How long it lasts from each beginning, in elapsed time.
        min_replicas: The floor while it lasts.

    Raises:
        InvalidScalingSpecError: The expression cannot be read or never fires, or a number is out of range.
    """

    cron: str
    zone: tzinfo
    duration_seconds: int
    min_replicas: int

    def __post_init__(self) -> None:
        """Check the rule of each field."""
        problems = [] if (fault := cron_fault(self.cron)) is None else [f"cron: {fault}, is {self.cron!r}"]
        if self.duration_seconds < 1:
            problems.append(f"durationSeconds: must be at least 1, is {self.duration_seconds}")
        if self.min_replicas < 0:
            problems.append(f"minReplicas: must be at least 0, is {self.min_replicas}")
        if problems:
            raise InvalidScalingSpecError(tuple(problems))

    def in_force(self, now: datetime) -> bool:
        """Tell whether it has begun and not ended; at its very end it has ended.

        Args:
            now: An aware time.
        """
        # What began after this has not ended yet.
        since = now.astimezone(UTC) - timedelta(seconds=self.duration_seconds)
        # Asked from the full hour on, the answer is the same for an hour and is kept.
        beginning = _next_beginning(self.cron, self.zone, since.replace(minute=0, second=0, microsecond=0))
        while beginning is not None and beginning <= since:
            beginning = _next_beginning(self.cron, self.zone, beginning)
        return beginning is not None and beginning <= now


def schedule_floor(schedules: Iterable[Schedule], now: datetime) -> int:
    """Return the replicas that the schedules in force ask for: the most of any of them, 0 without any.

    Args:
        schedules: All schedules of a queue.
        now: An aware time.
    """
    return max((each.min_replicas for each in schedules if each.in_force(now)), default=0)
