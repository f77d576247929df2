"""Jobs as clients see them."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel

from jobqueue_core.domain.job import AttemptOutcome, Phase, Status
from jobqueue_core.domain.times import rfc3339

if TYPE_CHECKING:
    from jobqueue_core.domain.job import Attempt, Job

Rfc3339 = Annotated[datetime, PlainSerializer(rfc3339)]


class View(BaseModel):
    """Something shown; names in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, from_attributes=True)


class ErrorView(View):
    """Why the last attempt did not succeed."""

    message: str
    code: int | None = Field(description="The HTTP status answered; null where no answer came.")
    fingerprint: str | None = Field(
        default=None, description="Of a failed job: names the group of those that failed in the same way."
    )


class ResultView(View):
    """What the external service answered to the attempt that succeeded."""

    code: int
    body: str
    truncated: bool = Field(description="Whether the body is only the beginning of what was answered.")


class AttemptView(View):
    """One call of the external service."""

    number: int
    outcome: AttemptOutcome
    code: int | None = Field(description="The HTTP status answered; null where no answer came.")
    duration_seconds: float
    error: str | None
    started_at: Rfc3339
    finished_at: Rfc3339
    worker: str | None
    next_attempt_at: Rfc3339 | None


class RunningView(View):
    """The call under way."""

    number: int
    started_at: Rfc3339 | None
    worker: str | None


class JobSummary(View):
    """A job in a list."""

    id: str
    queue: str
    status: Status
    phase: Phase = Field(description="Where exactly the job is; finer than the status.")
    number_of_attempts: int = Field(description="Calls begun since it was last submitted.")
    max_attempts: int
    created_at: Rfc3339
    updated_at: Rfc3339
    run_at: Rfc3339 = Field(description="Not called before this time.")
    finished_at: Rfc3339 | None
    labels: dict[str, str]
    last_error: ErrorView | None


class JobView(JobSummary):
    """A job with everything known of it."""

    payload: dict[str, Any]
    idempotency_key: str | None
    ordering_key: str | None
    timeout_seconds: float | None = Field(description="Its own time-out of a call; null: the queue's.")
    traceparent: str | None
    sent_at: Rfc3339 | None = Field(description="When the queue took its message; null: not yet.")
    expires_at: Rfc3339 | None = Field(description="When it will be forgotten; null until it is final.")
    result: ResultView | None
    running: RunningView | None = Field(description="The call under way, or null.")
    attempts: list[AttemptView] = Field(
        description="Every call that ended, the earliest first; at most the last 100."
    )


class JobPage(View):
    """Some jobs, the newest first."""

    jobs: list[JobSummary]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null: there is none.")


class StatusEntry(View):
    """A job as the original interface shows it."""

    id: str
    status: Status
    number_of_attempts: int
    timestamp: Rfc3339 = Field(description="When the job was submitted.")


class StatusData(BaseModel):
    """The jobs and their number."""

    jobs: list[StatusEntry]
    total_jobs_returned: int


class StatusAnswer(BaseModel):
    """Answer of `GET /status`."""

    message: str = Field(description="Always `Job statuses fetched successfully`.")
    data: StatusData


def summary_of(job: Job) -> JobSummary:
    """Return a job for a list."""
    return JobSummary(**_common(job))


def view_of(job: Job) -> JobView:
    """Return a job with everything."""
    running = None
    if job.phase is Phase.RUNNING:
        running = RunningView(number=job.attempts, started_at=job.started_at, worker=job.lease.owner)
    return JobView(
        **_common(job),
        payload=dict(job.payload),
        idempotency_key=job.idempotency_key,
        ordering_key=job.ordering_key,
        timeout_seconds=job.timeout_seconds,
        traceparent=job.traceparent,
        sent_at=job.sent_at,
        expires_at=job.expire_at,
        result=None if job.result is None else ResultView.model_validate(job.result),
        running=running,
        attempts=[attempt_of(attempt) for attempt in job.history],
    )


def status_of(job: Job) -> StatusEntry:
    """Return a job as the original interface shows it."""
    return StatusEntry(
        id=job.id, status=job.status, number_of_attempts=job.attempts, timestamp=job.created_at
    )


def attempt_of(attempt: Attempt) -> AttemptView:
    """Return one attempt."""
    return AttemptView.model_validate(attempt)


def _common(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "queue": job.queue,
        "status": job.status,
        "phase": job.phase,
        "number_of_attempts": job.attempts,
        "max_attempts": job.max_attempts,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
        "run_at": job.run_at,
        "finished_at": job.finished_at,
        "labels": dict(job.labels),
        "last_error": None if job.last_error is None else ErrorView.model_validate(job.last_error),
    }
