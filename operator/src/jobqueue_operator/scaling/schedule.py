"""Floors of replicas at certain times: a cron expression says when each begins, a duration how long it lasts.

A time that the clocks skip begins a floor at the first moment after the gap. A time that occurs twice begins
it the first time only. Where minutes or hours begin with `*`, the expression is a rhythm: it goes on through
the time that occurs twice, and makes up for nothing in the gap. Durations are elapsed time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError

from jobqueue_operator.scaling.spec import InvalidScalingSpecError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_FIELDS = 5


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
        problems = [] if (fault := _fault(self.cron)) is None else [f"cron: {fault}, is {self.cron!r}"]
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


@lru_cache(maxsize=4096)
def _fault(cron: str) -> str | None:
    """What is wrong with an expression; None: nothing."""
    if len(cron.split()) != _FIELDS:
        return "must be a cron expression of five fields"
    try:
        return None if next(CronSim(cron, _EPOCH), None) else "must be a time that comes"
    except CronSimError as error:
        return f"must be a cron expression of a time that comes ({str(error).lower()})"


@lru_cache(maxsize=16_384)
def _next_beginning(cron: str, zone: tzinfo, after: datetime) -> datetime | None:
    """The first moment after another at which an expression fires, both in UTC; None: it never does again."""
    for fires in CronSim(cron, after.astimezone(zone)):
        beginning = fires.astimezone(UTC)
        # Within an hour that comes twice the clocks say again what they have said before.
        if beginning > after:
            return beginning
    return None
