"""From what a client asks for to the job that is stored."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobqueue_core.domain.job import Job, JsonValue, Lease, Phase
from jobqueue_core.domain.times import later, to_milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jobqueue_core.domain.transitions import JobRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A checked request to run a job; what is None falls back to the queue's own."""

    queue: str
    payload: Mapping[str, JsonValue] = field(default_factory=dict)
    run_at: datetime | None = None
    delay_seconds: float | None = None
    max_attempts: int | None = None
    timeout_seconds: float | None = None
    ordering_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    traceparent: str | None = None


def new_job(submission: Submission, *, job_id: str, token: str, rules: JobRules, now: datetime) -> Job:
    """Return the job of a submission: queued, or scheduled when its time is still to come."""
    now = to_milliseconds(now)
    run_at = now
    if submission.run_at is not None:
        run_at = max(now, to_milliseconds(submission.run_at))
    elif submission.delay_seconds is not None:
        run_at = later(now, submission.delay_seconds)
    scheduled = run_at > now
    return Job(
        id=job_id,
        queue=submission.queue,
        payload=submission.payload,
        phase=Phase.SCHEDULED if scheduled else Phase.QUEUED,
        max_attempts=submission.max_attempts or rules.retry.max_attempts,
        created_at=now,
        updated_at=now,
        run_at=run_at,
        due_at=run_at if scheduled else later(now, rules.relay_grace_seconds),
        lease=Lease(token),
        timeout_seconds=submission.timeout_seconds,
        ordering_key=submission.ordering_key,
        labels=submission.labels,
        idempotency_key=submission.idempotency_key,
        idempotency_until=None
        if submission.idempotency_key is None
        else later(now, rules.idempotency_seconds),
        fingerprint=None if submission.idempotency_key is None else fingerprint(submission),
        traceparent=submission.traceparent,
    )


def is_over(until: datetime | None, now: datetime) -> bool:
    """Tell whether the time is over for which an idempotency key was to stand for its job.

    Args:
        until: as it was promised (`Job.idempotency_until`); None: without an end.
        now: when the next job with the key is submitted; by the store's clock, as `until` is.

    """
    return until is not None and until <= now


def fingerprint(submission: Submission) -> str:
    """Return a digest of what the client asked for: the same request gives the same digest."""
    asked = {
        "payload": submission.payload,
        "runAt": submission.run_at.isoformat() if submission.run_at else None,
        "delaySeconds": submission.delay_seconds,
        "maxAttempts": submission.max_attempts,
        "timeoutSeconds": submission.timeout_seconds,
        "orderingKey": submission.ordering_key,
        "labels": dict(submission.labels),
    }
    text = json.dumps(asked, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
