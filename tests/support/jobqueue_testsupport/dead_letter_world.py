"""Failed jobs, their letters, and what puts them in order, in a world of fakes."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from jobqueue_core.domain.job import JobError, Phase
from jobqueue_core.domain.letters import read_letter
from jobqueue_core.domain.redrives import Redrive, Selection
from jobqueue_core.redrive import Redriver
from jobqueue_core.sweeper import Sweeper
from jobqueue_core.testing.redrives import MemoryRedriveStore
from jobqueue_testsupport.factories import FIFO_RULES, RULES, JobFactory
from jobqueue_testsupport.relay_world import World

if TYPE_CHECKING:
    from jobqueue_core.domain.job import Job

CHECK_SECONDS = 30.0
BUSY, BROKEN = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


class Observed:
    """Remembers what redrives and sweeps reported."""

    def __init__(self) -> None:
        self.redrives: Counter[str] = Counter()
        self.letters: dict[str, tuple[int, int]] = {}

    def redriven(self, queue: str, count: int) -> None:
        self.redrives[queue] += count

    def dead_letters(self, queue: str, *, failed: int, letters: int) -> None:
        self.letters[queue] = (failed, letters)


class DeadLetterWorld(World):
    """The relay's world, with redrives and sweeps."""

    def __init__(self) -> None:
        super().__init__()
        self.redrives = MemoryRedriveStore()
        self.observed = Observed()
        self.jobs = JobFactory()
        self.sweeper = self.make_sweeper()
        self.redriver = self.make_redriver(done=self.sweeper.ask)
        self._tasks = 0

    def make_redriver(self, done: object = None) -> Redriver:
        return Redriver(
            store=self.store,
            redrives=self.redrives,
            queues={"jobs": self.queue, "orders": self.fifo},
            rules={"jobs": RULES, "orders": FIFO_RULES},
            clock=self.clock,
            observer=self.observed,
            new_token=self.new_token,
            done=done,  # type: ignore[arg-type] # a method of the sweeper
        )

    def make_sweeper(self) -> Sweeper:
        return Sweeper(
            store=self.store,
            queues={"jobs": self.queue, "orders": self.fifo},
            clock=self.clock,
            observer=self.observed,
            check_seconds=CHECK_SECONDS,
        )

    async def have_failed(self, number: int, fingerprint: str = BUSY, **changes: object) -> list[Job]:
        """Have so many failed jobs, each with its letter in the dead-letter queue."""
        self.jobs.now = self.clock.now()
        error = JobError("the external service answered 503", 503, fingerprint)
        jobs = self.jobs.many(number, Phase.FAILED, last_error=error, **changes)
        await self.have(*jobs)
        self.clock.move(60)
        await self.relay.pay_dues()
        return [self.stored(job) for job in jobs]

    async def order(
        self, selection: Selection | None = None, *, queue: str = "jobs", per_second: float | None = None
    ) -> Redrive:
        """Store a task."""
        self._tasks += 1
        now = self.clock.now()
        task = Redrive(
            id=f"task-{self._tasks}",
            queue=queue,
            selection=selection or Selection(),
            per_second=per_second,
            created_at=now,
            updated_at=now,
        )
        await self.redrives.create(task)
        return task

    def task(self, task: Redrive) -> Redrive:
        return self.redrives.tasks[task.id]

    async def redrive(self, redriver: Redriver | None = None, turns: int = 3) -> None:
        """Let the redrives have some turns, without time passing."""
        for _ in range(turns):
            await (redriver or self.redriver).turn()

    async def sweep(self, sweeper: Sweeper | None = None) -> None:
        """Let time pass until a difference was seen twice and put in order."""
        for _ in range(4):
            self.clock.move(CHECK_SECONDS * 1.2)
            await self.finish_sweep(sweeper)

    async def finish_sweep(self, sweeper: Sweeper | None = None) -> None:
        """Let the sweeper have its turns until nothing is due at once."""
        while await (sweeper or self.sweeper).turn():
            pass

    @property
    def letters(self) -> list[str]:
        """The jobs that the letters name, sorted; unreadable ones as they are."""
        read = [(read_letter(each.body, each.attributes), each.body) for each in self.queue.dead]
        return sorted(letter.job_id or body for letter, body in read)

    @property
    def failed(self) -> list[str]:
        """The jobs that have failed, sorted."""
        return sorted(job.id for job in self.store.jobs.values() if job.phase is Phase.FAILED)

    def fail_again(self, job: Job) -> Job:
        """Have a job that was redriven fail once more, and be owed its letter."""
        now = self.clock.now()
        self.store.jobs[job.id] = replace(
            self.stored(job), phase=Phase.FAILED, finished_at=now, due_at=now, attempts=3
        )
        return self.stored(job)
