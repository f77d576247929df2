"""The job: one HTTP call that is owed to somebody, and everything known of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

# Attempts kept in a job's history. The most a job may be given, so that every attempt of one
# run through is there; older runs (before a retry by hand) make room.
HISTORY_LIMIT = 100


class Status(StrEnum):
    """What a client is told of a job. There is no fifth."""

    PENDING = "PENDING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Phase(StrEnum):
    """Where exactly a job is; each phase belongs to one status."""

    SCHEDULED = "scheduled"
    """Waits in the store for its time; the queue has no message for it."""
    QUEUED = "queued"
    """A message is in the queue, or owed to it."""
    RUNNING = "running"
    """An attempt holds the lease."""
    RETRYING = "retrying"
    """An attempt failed; the same message becomes visible again when the backoff ends."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def status(self) -> Status:
        """The public status of this phase."""
        return _STATUS_OF.get(self, Status.PENDING)

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the job by itself."""
        return self in _STATUS_OF


_STATUS_OF = {
    Phase.SUCCEEDED: Status.SUCCESS,
    Phase.FAILED: Status.FAILED,
    Phase.CANCELLED: Status.CANCELLED,
}


class Step(StrEnum):
    """How far an attempt has come, as it was written down before it died.

    Only of jobs that have lost a worker is more noted than that they were claimed: each note is a write.
    """

    CLAIMED = "claimed"
    CALLING = "calling"
    ANSWERED = "answered"


class AttemptOutcome(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    RETRYABLE = "retryable"
    """The external service failed in a way that another attempt may cure."""
    REJECTED = "rejected"
    """The external service refused the job for good."""
    LOST = "lost"
    """The worker died or lost its lease; what the external service did is unknown."""
    RELEASED = "released"
    """The worker was stopped in mid-call and gave the job back."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who may write the job now.

    `token` is the fencing token (Kleppmann, "How to do distributed locking", 2016): every step
    of a job writes a new one and every write demands the one it read, so a late writer matches
    nothing. It outlives the lease itself: `owner` and `expires_at` are None between attempts.
    """

    token: str
    owner: str | None = None
    expires_at: datetime | None = None

    def is_held(self, now: datetime) -> bool:
        """Whether an attempt still owns the job at `now`."""
        return self.expires_at is not None and self.expires_at > now


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished call of the external service (or one that never came back)."""

    number: int
    outcome: AttemptOutcome
    started_at: datetime
    finished_at: datetime
    worker: str | None
    code: int | None = None
    """The HTTP status answered; None where there was no answer."""
    error: str | None = None
    next_attempt_at: datetime | None = None

    @property
    def duration_seconds(self) -> float:
        """How long the attempt took, in seconds."""
        return (self.finished_at - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class JobError:
    """Why the last attempt did not succeed."""

    message: str
    code: int | None = None
    fingerprint: str | None = None
    """Digest that is the same for the same fault of other jobs; of failed jobs only."""


@dataclass(frozen=True, slots=True)
class JobResult:
    """What the external service answered to the attempt that succeeded."""

    code: int
    body: str
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job document as the domain sees it. Immutable: a step makes another one."""

    id: str
    queue: str
    payload: Mapping[str, JsonValue]
    phase: Phase
    max_attempts: int
    created_at: datetime
    updated_at: datetime
    run_at: datetime
    """Not called before this moment (the submission's time, its delay, or a backoff's end)."""
    lease: Lease
    attempts: int = 0
    """Calls begun, those that died included; never more than `max_attempts`."""
    sent_at: datetime | None = None
    """When the queue took the newest message; None: the queue is owed one."""
    sends: int = 1
    """Number of the newest message; part of the FIFO de-duplication id."""
    due_at: datetime | None = None
    """When the relay must look at the job; None: nothing is owed."""
    started_at: datetime | None = None
    """When the attempt that holds the lease began."""
    step: Step | None = None
    """How far the newest attempt is known to have come."""
    timeout_seconds: float | None = None
    """This job's own time-out of one call; None: the queue's."""
    ordering_key: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    idempotency_until: datetime | None = None
    """Until when its idempotency key, or a schedule's due time, stands for this job: it is kept so long."""
    fingerprint: str | None = None
    """Digest of the submission that carried the idempotency key."""
    traceparent: str | None = None
    last_error: JobError | None = None
    result: JobResult | None = None
    history: tuple[Attempt, ...] = ()
    finished_at: datetime | None = None
    expire_at: datetime | None = None
    """When the store may forget the job (final phases only)."""

    @property
    def status(self) -> Status:
        """The public status."""
        return self.phase.status

    @property
    def deaths(self) -> int:
        """Attempts in a row, the newest included, whose worker never reported back.

        Of this run only: a retry by hand begins another. An attempt that is running is not counted.
        """
        ended = self.attempts - (1 if self.phase is Phase.RUNNING else 0)
        deaths = 0
        for attempt in reversed(self.history[-ended:] if ended > 0 else ()):
            if attempt.outcome is not AttemptOutcome.LOST:
                break
            deaths += 1
        return deaths
