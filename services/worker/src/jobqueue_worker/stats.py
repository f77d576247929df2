"""What a worker counts of its own work."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobqueue_core.domain.heartbeat import Heartbeat
from jobqueue_core.domain.job import AttemptOutcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.outcome import Outcome
    from jobqueue_core.telemetry.metrics import Metrics

# Weight of the newest attempt in the mean: about the last twenty count.
_WEIGHT = 0.1


class WorkerStats:
    """Counts for the heartbeat, the metrics, and for how much is received ahead."""

    def __init__(
        self, *, worker: str, queue: str, slots: int, metrics: Metrics, started_at: datetime
    ) -> None:
        """Begin at nothing."""
        self.worker = worker
        self._queue = queue
        self._slots = slots
        self._metrics = metrics
        self._started_at = started_at
        self._attempts = 0
        self._retries = 0
        self._finished = 0
        self.busy = 0
        self.service_seconds: float | None = None
        self._processing = metrics.processing.labels(queue)
        self._wait = metrics.queue_wait.labels(queue)
        self._latency = metrics.latency.labels(queue)

    @contextmanager
    def busy_with(self, job: Job) -> Iterator[None]:
        """Count a begun attempt, and its slot as busy until the service has answered."""
        if job.attempts == 1 and job.started_at is not None:
            waited = (job.started_at - job.run_at).total_seconds()
            self._wait.observe(max(0.0, waited))
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    def recorded(self, job: Job, outcome: Outcome, seconds: float, now: datetime) -> None:
        """Count an attempt whose outcome the store has taken; `job` is as it now stands."""
        self._attempts += 1
        self._processing.observe(seconds)
        self._metrics.attempts.labels(self._queue, outcome.kind.value).inc()
        if outcome.kind is not AttemptOutcome.RELEASED:
            before = self.service_seconds
            self.service_seconds = seconds if before is None else before + _WEIGHT * (seconds - before)
        if job.phase.is_final:
            self.closed(job, now)
        else:
            self._retries += 1
            self._metrics.retries.labels(self._queue, outcome.reason).inc()

    def closed(self, job: Job, now: datetime) -> None:
        """Count a job that this worker brought to its end."""
        self._finished += 1
        self._metrics.finished.labels(self._queue, job.status.value).inc()
        self._latency.observe((now - job.created_at).total_seconds())

    def heartbeat(self, now: datetime, *, draining: bool) -> Heartbeat:
        """Return the worker's word of now."""
        return Heartbeat(
            worker=self.worker,
            queue=self._queue,
            slots=self._slots,
            busy=self.busy,
            service_seconds=self.service_seconds,
            attempts=self._attempts,
            retries=self._retries,
            finished=self._finished,
            draining=draining,
            started_at=self._started_at,
            seen_at=now,
        )
