"""A job store in memory, with the same rules as the real one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.heartbeat import PhaseCounts
from jobqueue_core.domain.ids import lowest_id_at
from jobqueue_core.domain.job import Job, Phase
from jobqueue_core.domain.submission import is_over
from jobqueue_core.ports.store import Backlog, FailureGroup, Inserted, JobFilter
from jobqueue_core.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime

    from jobqueue_core.domain.heartbeat import Heartbeat
    from jobqueue_core.domain.transitions import Guard, Transition

_WAITING = (Phase.QUEUED, Phase.RETRYING)


class MemoryJobStore:
    """Implements the port `JobStore`; `available = False` makes every call fail."""

    def __init__(self) -> None:
        """Start empty and available."""
        self.jobs: dict[str, Job] = {}
        self.keys: dict[tuple[str, str], tuple[str, datetime | None]] = {}
        """Idempotency keys by queue and key: the id of the job, and until when they stand for it."""
        self.heartbeats: dict[str, Heartbeat] = {}
        self.available = True
        self.clock_time = START

    def _check(self) -> None:
        if not self.available:
            msg = "the store is away"
            raise StoreUnavailableError(msg)

    async def prepare(self) -> None:
        """Nothing to create."""
        self._check()

    async def ping(self) -> None:
        """Answer while available."""
        self._check()

    async def time(self) -> datetime:
        """Return the set time."""
        self._check()
        return self.clock_time

    async def insert(self, jobs: Sequence[Job]) -> list[Inserted]:
        """Store new jobs; a taken idempotency key gives the job that has it."""
        self._check()
        answers = []
        for job in jobs:
            placed = self._placed(job)
            there = self.jobs.get(placed.id)
            if there is None:
                self.jobs[placed.id] = placed
            answers.append(Inserted(there or placed, created=there is None))
        return answers

    def _placed(self, job: Job) -> Job:
        """Return the job under the id that its idempotency key stands for."""
        if job.idempotency_key is None:
            return job
        name = (job.queue, job.idempotency_key)
        job_id, until = self.keys.get(name, (job.id, job.idempotency_until))
        if is_over(until, job.created_at):
            job_id, until = job.id, job.idempotency_until
        self.keys[name] = (job_id, until)
        return replace(job, id=job_id)

    async def get(self, job_id: str) -> Job | None:
        """Return one job."""
        self._check()
        return self.jobs.get(job_id)

    async def get_many(self, job_ids: Sequence[str]) -> dict[str, Job]:
        """Return those that exist."""
        self._check()
        return {job_id: self.jobs[job_id] for job_id in job_ids if job_id in self.jobs}

    async def apply(self, transitions: Sequence[Transition]) -> list[bool]:
        """Write those whose guard holds."""
        self._check()
        return [self._write(transition) for transition in transitions]

    async def offer(self, transitions: Sequence[Transition]) -> None:
        """Write those whose guard holds."""
        self._check()
        for transition in transitions:
            self._write(transition)

    def _write(self, transition: Transition) -> bool:
        stored = self.jobs.get(transition.before.id)
        if stored is None:
            return False
        if _holds(transition.guard, stored):
            self.jobs[stored.id] = _changed(stored, transition)
            return True
        # The same transition a second time: it is there already.
        after = transition.after
        return (stored.lease, stored.phase, stored.due_at, stored.sent_at) == (
            after.lease,
            after.phase,
            after.due_at,
            after.sent_at,
        )

    async def page(self, which: JobFilter, *, limit: int, before: str | None = None) -> list[Job]:
        """Return jobs newest first."""
        self._check()
        jobs = sorted(
            (job for job in self.jobs.values() if _matches(which, job)), key=lambda j: j.id, reverse=True
        )
        return [job for job in jobs if before is None or job.id < before][:limit]

    async def failed_after(
        self, queue: str, *, limit: int, fingerprint: str | None = None, after: str | None = None
    ) -> list[Job]:
        """Return failed jobs, the oldest first."""
        self._check()
        which = JobFilter(queue=queue, phase=Phase.FAILED, fingerprint=fingerprint)
        jobs = sorted((job for job in self.jobs.values() if _matches(which, job)), key=lambda j: j.id)
        return [job for job in jobs if after is None or job.id > after][:limit]

    async def failed_count(self, queue: str) -> int:
        """Count the failed."""
        self._check()
        return len(list(self._of(queue, (Phase.FAILED,))))

    async def failure_groups(self, queue: str, limit: int) -> list[FailureGroup]:
        """Group by fingerprint."""
        self._check()
        by_fingerprint: dict[str, list[Job]] = defaultdict(list)
        for job in self._of(queue, (Phase.FAILED,)):
            fingerprint = _fingerprint(job)
            if fingerprint is not None:
                by_fingerprint[fingerprint].append(job)
        groups = [_group(fingerprint, jobs) for fingerprint, jobs in by_fingerprint.items()]
        return sorted(groups, key=lambda group: (-group.count, group.fingerprint))[:limit]

    async def due(self, now: datetime, limit: int) -> list[Job]:
        """Return jobs that are owed something."""
        self._check()
        due = [
            (job.due_at, job) for job in self.jobs.values() if job.due_at is not None and job.due_at <= now
        ]
        return [job for _, job in sorted(due, key=lambda pair: pair[0])][:limit]

    async def waiting_since(self, queue: str, sent_before: datetime, limit: int) -> list[Job]:
        """Return jobs whose message is old."""
        self._check()
        sent = [
            (job.sent_at, job)
            for job in self._of(queue, _WAITING)
            if job.sent_at is not None and job.sent_at < sent_before
        ]
        return [job for _, job in sorted(sent, key=lambda pair: pair[0])][:limit]

    async def first_of_keys(self, jobs: Sequence[Job]) -> dict[str, Job]:
        """Look for the first job before each."""
        self._check()
        in_the_way = {
            (job.queue, job.ordering_key, job.id): job
            for job in sorted(self.jobs.values(), key=attrgetter("id"))
            if not job.phase.is_final and job.phase is not Phase.SCHEDULED and job.ordering_key is not None
        }
        found: dict[str, Job] = {}
        for job in jobs:
            for (queue, key, job_id), other in in_the_way.items():
                if (queue, key) == (job.queue, job.ordering_key) and job_id < job.id:
                    found.setdefault(job.id, other)
        return found

    async def counts(self, queue: str) -> PhaseCounts:
        """Count by phase."""
        self._check()
        return PhaseCounts(**{phase.value: len(list(self._of(queue, (phase,)))) for phase in Phase})

    async def unfinished(self, queue: str, limit: int) -> int:
        """Count what is queued, running or retrying."""
        self._check()
        return min(limit, len(list(self._of(queue, (*_WAITING, Phase.RUNNING)))))

    async def oldest_waiting(self, queue: str) -> datetime | None:
        """Return when the oldest queued job was created."""
        self._check()
        return min((job.created_at for job in self._of(queue, (Phase.QUEUED,))), default=None)

    async def backlogs(self, queues: Collection[str]) -> dict[str, Backlog]:
        """Count each."""
        return {
            queue: Backlog(await self.unfinished(queue, len(self.jobs)), await self.oldest_waiting(queue))
            for queue in queues
        }

    def _of(self, queue: str, phases: Iterable[Phase]) -> Iterable[Job]:
        return [job for job in self.jobs.values() if job.queue == queue and job.phase in phases]

    async def beat(self, heartbeat: Heartbeat, ttl_seconds: float) -> None:
        """Keep the newest; the TTL is left to the reader's `seen_after`."""
        del ttl_seconds
        self._check()
        self.heartbeats[heartbeat.worker] = heartbeat

    async def leave(self, worker: str) -> None:
        """Forget the worker."""
        self._check()
        self.heartbeats.pop(worker, None)

    async def workers(self, queue: str, seen_after: datetime) -> list[Heartbeat]:
        """Return live workers."""
        self._check()
        return [
            beat for beat in self.heartbeats.values() if beat.queue == queue and beat.seen_at > seen_after
        ]

    async def workers_of(self, queues: Collection[str], seen_after: datetime) -> list[Heartbeat]:
        """Return live workers of each."""
        return [beat for queue in queues for beat in await self.workers(queue, seen_after)]

    async def close(self) -> None:
        """Nothing to close."""


