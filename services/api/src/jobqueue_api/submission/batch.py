"""Many jobs in one request: the request, and the answer of each entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json, to_json

from jobqueue_api.openapi import ProblemDocument
from jobqueue_api.problems import FieldError, Kind, Problem, idempotency_conflict, invalid
from jobqueue_api.submission.requests import is_suspicious, parse_entry
from jobqueue_api.submission.schemas import JobRequest
from jobqueue_core.domain.submission import fingerprint

if TYPE_CHECKING:
    from datetime import datetime

    from jobqueue_api.submission.requests import SubmissionLimits
    from jobqueue_core.domain.submission import Submission
    from jobqueue_core.ports.store import Inserted

BODY_FACTOR: Final = 16
"""A batch may be this many times as large as a single job's body: 4 MiB by default."""


class BatchRequest(BaseModel):
    """Jobs to be run, up to a thousand."""

    model_config = ConfigDict(extra="forbid")

    jobs: list[JobRequest] = Field(
        min_length=1, max_length=1000, description="The jobs, as `POST /addJob` takes one."
    )


class EntryAnswer(BaseModel):
    """What became of one entry: `jobId` and `created`, or `problem`."""

    index: int = Field(description="Position of the entry in the request, from 0.")
    job_id: str | None = Field(default=None, alias="jobId", description="The job's id.")
    created: bool | None = Field(
        default=None, description="False: the idempotency key was known, and this is the job that has it."
    )
    problem: ProblemDocument | None = Field(default=None, description="Why the entry was refused.")


class BatchAnswer(BaseModel):
    """What became of each entry, in the order of the request."""

    results: list[EntryAnswer]
    accepted: int = Field(description="Entries whose job is stored, now or before.")
    refused: int = Field(description="Entries with a problem.")


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch, entry by entry: a submission or a problem."""

    entries: tuple[Submission | Problem, ...]

    @property
    def submissions(self) -> list[Submission]:
        """The good entries."""
        return [entry for entry in self.entries if not isinstance(entry, Problem)]

    def demand_all(self) -> None:
        """Demand that every entry is good.

        Raises:
            Problem: names every field of every entry that is not, as `jobs.<index>.<field>`.

        """
        errors = [
            FieldError(f"jobs.{index}.{error.field}", error.rule, error.got)
            for index, entry in enumerate(self.entries)
            if isinstance(entry, Problem)
            for error in entry.errors
        ]
        if errors:
            raise invalid(*errors)


def entries_of(body: bytes, max_entries: int) -> list[object]:
    """Return the entries of a batch, unchecked.

    Raises:
        Problem: the body is no `{"jobs": […]}` of 1 to `max_entries` entries.

    """
    rule = f"must be a list of at least 1 and at most {max_entries} jobs"
    try:
        document = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise invalid(FieldError("body", f"must be JSON: {error}"[:100])) from None
    if not isinstance(document, dict):
        raise invalid(FieldError("body", 'must be a JSON object: {"jobs": […]}'))
    unknown = [FieldError(name[:100], "is not known; known is jobs") for name in document if name != "jobs"]
    if unknown:
        raise invalid(*unknown[:10])
    jobs = document.get("jobs")
    if not isinstance(jobs, list) or not 1 <= len(jobs) <= max_entries:
        got = f"{len(jobs)} jobs" if isinstance(jobs, list) else None
        raise invalid(FieldError("jobs", rule if "jobs" in document else f"is required: {rule}", got))
    return jobs


def plan(
    body: bytes,
    limits: SubmissionLimits,
    now: datetime,
    trace: str | None,
    *,
    max_entries: int,
    max_entry_bytes: int,
) -> Plan:
    """Judge every entry.

    Args:
        body: the request's.
        limits: the bounds that the settings draw.
        now: bounds `runAt`.
        trace: the request's trace context, which every job gets.
        max_entries: how many there may be.
        max_entry_bytes: how large each may be as JSON.

    Raises:
        Problem: the body holds no list of entries.

    """
    suspicious = is_suspicious(body)
    may_be_large = len(body) > max_entry_bytes
    seen: dict[tuple[str, str], str] = {}
    judged: list[Submission | Problem] = []
    for entry in entries_of(body, max_entries):
        if may_be_large and len(to_json(entry)) > max_entry_bytes:
            rule = f"must have at most {max_entry_bytes} bytes as JSON"
            judged.append(Problem(Kind.BODY_TOO_LARGE, f"The job {rule}.", [FieldError("job", rule)]))
            continue
        submission, errors = parse_entry(entry, limits, now, trace, suspicious=suspicious)
        if submission is None:
            judged.append(invalid(*errors))
        else:
            judged.append(_conflict_within(submission, seen) or submission)
    return Plan(tuple(judged))


def _conflict_within(submission: Submission, seen: dict[tuple[str, str], str]) -> Problem | None:
    key = submission.idempotency_key
    if key is None:
        return None
    print_ = fingerprint(submission)
    return idempotency_conflict(key) if seen.setdefault((submission.queue, key), print_) != print_ else None


def answer(judged: Plan, inserted: list[Inserted]) -> dict[str, object]:
    """Return the answer's document.

    Args:
        judged: the plan.
        inserted: what the store said of the plan's submissions, in order.

    """
    outcomes = iter(inserted)
    results: list[dict[str, object]] = []
    refused = 0
    for index, entry in enumerate(judged.entries):
        if isinstance(entry, Problem):
            problem = entry
        else:
            outcome = next(outcomes)
            if is_same(entry, outcome):
                results.append({"index": index, "jobId": outcome.job.id, "created": outcome.created})
                continue
            problem = idempotency_conflict(entry.idempotency_key or "")
        refused += 1
        results.append({"index": index, "problem": problem.document()})
    return {"results": results, "accepted": len(results) - refused, "refused": refused}


def is_same(submission: Submission, outcome: Inserted) -> bool:
    """Tell whether the stored job is the one that was submitted, now or with the same key before."""
    return outcome.created or outcome.job.fingerprint == fingerprint(submission)
