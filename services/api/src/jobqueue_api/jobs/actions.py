"""Cancelling and retrying: decided on what was read, decided again when somebody wrote in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from jobqueue_api.problems import Kind, Problem, cut
from jobqueue_core.domain.errors import TransitionNotAllowedError
from jobqueue_core.domain.ids import is_job_id
from jobqueue_core.domain.transitions import cancel, retry_by_hand

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_api.directory import QueueDirectory
    from jobqueue_api.submission.service import Submissions
    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.transitions import Transition
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.store import JobStore
    from jobqueue_core.telemetry.metrics import Metrics

_TRIES = 5

_log = structlog.get_logger(__name__)


class JobActions:
    """What people do to single jobs."""

    def __init__(
        self,
        *,
        store: JobStore,
        submissions: Submissions,
        directory: QueueDirectory,
        default_queue: str,
        clock: Clock,
        new_token: Callable[[], str],
        metrics: Metrics,
    ) -> None:
        """Take the store, and every queue."""
        self._store = store
        self._submissions = submissions
        self._accepted = directory.accepted
        self._rules = directory.rules
        self._default_rules = directory.rules[default_queue]
        self._clock = clock
        self._new_token = new_token
        self._metrics = metrics

    async def get(self, job_id: str) -> Job:
        """Return a job.

        Raises:
            Problem: there is none.

        """
        job = await self._store.get(job_id) if is_job_id(job_id) else None
        if job is None:
            raise Problem(Kind.JOB_NOT_FOUND, f"There is no job {cut(job_id)}, or none any more.")
        return job

    async def cancel(self, job_id: str) -> Job:
        """Cancel a job that is not final.

        Raises:
            Problem: there is none, it is final, or it kept changing.

        """

        def decide(job: Job) -> Transition:
            rules = self._rules.get(job.queue, self._default_rules)
            return cancel(job, rules=rules, token=self._new_token(), now=self._clock.now())

        job = await self._apply(job_id, decide, Kind.JOB_NOT_CANCELLABLE)
        self._metrics.finished.labels(job.queue, job.status.value).inc()
        _log.info("job cancelled", job_id=job.id, queue=job.queue)
        return job

    async def retry(self, job_id: str) -> Job:
        """Run a failed or cancelled job again.

        Raises:
            Problem: there is none, it is pending or has succeeded, its queue is gone, or it kept changing.

        """

        def decide(job: Job) -> Transition:
            if job.queue not in self._accepted:
                msg = f"the queue {job.queue} of the job is not configured any more"
                raise TransitionNotAllowedError(msg)
            rules = self._rules[job.queue]
            return retry_by_hand(job, rules=rules, token=self._new_token(), now=self._clock.now())

        job = await self._apply(job_id, decide, Kind.JOB_NOT_RETRYABLE)
        self._submissions.hand_over([job])
        _log.info("job retried by hand", job_id=job.id, queue=job.queue)
        return job

    async def _apply(self, job_id: str, decide: Callable[[Job], Transition], forbidden: Kind) -> Job:
        for _ in range(_TRIES):
            job = await self.get(job_id)
            try:
                transition = decide(job)
            except TransitionNotAllowedError as error:
                raise Problem(forbidden, str(error), extra={"jobStatus": job.status.value}) from None
            if (await self._store.apply([transition]))[0]:
                return transition.after
        detail = "The job changed each time this was tried. Try again."
        raise Problem(Kind.JOB_BUSY, detail, headers={"Retry-After": "1"})
