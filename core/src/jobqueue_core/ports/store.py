"""The job store: the truth about every job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from jobqueue_core.domain.heartbeat import Heartbeat, PhaseCounts
    from jobqueue_core.domain.job import Job, Phase, Status
    from jobqueue_core.domain.transitions import Transition


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of one submitted job.

    `job` is the stored one: another than was given when `created` is False, because a job
    with the same idempotency key was there and the key still stood for it.
    """

    job: Job
    created: bool


@dataclass(frozen=True, slots=True)
class Backlog:
    """What a queue has left to do.

    `unfinished` are jobs that are neither final nor scheduled for later; `oldest_waiting` is when
    the longest waiting queued job was created.
    """

    unfinished: int = 0
    oldest_waiting: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFilter:
    """Which jobs a page shows; at most one of `status` and `phase` is given.

    `fingerprint` (of the error) comes with a queue and the phase FAILED only.
    """

    queue: str | None = None
    status: Status | None = None
    phase: Phase | None = None
    created_from: datetime | None = None
    created_before: datetime | None = None
    fingerprint: str | None = None


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The failed jobs of a queue whose errors have one fingerprint.

    `oldest` and `newest` are the first and the last submitted of them, by their ids; the times are those of
    the first and the last failure.
    """

    fingerprint: str
    count: int
    oldest: str
    newest: str
    first_failed_at: datetime
    last_failed_at: datetime


class JobStore(Protocol):
    """Keeps jobs. Every method raises StoreUnavailableError when the database is out of reach."""

    async def prepare(self) -> None:
        """Create every index that the queries need; harmless to repeat."""
        ...

    async def ping(self) -> None:
        """Return when the store can take a write."""
        ...

    async def time(self) -> datetime:
        """Return the time by the store's own clock, UTC."""
        ...

    async def insert(self, jobs: Sequence[Job]) -> list[Inserted]:
        """Store new jobs, durable on a majority before it returns; answers in the order given.

        Of jobs with one idempotency key one is stored, for as long as the key stands for it; it may come to
        have the id of another of them.
        """
        ...

    async def get(self, job_id: str) -> Job | None:
        """Return one job."""
        ...

    async def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Return those of the jobs that exist, by id."""
        ...

    async def apply(self, transitions: Sequence[Transition]) -> list[bool]:
        """Write each transition whose guard still holds; tell which were written, in order.

        Each is atomic by itself; the batch is not. No job may be named twice.
        """
        ...

    async def offer(self, transitions: Sequence[Transition]) -> None:
        """Write those whose guard still holds, without finding out which (for mere notes)."""
        ...

    async def page(self, which: JobFilter, *, limit: int, before: str | None = None) -> list[Job]:
        """Return jobs newest first, those with ids below `before` where it is given."""
        ...

    async def failed_after(
        self, queue: str, *, limit: int, fingerprint: str | None = None, after: str | None = None
    ) -> list[Job]:
        """Return failed jobs of a queue in the order of their submission, those with ids above `after`."""
        ...

    async def failed_count(self, queue: str) -> int:
        """Count the failed jobs of a queue."""
        ...

    async def failure_groups(self, queue: str, limit: int) -> list[FailureGroup]:
        """Return the largest groups of the queue's failed jobs, the largest first.

        Jobs whose error has no fingerprint are in none.
        """
        ...

    async def due(self, now: datetime, limit: int) -> list[Job]:
        """Return jobs whose `due_at` has come, the longest due first."""
        ...

    async def waiting_since(self, queue: str, sent_before: datetime, limit: int) -> list[Job]:
        """Return queued and retrying jobs whose message was sent before then, the oldest first."""
        ...

    async def first_of_keys(self, jobs: Sequence[Job]) -> dict[str, Job]:
        """Return, by the id of each job that has to wait for it, the first of its queue and ordering key.

        That is the one with the lowest id that is neither final nor scheduled for later.
        """
        ...

    async def counts(self, queue: str) -> PhaseCounts:
        """Count the queue's jobs by phase."""
        ...

    async def unfinished(self, queue: str, limit: int) -> int:
        """Count the queue's jobs that are not final nor scheduled for later, up to `limit`."""
        ...

    async def oldest_waiting(self, queue: str) -> datetime | None:
        """Return when the longest waiting queued job was created."""
        ...

    async def backlogs(self, queues: Collection[str]) -> dict[str, Backlog]:
        """Return what each of the queues has left to do, those with nothing included.

        One question for many queues: cheap as long as none of them is deep, for it looks at every
        unfinished job. A deep one is asked for by `unfinished` and `oldest_waiting`.
        """
        ...

    async def beat(self, heartbeat: Heartbeat, ttl_seconds: float) -> None:
        """Keep a worker's newest word; it is forgotten after the TTL."""
        ...

    async def leave(self, worker: str) -> None:
        """Forget a worker that has ended."""
        ...

    async def workers(self, queue: str, seen_after: datetime) -> list[Heartbeat]:
        """Return the workers of a queue that were heard of after then."""
        ...

    async def workers_of(self, queues: Collection[str], seen_after: datetime) -> list[Heartbeat]:
        """Return the workers of many queues that were heard of after then."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