def _holds(guard: Guard, stored: Job) -> bool:
    if (stored.status, stored.lease.token) != (guard.status, guard.token):
        return False
    return not guard.with_expiry or stored.lease.expires_at == guard.lease_expires_at


def _changed(stored: Job, transition: Transition) -> Job:
    """Write only what the step changes, as the real store does."""
    before, after = transition.before, transition.after
    names = [name for name in Job.__slots__ if getattr(before, name) is not getattr(after, name)]
    return replace(stored, **{name: getattr(after, name) for name in names})


def _matches(which: JobFilter, job: Job) -> bool:
    return (
        (which.queue is None or job.queue == which.queue)
        and (which.status is None or job.status is which.status)
        and (which.phase is None or job.phase is which.phase)
        and (which.fingerprint is None or _fingerprint(job) == which.fingerprint)
        and (which.created_from is None or job.id >= lowest_id_at(which.created_from))
        and (which.created_before is None or job.id < lowest_id_at(which.created_before))
    )


def _fingerprint(job: Job) -> str | None:
    return None if job.last_error is None else job.last_error.fingerprint


def _group(fingerprint: str, jobs: list[Job]) -> FailureGroup:
    ends = [job.finished_at or job.updated_at for job in jobs]
    ids = [job.id for job in jobs]
    return FailureGroup(fingerprint, len(jobs), min(ids), max(ids), min(ends), max(ends))
