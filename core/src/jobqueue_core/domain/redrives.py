"""Redrives: tasks that run failed jobs again, as many a second as they may.

A task takes the jobs that had failed when it was made, in the order of their submission, and each of them
once: one that fails again meanwhile has failed later than the task was made. Several tasks may want the same
job: each step is guarded by the job's token, so that it runs once for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from jobqueue_core.domain.job import Job, Phase
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import JobRules, Transition, retry_by_hand, step

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

JOB_IDS_MAX = 1000
"""Jobs that one task may name."""
PER_SECOND_MAX = 10_000.0

_BATCH_MAX = 500
# What a task may catch up on after it had to wait, in seconds of its rate: longer than a relay's turn.
_BURST_SECONDS = 2.0
# A redrive that is over is kept for people to look at.
KEPT_SECONDS = 7 * 86_400.0
# Within this after the last turn of a relay that died, another one goes on.
LEASE_SECONDS = 30.0


class RedriveState(StrEnum):
    """How far a task is."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which failed jobs of the queue: all, those of one fingerprint, or those named.

    At most one of the two is given.
    """

    fingerprint: str | None = None
    job_ids: tuple[str, ...] = ()

    @property
    def is_all(self) -> bool:
        """Whether every failed job is meant."""
        return self.fingerprint is None and not self.job_ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """A task, as the store has it.

    Attributes:
        id: its own.
        queue: the name by which jobs name their queue.
        selection: which jobs.
        per_second: jobs a second at most; None: as fast as it goes.
        created_at: jobs that failed later are left alone.
        updated_at: when it was last written.
        cursor: the newest job that was looked at.
        moved: jobs that this task runs again; after a crash it may be less than there are.
        skipped: named or selected jobs that were not failed any more when their turn came.
        next_at: when the next job may go by the rate; None: at once.
        finished_at: when it was done or cancelled.
        token: of whoever carries it out; each write of them demands it.
        leased_until: until when nobody else may.

    """

    id: str
    queue: str
    created_at: datetime
    updated_at: datetime
    selection: Selection = Selection()
    per_second: float | None = None
    state: RedriveState = RedriveState.RUNNING
    cursor: str | None = None
    moved: int = 0
    skipped: int = 0
    next_at: datetime | None = None
    finished_at: datetime | None = None
    token: str = ""
    leased_until: datetime | None = None

    def is_free(self, now: datetime) -> bool:
        """Tell whether somebody may take it up."""
        return self.state is RedriveState.RUNNING and (self.leased_until is None or self.leased_until <= now)


def allowance(task: Redrive, now: datetime) -> int:
    """Return how many jobs may go now.

    The rate is kept as the moment of the next job (the generic cell rate algorithm), which lies in the
    store: it holds whoever carries the task out.
    """
    if task.per_second is None:
        return _BATCH_MAX
    behind = (now - _next_at(task, now)).total_seconds()
    return 0 if behind < 0 else min(_BATCH_MAX, int(behind * task.per_second) + 1)


def _next_at(task: Redrive, now: datetime) -> datetime:
    next_at = task.next_at or now
    return max(next_at, later(now, -_BURST_SECONDS))


def taken(task: Redrive, *, token: str, now: datetime) -> Redrive:
    """Return the task in the hands of whoever made the token."""
    return replace(task, token=token, leased_until=later(now, LEASE_SECONDS), updated_at=now)


def is_running_out(task: Redrive, now: datetime) -> bool:
    """Tell whether its holder must take the task anew: a slow rate leaves it unwritten for long."""
    return task.leased_until is None or task.leased_until < later(now, LEASE_SECONDS / 2)


def advanced(task: Redrive, *, cursor: str, moved: int, skipped: int, now: datetime) -> Redrive:
    """Return the task after a batch of jobs up to `cursor`; only those moved count for the rate."""
    next_at = task.next_at
    if task.per_second is not None and moved:
        next_at = later(_next_at(task, now), moved / task.per_second)
    return replace(
        task,
        cursor=cursor,
        moved=task.moved + moved,
        skipped=task.skipped + skipped,
        next_at=next_at,
        leased_until=later(now, LEASE_SECONDS),
        updated_at=now,
    )


def ended(task: Redrive, state: RedriveState, now: datetime) -> Redrive:
    """Return the task as done or cancelled."""
    return replace(task, state=state, finished_at=now, updated_at=now, leased_until=None)


def is_wanted(task: Redrive, job: Job) -> bool:
    """Tell whether the task runs the job again: it has failed, and had when the task was made."""
    if job.phase is not Phase.FAILED or job.queue != task.queue:
        return False
    if task.selection.fingerprint is not None and (
        job.last_error is None or job.last_error.fingerprint != task.selection.fingerprint
    ):
        return False
    return job.finished_at is None or job.finished_at <= task.created_at


def redrive(
    jobs: Iterable[Job], *, rules: JobRules, token: str, now: datetime, owed_seconds: float = 0.0
) -> list[Transition]:
    """Return the writes that run failed jobs again from their first attempt.

    Args:
        jobs: failed ones, in the order in which they are to be sent.
        rules: of their queue.
        token: the new fencing token of all of them: one write serves many.
        now: by the store's clock.
        owed_seconds: the relay sends them after this, unless somebody was quicker.

    """
    steps = []
    for position, job in enumerate(jobs):
        again = retry_by_hand(job, rules=rules, token=token, now=now).after
        # The relay sends in the order of what is due: a millisecond apart keeps it on a queue with one.
        apart = position / 1000 if rules.fifo else 0.0
        steps.append(step(job, replace(again, due_at=later(now, owed_seconds + apart))))
    return steps
