"""From readings to an observation, with what has to be remembered between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_operator.observing.arrival import ArrivalMeter
from jobqueue_operator.observing.failure_meter import FailureMeter
from jobqueue_operator.observing.tally import Tally
from jobqueue_operator.scaling import Observation, QueueCounts, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobqueue_core.domain.heartbeat import Heartbeat
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.store import Backlog

UNFINISHED_LIMIT = 100_000
"""The store counts unfinished jobs up to here; the queue's own count knows no limit."""
STALE_HEARTBEATS = 3
"""A worker that has missed this many heartbeats is no longer counted as one."""


class Workload:
    """What one queue and its workers have to do, and how they get on.

    Args:
        clock: Time.
        max_attempts: Attempts that a job has.

    Attributes:
        tally: What the workers have done.
    """

    def __init__(self, clock: Clock, *, max_attempts: int) -> None:
        self._clock = clock
        self._arrival = ArrivalMeter()
        self._failures = FailureMeter()
        self.max_attempts = max_attempts
        self.tally = Tally()

    def observation(
        self,
        queue: QueueCounts | Unknown,
        backlog: Backlog | Unknown,
        heartbeats: Iterable[Heartbeat] | Unknown,
        *,
        is_stopped: bool | None = None,
    ) -> Observation:
        """Return what can be decided on, without replicas, which the control loop knows.

        Whether the external service fails is what the workers have agreed on (`is_stopped`: they begin no
        calls); where that is not known, it is judged by their attempts.

        Without heartbeats it is not known who is busy, so what is left to do is not known either.
        Rates go on from the last reading that was whole.
        """
        if isinstance(heartbeats, Unknown):
            return Observation(
                current=0, queue=queue, store_waiting=heartbeats, circuit_open=self._is_failing(is_stopped)
            )
        tally, at = self.tally, self._clock.monotonic()
        tally.read(heartbeats)
        self._failures = self._failures.read(
            at, attempts=tally.attempts, retries=tally.retries, max_attempts=self.max_attempts
        )
        waiting = backlog if isinstance(backlog, Unknown) else backlog.unfinished
        if isinstance(waiting, int) and waiting < UNFINISHED_LIMIT:
            self._arrival = self._arrival.read(at, unfinished=waiting, finished=tally.finished)
        return Observation(
            current=0,
            queue=queue,
            store_waiting=waiting,
            busy_worker_ids=tally.busy_workers,
            busy_slots=tally.busy,
            oldest_age_seconds=self._age(backlog),
            service_seconds=tally.service_seconds,
            arrival_per_second=self._arrival.per_second,
            circuit_open=self._is_failing(is_stopped),
        )

    def _is_failing(self, is_stopped: bool | None) -> bool:  # noqa: FBT001 -- a reading, no switch
        return self._failures.failing if is_stopped is None else is_stopped

    def _age(self, backlog: Backlog | Unknown) -> float | None:
        if isinstance(backlog, Unknown) or backlog.oldest_waiting is None:
            return None
        return max(0.0, (self._clock.now() - backlog.oldest_waiting).total_seconds())
