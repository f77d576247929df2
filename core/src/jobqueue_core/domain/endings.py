"""How a job looks when one of its attempts, or the job itself, has ended."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobqueue_core.domain.fingerprints import with_fingerprint
from jobqueue_core.domain.job import (
    HISTORY_LIMIT,
    Attempt,
    AttemptOutcome,
    Job,
    JobError,
    Lease,
    Phase,
)
from jobqueue_core.domain.outcome import Outcome, of_lost_worker
from jobqueue_core.domain.retry import (
    PARK_AFTER_SECONDS,
    VISIBILITY_MAX_SECONDS,
    Fail,
    Retry,
    Succeed,
    decide,
)
from jobqueue_core.domain.times import later

if TYPE_CHECKING:
    from datetime import datetime

    from jobqueue_core.domain.transitions import JobRules


def finished(job: Job, outcome: Outcome, rules: JobRules, jitter: float, token: str, now: datetime) -> Job:
    """Return the job after its running attempt has ended with an outcome."""
    decision = decide(
        outcome,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        policy=rules.retry,
        jitter=jitter,
        deaths=job.deaths,
    )
    if isinstance(decision, Succeed):
        return replace(
            ended(job, Phase.SUCCEEDED, token, now, rules.retention.succeeded_seconds),
            history=_with_attempt(job, outcome, now),
            result=outcome.result,
            last_error=None,
        )
    if isinstance(decision, Retry):
        return _waiting(job, outcome, decision, rules, token, now)
    return _failed(job, outcome, decision, rules, token, now)


def ended(job: Job, phase: Phase, token: str, now: datetime, keep_seconds: float) -> Job:
    """Return the job in a final phase, kept for `keep_seconds`."""
    expire_at = later(now, keep_seconds)
    if job.idempotency_until is not None:
        # A job that is forgotten would free its key before the time that was promised.
        expire_at = max(expire_at, job.idempotency_until)
    return replace(
        job,
        phase=phase,
        lease=Lease(token),
        started_at=None,
        finished_at=now,
        updated_at=now,
        due_at=None,
        expire_at=expire_at,
    )


def _waiting(job: Job, outcome: Outcome, decision: Retry, rules: JobRules, token: str, now: datetime) -> Job:
    delay = min(decision.delay_seconds, VISIBILITY_MAX_SECONDS) if rules.fifo else decision.delay_seconds
    run_at = later(now, delay)
    # A FIFO queue keeps the group's order only while the message stays in it: never parked.
    parked = delay > PARK_AFTER_SECONDS and not rules.fifo
    return replace(
        job,
        phase=Phase.SCHEDULED if parked else Phase.RETRYING,
        run_at=run_at,
        sent_at=None if parked else job.sent_at,
        due_at=run_at if parked else None,
        lease=Lease(token),
        started_at=None,
        updated_at=now,
        last_error=_error(outcome),
        history=_with_attempt(job, outcome, now, next_attempt_at=run_at),
    )


def _failed(job: Job, outcome: Outcome, decision: Fail, rules: JobRules, token: str, now: datetime) -> Job:
    error = _error(outcome)
    if outcome.kind is AttemptOutcome.LOST and not decision.exhausted:
        deaths = job.deaths + 1
        message = f"the job was isolated after {deaths} workers died of it: {error.message}"
        error = replace(error, message=message)
    if decision.exhausted:
        error = replace(error, message=f"{error.message} (attempt {job.attempts} of {job.max_attempts})")
    return replace(
        ended(job, Phase.FAILED, token, now, rules.retention.failed_seconds),
        # The dead-letter queue is owed the job until `note_dead_lettered`.
        due_at=later(now, rules.relay_grace_seconds),
        last_error=with_fingerprint(error),
        history=_with_attempt(job, outcome, now),
    )


def _error(outcome: Outcome) -> JobError:
    return JobError(outcome.error or outcome.reason, outcome.code)


def _with_attempt(
    job: Job, outcome: Outcome, now: datetime, next_attempt_at: datetime | None = None
) -> tuple[Attempt, ...]:
    attempt = Attempt(
        number=job.attempts,
        outcome=outcome.kind,
        started_at=job.started_at or now,
        finished_at=now,
        worker=job.lease.owner,
        code=outcome.code,
        error=outcome.error,
        next_attempt_at=next_attempt_at,
    )
    return (*job.history, attempt)[-HISTORY_LIMIT:]


def with_lost_attempt(job: Job, now: datetime) -> tuple[Attempt, ...]:
    """Return the history; an attempt that never reported back is put down in it as lost."""
    if job.phase is not Phase.RUNNING:
        return job.history
    return _with_attempt(job, of_lost_worker(job.step), now)
