"""Jobs, rules and tokens for tests."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

from jobqueue_core.domain.heartbeat import Heartbeat
from jobqueue_core.domain.ids import JobIds
from jobqueue_core.domain.job import Job, Lease, Phase
from jobqueue_core.domain.retry import RetryPolicy
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import JobRules, Retention
from jobqueue_core.testing.clock import START

if TYPE_CHECKING:
    from datetime import datetime

DAY_SECONDS = 86_400.0
RULES = JobRules(
    retry=RetryPolicy(max_attempts=3),
    retention=Retention(DAY_SECONDS, 2 * DAY_SECONDS, 3 * DAY_SECONDS),
)
FIFO_RULES = replace(RULES, fifo=True)
IDLE_BEAT = Heartbeat(
    worker="w",
    queue="jobs",
    slots=1,
    busy=0,
    service_seconds=None,
    attempts=0,
    retries=0,
    finished=0,
    draining=False,
    started_at=START,
    seen_at=START,
)
"""The first word of a worker that has done nothing yet."""


class Tokens:
    """Gives fencing tokens that can be told apart: `t1`, `t2`, …."""

    def __init__(self, prefix: str = "t") -> None:
        self._prefix = prefix
        self._numbers = count(1)

    def __call__(self) -> str:
        """Return the next token."""
        return f"{self._prefix}{next(self._numbers)}"


class JobFactory:
    """Makes jobs with rising ids, valid in every phase; keywords change fields of the job."""

    def __init__(self, queue: str = "jobs", now: datetime = START, seed: int = 1) -> None:
        self.queue = queue
        self.now = now
        self._ids = JobIds(random.Random(seed).getrandbits)
        self.new_token = Tokens("made")

    def __call__(self, phase: Phase = Phase.QUEUED, **changes: object) -> Job:
        """Return a job as the steps leave it in that phase."""
        now = self.now
        job = Job(
            id=self._ids.new(now),
            queue=self.queue,
            payload={"n": 1},
            phase=phase,
            max_attempts=3,
            created_at=now,
            updated_at=now,
            run_at=now,
            lease=Lease(self.new_token()),
        )
        job = replace(job, **_of_phase(job, phase))  # type: ignore[arg-type] # fields by name
        return replace(job, **changes)  # type: ignore[arg-type] # as above

    def many(self, number: int, phase: Phase = Phase.QUEUED, **changes: object) -> list[Job]:
        """Return so many jobs, in the order of their ids."""
        return [self(phase, **changes) for _ in range(number)]


def _of_phase(job: Job, phase: Phase) -> dict[str, object]:
    """Return the fields in which a job of the phase differs from a new one."""
    now = job.created_at
    if phase is Phase.SCHEDULED:
        return {"run_at": later(now, 60), "due_at": later(now, 60)}
    if phase is Phase.QUEUED:
        return {"due_at": later(now, RULES.relay_grace_seconds)}
    if phase is Phase.RUNNING:
        return {
            "attempts": 1,
            "sent_at": now,
            "started_at": now,
            "lease": Lease(job.lease.token, "worker", later(now, 60)),
            "due_at": later(now, 65),
        }
    if phase is Phase.RETRYING:
        return {"attempts": 1, "sent_at": now, "run_at": later(now, 2)}
    due_at = later(now, RULES.relay_grace_seconds) if phase is Phase.FAILED else None
    return {
        "attempts": 1,
        "sent_at": now,
        "finished_at": now,
        "expire_at": later(now, DAY_SECONDS),
        "due_at": due_at,
    }
