"""The state machine of a job: each step takes a job and gives the write that makes the next one.

A `Transition` is a whole new job and the guard under which it may replace the old one: status,
fencing token and, where the step depends on it, the end of the lease. The store applies it in
one atomic write or not at all, so whoever read an older state loses.

Every step makes a new token, but those that leave the job with whom it is: the two notes of a send,
`note_step`, `postpone` and `extend`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from jobqueue_core.domain.endings import ended, finished, with_lost_attempt
from jobqueue_core.domain.errors import TransitionNotAllowedError
from jobqueue_core.domain.job import Job, Lease, Phase, Status, Step
from jobqueue_core.domain.outcome import of_lost_worker
from jobqueue_core.domain.times import later

if TYPE_CHECKING:
    from datetime import datetime

    from jobqueue_core.domain.outcome import Outcome
    from jobqueue_core.domain.retry import RetryPolicy


@dataclass(frozen=True, slots=True)
class Guard:
    """What the stored job must still be for a write to happen.

    `lease_expires_at` is compared only where `with_expiry` is set.
    """

    status: Status
    token: str
    lease_expires_at: datetime | None = None
    with_expiry: bool = False


@dataclass(frozen=True, slots=True)
class Transition:
    """A guarded write: `before` becomes `after` if the guard still holds."""

    before: Job
    after: Job
    guard: Guard


@dataclass(frozen=True, slots=True)
class Retention:
    """How long finished jobs are kept, in seconds."""

    succeeded_seconds: float
    failed_seconds: float
    cancelled_seconds: float

    @property
    def shortest_seconds(self) -> float:
        """How old a job is at least that has been forgotten."""
        return min(self.succeeded_seconds, self.failed_seconds, self.cancelled_seconds)


@dataclass(frozen=True, slots=True)
class JobRules:
    """What the steps of one queue's jobs depend on.

    `relay_grace_seconds` is the room an ordinary path gets before the relay steps in;
    `idempotency_seconds` is how long an idempotency key stands for the job it came with.
    """

    retry: RetryPolicy
    retention: Retention
    fifo: bool = False
    relay_grace_seconds: float = 5.0
    idempotency_seconds: float = 86_400.0


def step(before: Job, after: Job, *, with_expiry: bool = False) -> Transition:
    """Guard the write of `after` by what was read in `before`."""
    guard = Guard(before.status, before.lease.token, before.lease.expires_at, with_expiry=with_expiry)
    return Transition(before, after, guard)


def _demand(job: Job, what: str, *phases: Phase) -> None:
    if job.phase not in phases:
        raise TransitionNotAllowedError(f"job {job.id} cannot {what} while it is {job.phase}")


def note_sent(job: Job, now: datetime) -> Transition:
    """Note that the queue has taken the message of a queued job: nothing is owed any more.

    Raises:
        TransitionNotAllowedError: the job is not queued.

    """
    _demand(job, "be noted as sent", Phase.QUEUED)
    return step(job, replace(job, sent_at=now, due_at=None))


def note_dead_lettered(job: Job, now: datetime) -> Transition:
    """Note that the dead-letter queue has taken a failed job.

    Raises:
        TransitionNotAllowedError: the job has not failed.

    """
    _demand(job, "be noted as dead-lettered", Phase.FAILED)
    return step(job, replace(job, due_at=None, updated_at=now))


def begin(job: Job, *, owner: str, token: str, expires_at: datetime, now: datetime) -> Transition:
    """Begin an attempt: the job is `owner`'s until `expires_at`.

    The attempt is counted here, before the call, so that one which dies is counted too.

    Raises:
        TransitionNotAllowedError: the job is final, leased, not due, or out of attempts
            (`claims.judge` tells which before anybody asks).

    """
    if job.phase.is_final or job.lease.is_held(now) or job.run_at > now or job.attempts >= job.max_attempts:
        msg = f"job {job.id} cannot begin an attempt while it is {job.phase}"
        raise TransitionNotAllowedError(msg)
    after = replace(
        job,
        phase=Phase.RUNNING,
        attempts=job.attempts + 1,
        lease=Lease(token, owner, expires_at),
        started_at=now,
        step=Step.CLAIMED,
        updated_at=now,
        sent_at=job.sent_at or now,
        due_at=later(expires_at, _GRACE_AFTER_LEASE_SECONDS),
        history=with_lost_attempt(job, now),
    )
    return step(job, after, with_expiry=True)


# The queue makes the message of a dead worker visible again at about the lease's end; the relay
# waits this much longer, so that it sends only what the queue really lost.
_GRACE_AFTER_LEASE_SECONDS = 5.0


def finish(
    job: Job, outcome: Outcome, *, rules: JobRules, jitter: float, token: str, now: datetime
) -> Transition:
    """End the running attempt with its outcome: done, to be tried again, or failed for good.

    Args:
        job: the job as `begin` left it.
        outcome: the verdict on the call.
        rules: of the job's queue.
        jitter: a uniform random number in [0, 1) for the backoff.
        token: the new fencing token.
        now: when the answer came.

    Raises:
        TransitionNotAllowedError: the job is not running.

    """
    _demand(job, "end an attempt", Phase.RUNNING)
    return step(job, finished(job, outcome, rules, jitter, token, now))


def give_back(job: Job, *, token: str, now: datetime) -> Transition:
    """Undo the beginning of an attempt whose call was never made: it does not count.

    The message is still there and shows again: nothing is owed.

    Raises:
        TransitionNotAllowedError: the job is not running.

    """
    _demand(job, "be given back", Phase.RUNNING)
    after = replace(
        job,
        phase=Phase.QUEUED,
        attempts=job.attempts - 1,
        lease=Lease(token),
        started_at=None,
        step=None,
        due_at=None,
        updated_at=now,
    )
    return step(job, after)


def give_up_lost(job: Job, *, rules: JobRules, token: str, now: datetime) -> Transition:
    """End an attempt whose lease ran out: queued again, or failed when it was the last one.

    The guard includes the lease's end: an owner that extended it meanwhile keeps the job. A waiting
    job that is out of attempts (its limit was lowered by hand) ends here too.

    Raises:
        TransitionNotAllowedError: the lease is held, or the job is not running and has attempts left.

    """
    is_spent = job.attempts >= job.max_attempts and not job.phase.is_final
    if job.lease.is_held(now) or not (job.phase is Phase.RUNNING or is_spent):
        raise TransitionNotAllowedError(f"job {job.id} has no lost attempt while it is {job.phase}")
    after = finished(job, of_lost_worker(job.step), rules, 0.0, token, now)
    if after.phase is Phase.RETRYING:
        # The message may be lost with the worker: the relay sends another.
        after = replace(after, phase=Phase.QUEUED, sent_at=None, due_at=now)
    return step(job, after, with_expiry=True)


def claim_send(job: Job, *, rules: JobRules, token: str, now: datetime) -> Transition:
    """Take the sending of a job's message: the next relay steps in only after the grace.

    A new number for the message, since a re-send within five minutes under the old one would
    be dropped as a duplicate by a FIFO queue (SQS: de-duplication interval).

    Raises:
        TransitionNotAllowedError: the job is running or final.

    """
    _demand(job, "be sent", Phase.SCHEDULED, Phase.QUEUED, Phase.RETRYING)
    after = replace(
        job,
        phase=Phase.QUEUED,
        sends=job.sends + 1,
        sent_at=None,
        due_at=later(now, rules.relay_grace_seconds),
        lease=Lease(token),
        updated_at=now,
    )
    return step(job, after, with_expiry=True)


def claim_dead_letter(job: Job, *, rules: JobRules, token: str, now: datetime) -> Transition:
    """Take the sending of a failed job's dead letter; the next relay steps in after the grace.

    Raises:
        TransitionNotAllowedError: the job has not failed.

    """
    _demand(job, "be dead-lettered", Phase.FAILED)
    due_at = later(now, rules.relay_grace_seconds)
    return step(job, replace(job, due_at=due_at, lease=Lease(token), updated_at=now))


def postpone(job: Job, *, now: datetime, seconds: float) -> Transition:
    """Take the relay's next look at a job `seconds` from now, under the same token."""
    return step(job, replace(job, due_at=later(now, seconds)), with_expiry=True)


