"""Failed jobs, their groups and redrives as clients see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from jobqueue_api.jobs.views import JobSummary, Rfc3339, View
from jobqueue_core.domain.job import Step
from jobqueue_core.domain.redrives import RedriveState

if TYPE_CHECKING:
    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.redrives import Redrive
    from jobqueue_core.ports.store import FailureGroup


class DeadLetterPage(View):
    """Failed jobs of a queue, the newest first."""

    queue: str
    failed: int = Field(description="Failed jobs of the queue, all pages together.")
    letters: int | None = Field(
        description="Messages in the dead-letter queue, as SQS counts them: one for each failed job, and "
        "those that are of none. null: SQS does not answer."
    )
    jobs: list[JobSummary]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null: there is none.")


class GroupView(View):
    """Failed jobs whose errors are the same but for ids, numbers and the like."""

    fingerprint: str = Field(description="Names the group, in every queue.")
    count: int
    message: str | None = Field(description="The error of the newest job in it.")
    code: int | None = Field(description="The HTTP status answered; null where no answer came.")
    attempts: int | None = Field(description="Calls that the newest job has had.")
    deaths: int | None = Field(description="Workers in a row that the newest job has taken with it.")
    last_step: Step | None = Field(
        description="How far the newest job's last attempt is known to have come, its worker having died of "
        "it; null: it did not."
    )
    first_failed_at: Rfc3339
    last_failed_at: Rfc3339
    sample_job_ids: list[str] = Field(description="The newest and the oldest job in it.")


class GroupList(View):
    """The groups of a queue's failed jobs, the largest first."""

    queue: str
    failed: int = Field(description="Failed jobs of the queue.")
    letters: int | None = Field(description="Messages in the dead-letter queue; null: SQS does not answer.")
    grouped: int = Field(description="Failed jobs in the groups that are shown.")
    groups: list[GroupView]


class ForeignLetter(View):
    """A message in the dead-letter queue that is not the letter of a failed job."""

    message_id: str
    job_id: str | None = Field(description="The job it names; null: it is unreadable.")
    reason: str = Field(description="Why it is there.")
    body: str = Field(description="At most 500 characters of it.")
    receives: int = Field(description="How often it was received from the dead-letter queue.")


class ForeignList(View):
    """What was found in the dead-letter queue that is not the letter of a failed job."""

    queue: str
    letters: list[ForeignLetter]
    looked_at: int = Field(description="Messages that were looked at.")
    complete: bool = Field(description="Whether every message could be looked at.")


class RedriveView(View):
    """A task that runs failed jobs again."""

    id: str
    queue: str
    state: RedriveState
    group: str | None
    job_ids: list[str] | None
    per_second: float | None
    created_at: Rfc3339 = Field(description="Jobs that failed later are left alone.")
    updated_at: Rfc3339
    finished_at: Rfc3339 | None
    moved: int = Field(description="Jobs that run again by this task.")
    skipped: int = Field(description="Jobs that had not failed any more, or later, when their turn came.")


class RedriveList(View):
    """The redrives of a queue, the newest first; those that are over are kept for a week."""

    redrives: list[RedriveView]


def group_of(group: FailureGroup, newest: Job | None) -> GroupView:
    """Return a group, described by its newest job (None: it has just been run again)."""
    error = None if newest is None else newest.last_error
    return GroupView(
        fingerprint=group.fingerprint,
        count=group.count,
        message=None if error is None else error.message,
        code=None if error is None else error.code,
        attempts=None if newest is None else newest.attempts,
        deaths=None if newest is None else newest.deaths,
        last_step=newest.step if newest is not None and newest.deaths else None,
        first_failed_at=group.first_failed_at,
        last_failed_at=group.last_failed_at,
        sample_job_ids=list(dict.fromkeys((group.newest, group.oldest))),
    )


def redrive_of(task: Redrive) -> RedriveView:
    """Return a redrive."""
    return RedriveView(
        id=task.id,
        queue=task.queue,
        state=task.state,
        group=task.selection.fingerprint,
        job_ids=list(task.selection.job_ids) or None,
        per_second=task.per_second,
        created_at=task.created_at,
        updated_at=task.updated_at,
        finished_at=task.finished_at,
        moved=task.moved,
        skipped=task.skipped,
    )
