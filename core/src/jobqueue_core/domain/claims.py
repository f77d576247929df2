"""What a worker does with a message, judged from the job that it names."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jobqueue_core.domain.ids import made_at
from jobqueue_core.domain.job import Job, Phase
from jobqueue_core.domain.retry import PARK_AFTER_SECONDS, RetryPolicy, is_poison
from jobqueue_core.domain.times import later, seconds_until

if TYPE_CHECKING:
    from datetime import datetime

    from jobqueue_core.domain.transitions import Retention

_DEFAULT = RetryPolicy()


class Verdict(StrEnum):
    """What is to be done with a received message."""

    RUN = "run"
    """Begin an attempt."""
    DROP = "drop"
    """Delete the message: the job is finished, cancelled, forgotten, or will be sent again by the relay."""
    WAIT = "wait"
    """Make the message visible again after `wait_seconds`."""
    EXHAUSTED = "exhausted"
    """The last attempt was lost, or one too many: the job has failed."""
    DEAD_LETTER = "dead_letter"
    """The job has failed and its dead letter is still owed."""
    UNKNOWN = "unknown"
    """No such job: the message goes to the dead-letter queue."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict; `wait_seconds` counts for WAIT only."""

    verdict: Verdict
    wait_seconds: float = 0.0


def judge_missing(job_id: str, now: datetime, retention: Retention) -> Judgement:
    """Judge a message whose job the store does not have.

    A job is forgotten only when it has long been final. Its id tells when it was made: one that may have
    been forgotten by now left a late message behind, one that cannot have been was never ours.

    Args:
        job_id: as the message has it.
        now: by the store's clock.
        retention: of the queue.

    """
    is_forgotten = later(made_at(job_id), retention.shortest_seconds) <= now
    return Judgement(Verdict.DROP if is_forgotten else Verdict.UNKNOWN)


def judge(job: Job, now: datetime, policy: RetryPolicy = _DEFAULT) -> Judgement:
    """Judge a message by the job it names.

    Args:
        job: as the store has it.
        now: by the store's clock.
        policy: of the queue; only its `max_deaths` counts.

    """
    if job.phase.is_final:
        is_owed = job.phase is Phase.FAILED and job.due_at is not None
        return Judgement(Verdict.DEAD_LETTER if is_owed else Verdict.DROP)
    if job.lease.expires_at is not None and job.lease.is_held(now):
        # Somebody else's: look again when their lease ends, in case they die.
        return Judgement(Verdict.WAIT, seconds_until(job.lease.expires_at, now))
    # A lease that has run out is one death more.
    if job.attempts >= job.max_attempts or (job.phase is Phase.RUNNING and is_poison(job.deaths + 1, policy)):
        return Judgement(Verdict.EXHAUSTED)
    wait_seconds = seconds_until(job.run_at, now)
    if wait_seconds > PARK_AFTER_SECONDS and job.phase is Phase.SCHEDULED:
        return Judgement(Verdict.DROP)
    return Judgement(Verdict.WAIT, wait_seconds) if wait_seconds > 0 else Judgement(Verdict.RUN)