def note_step(job: Job, at: Step) -> Transition:
    """Note how far the running attempt has come, under the same token.

    Raises:
        TransitionNotAllowedError: the job is not running.

    """
    _demand(job, "note a step", Phase.RUNNING)
    return step(job, replace(job, step=at))


def extend(job: Job, *, expires_at: datetime) -> Transition:
    """Move the end of the running attempt's lease.

    Raises:
        TransitionNotAllowedError: the job is not running.

    """
    _demand(job, "extend its lease", Phase.RUNNING)
    lease = replace(job.lease, expires_at=expires_at)
    due_at = later(expires_at, _GRACE_AFTER_LEASE_SECONDS)
    return step(job, replace(job, lease=lease, due_at=due_at))


def cancel(job: Job, *, rules: JobRules, token: str, now: datetime) -> Transition:
    """Cancel a job that is not final; a running attempt loses its right to write.

    Raises:
        TransitionNotAllowedError: the job is final already.

    """
    if job.phase.is_final:
        msg = f"a job that is {job.status} cannot be cancelled"
        raise TransitionNotAllowedError(msg)
    after = replace(
        ended(job, Phase.CANCELLED, token, now, rules.retention.cancelled_seconds),
        history=with_lost_attempt(job, now),
    )
    return step(job, after)


def retry_by_hand(job: Job, *, rules: JobRules, token: str, now: datetime) -> Transition:
    """Run a failed or cancelled job again from its first attempt, its history kept.

    Raises:
        TransitionNotAllowedError: the job is pending or has succeeded.

    """
    if job.phase not in (Phase.FAILED, Phase.CANCELLED):
        msg = f"a job that is {job.status} cannot be retried, only one that is FAILED or CANCELLED"
        raise TransitionNotAllowedError(msg)
    after = replace(
        job,
        phase=Phase.QUEUED,
        attempts=0,
        sends=job.sends + 1,
        sent_at=None,
        run_at=now,
        due_at=later(now, rules.relay_grace_seconds),
        lease=Lease(token),
        started_at=None,
        finished_at=None,
        expire_at=None,
        updated_at=now,
    )
    return step(job, after)
