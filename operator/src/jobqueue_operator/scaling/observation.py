"""What was seen of one queue at one moment."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Unknown:
    """A reading that failed. It is no number, above all not zero."""

    reason: str


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """The three approximate counts of an SQS queue.

    Attributes:
        visible: `ApproximateNumberOfMessages`: ready to be received.
        in_flight: `ApproximateNumberOfMessagesNotVisible`: received and neither deleted nor timed
            out, which covers running jobs and retries that wait for their backoff.
        delayed: `ApproximateNumberOfMessagesDelayed`: not due yet; SQS counts a message visible
            from the moment it is due.
    """

    visible: int
    in_flight: int = 0
    delayed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be a count."""
        for name in ("visible", "in_flight", "delayed"):
            _at_least_zero(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One reading of a queue, its store and its workers.

    Attributes:
        current: Replicas asked for at present.
        ready: Replicas that run at present.
        queue: Counts of the SQS queue.
        store_waiting: Jobs in the store that are due and not finished, running ones included;
            waiting retries and scheduled jobs are not due.
        busy_worker_ids: Workers whose fresh heartbeat shows a job in hand. Leave out workers that
            are already ending.
        busy_slots: Jobs in hand over all workers with a fresh heartbeat.
        oldest_age_seconds: Age of the oldest job that is due and waits.
        service_seconds: Measured mean duration of one attempt; None before the first.
        arrival_per_second: Measured rate of new jobs; None when not measured.
        circuit_open: The external service is failing, so the workers' circuit breaker is open.
        schedule_floor: Replicas that the schedules in force ask for, evaluated elsewhere.

    Raises:
        ValueError: A number that cannot be: negative, infinite or not a number.
    """

    current: int
    ready: int = 0
    queue: QueueCounts | Unknown
    store_waiting: int | Unknown
    busy_worker_ids: frozenset[str] = field(default_factory=frozenset)
    busy_slots: int = 0
    oldest_age_seconds: float | None = None
    service_seconds: float | None = None
    arrival_per_second: float | None = None
    circuit_open: bool = False
    schedule_floor: int = 0

    def __post_init__(self) -> None:
        """Refuse readings that cannot be true."""
        for name in ("current", "ready", "busy_slots", "schedule_floor"):
            _at_least_zero(name, getattr(self, name))
        if not isinstance(self.store_waiting, Unknown):
            _at_least_zero("store_waiting", self.store_waiting)
        for name in ("oldest_age_seconds", "service_seconds", "arrival_per_second"):
            value = getattr(self, name)
            if value is not None:
                _at_least_zero(name, value)

    @classmethod
    def unknown(
        cls, reason: str, *, current: int = 0, ready: int = 0, schedule_floor: int = 0
    ) -> Observation:
        """An observation of which nothing but the replicas and the schedule is known."""
        return cls(
            current=current,
            ready=ready,
            queue=Unknown(reason),
            store_waiting=Unknown(reason),
            schedule_floor=schedule_floor,
        )

    @property
    def busy_workers(self) -> int:
        """Number of workers with a job in hand."""
        return len(self.busy_worker_ids)

    @property
    def unknown_reason(self) -> str | None:
        """Why this observation cannot be decided on; None when everything needed is known."""
        reasons = [
            reading.reason for reading in (self.queue, self.store_waiting) if isinstance(reading, Unknown)
        ]
        return "; ".join(dict.fromkeys(reasons)) if reasons else None


def _at_least_zero(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0):
        msg = f"{name}: must be at least 0, is {value}"
        raise ValueError(msg)
