"""`GET /status`, `GET /jobs`, `GET /jobs/{jobId}`, and what is done to one job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from fastapi import Path, Query
from pydantic import BaseModel, ConfigDict, Field

from jobqueue_api import times
from jobqueue_api.jobs import cursor as cursors
from jobqueue_api.jobs import examples
from jobqueue_api.jobs.views import (
    JobPage,
    JobView,
    StatusAnswer,
    StatusData,
    status_of,
    summary_of,
    view_of,
)
from jobqueue_api.openapi import EXAMPLE_JOB_ID, answers
from jobqueue_api.problems import FieldError, Kind, invalid, listed, shown
from jobqueue_core.domain.job import Phase, Status
from jobqueue_core.ports.store import JobFilter

if TYPE_CHECKING:
    from collections.abc import Collection

    from fastapi import FastAPI

    from jobqueue_api.jobs.actions import JobActions
    from jobqueue_core.ports.store import JobStore

COUNT_MAX: Final = 1000
PAGE_MAX: Final = 500

_COUNT_RULE: Final = f"must be an integer, at least 1 and at most {COUNT_MAX}"
_STATUS_RULE: Final = f"must be one of {', '.join(Status)}"
RULES: Final = {
    "count": _COUNT_RULE,
    "status_type": _STATUS_RULE,
}
LIST_RULES: Final = {
    "queue": "must be the name of a configured queue",
    "status": _STATUS_RULE,
    "phase": f"must be one of {', '.join(Phase)}",
    "createdAfter": f"{times.RULE}; a + in it is written %2B",
    "createdBefore": f"{times.RULE}; a + in it is written %2B",
    "limit": f"must be an integer, at least 1 and at most {PAGE_MAX}",
    "cursor": "must be the nextCursor of an earlier answer",
}

JobId = Annotated[str, Path(description="The job's id.", examples=[EXAMPLE_JOB_ID])]


class ListQuery(BaseModel):
    """Which jobs, and how many."""

    model_config = ConfigDict(extra="forbid")

    queue: str | None = Field(default=None, description="Jobs of this queue only.")
    status: Status | None = Field(default=None, description="Jobs of this status only.")
    phase: Phase | None = Field(default=None, description="Jobs of this phase only; not with `status`.")
    created_after: times.Time | None = Field(
        default=None, alias="createdAfter", description="Submitted at this time or later."
    )
    created_before: times.Time | None = Field(
        default=None, alias="createdBefore", description="Submitted before this time."
    )
    limit: int = Field(default=50, ge=1, le=PAGE_MAX, description="Jobs in one answer at most.")
    cursor: str | None = Field(
        default=None, max_length=200, description="The `nextCursor` of the answer before."
    )


def add_job_routes(app: FastAPI, store: JobStore, actions: JobActions, queues: Collection[str]) -> None:
    """Add the operations to an app."""

    @app.get(
        "/status",
        operation_id="getStatus",
        summary="Show the newest jobs",
        tags=["jobs"],
        responses=answers(
            "The newest jobs first.",
            examples.STATUS,
            Kind.VALIDATION_FAILED,
            Kind.STORE_UNAVAILABLE,
            field=FieldError("count", _COUNT_RULE, "0"),
        ),
    )
    async def get_status(
        count: Annotated[int, Query(ge=1, le=COUNT_MAX, description="Jobs at most.", examples=[10])] = 10,
        status_type: Annotated[
            Status | None, Query(description="Jobs of this status only.", examples=["SUCCESS"])
        ] = None,
    ) -> StatusAnswer:
        """Show the newest jobs, as the original interface does; parameters it does not know are ignored."""
        jobs = await store.page(JobFilter(status=status_type), limit=count)
        entries = [status_of(job) for job in jobs]
        return StatusAnswer(
            message="Job statuses fetched successfully",
            data=StatusData(jobs=entries, total_jobs_returned=len(entries)),
        )

    @app.get(
        "/jobs",
        operation_id="listJobs",
        summary="List jobs",
        tags=["jobs"],
        responses=answers(
            "A page of jobs, the newest first.",
            examples.PAGE,
            Kind.VALIDATION_FAILED,
            Kind.STORE_UNAVAILABLE,
            field=FieldError("limit", LIST_RULES["limit"], "0"),
        ),
    )
    async def list_jobs(query: Annotated[ListQuery, Query()]) -> JobPage:
        """List jobs, the newest first, a page at a time."""
        which = _filter(query, queues)
        before = None if query.cursor is None else cursors.decode(query.cursor)
        jobs = await store.page(which, limit=query.limit + 1, before=before)
        shown_jobs = jobs[: query.limit]
        more = len(jobs) > query.limit
        return JobPage(
            jobs=[summary_of(job) for job in shown_jobs],
            next_cursor=cursors.encode(shown_jobs[-1].id) if more else None,
        )

    @app.get(
        "/jobs/{job_id}",
        operation_id="getJob",
        summary="Show a job",
        tags=["jobs"],
        responses=answers("The job.", examples.JOB, Kind.JOB_NOT_FOUND, Kind.STORE_UNAVAILABLE),
    )
    async def get_job(job_id: JobId) -> JobView:
        """Show everything about one job, with each of its attempts."""
        return view_of(await actions.get(job_id))

    @app.post(
        "/jobs/{job_id}/cancel",
        operation_id="cancelJob",
        summary="Cancel a job",
        tags=["jobs"],
        responses=answers(
            "The job, cancelled.",
            examples.CANCELLED_JOB,
            Kind.JOB_NOT_FOUND,
            Kind.JOB_NOT_CANCELLABLE,
            Kind.JOB_BUSY,
            Kind.STORE_UNAVAILABLE,
        ),
    )
    async def cancel_job(job_id: JobId) -> JobView:
        """Cancel a job that is `PENDING`. A call under way is not cut off, but its outcome is not kept."""
        return view_of(await actions.cancel(job_id))

    @app.post(
        "/jobs/{job_id}/retry",
        operation_id="retryJob",
        summary="Run a job again",
        tags=["jobs"],
        responses=answers(
            "The job, queued again.",
            examples.RETRIED_JOB,
            Kind.JOB_NOT_FOUND,
            Kind.JOB_NOT_RETRYABLE,
            Kind.JOB_BUSY,
            Kind.STORE_UNAVAILABLE,
        ),
    )
    async def retry_job(job_id: JobId) -> JobView:
        """Run a `FAILED` or `CANCELLED` job again, with all its attempts; its history is kept."""
        return view_of(await actions.retry(job_id))


def _filter(query: ListQuery, queues: Collection[str]) -> JobFilter:
    errors: list[FieldError] = []
    if query.queue is not None and query.queue not in queues:
        rule = f"must be a configured queue: {listed(queues)}"
        errors.append(FieldError("queue", rule, shown(query.queue)))
    if query.status is not None and query.phase is not None:
        errors.append(FieldError("phase", "must not come together with status", query.phase.value))
    if errors:
        raise invalid(*errors)
    return JobFilter(
        queue=query.queue,
        status=query.status,
        phase=query.phase,
        created_from=query.created_after,
        created_before=query.created_before,
    )
