"""A worker on fakes, moved by hand."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobqueue_core.assembly import job_rules, new_token
from jobqueue_core.domain.ids import JobIds
from jobqueue_core.domain.job import JobResult
from jobqueue_core.domain.message import encode
from jobqueue_core.domain.outcome import Outcome, of_answer
from jobqueue_core.domain.submission import Submission, new_job
from jobqueue_core.domain.transitions import note_sent
from jobqueue_core.settings.model import Settings
from jobqueue_core.telemetry.metrics import Metrics
from jobqueue_core.testing.clock import ManualClock, settle
from jobqueue_core.testing.flow import MemoryFlowStore
from jobqueue_core.testing.queue import MemoryQueue
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_worker.bootstrap import make_worker

if TYPE_CHECKING:
    from jobqueue_core.domain.job import Job
    from jobqueue_worker.worker import Worker

OK = of_answer(200, JobResult(200, "done"))


class ScriptedProcessor:
    """Answers each call as told; a job that is held waits until it is let go."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Outcome | Exception]] = {}
        self.calls: list[tuple[str, int]] = []
        self.running: set[str] = set()
        self.most_running = 0
        self.holds: dict[str, asyncio.Event] = {}
        self.cut_off: list[str] = []
        self._called = asyncio.Condition()

    def hold(self, job_id: str) -> asyncio.Event:
        return self.holds.setdefault(job_id, asyncio.Event())

    async def call(self, job: Job) -> Outcome:
        self.calls.append((job.id, job.attempts))
        self.running.add(job.id)
        self.most_running = max(self.most_running, len(self.running))
        async with self._called:
            self._called.notify_all()
        try:
            if job.id in self.holds:
                await self.holds[job.id].wait()
            answers = self.answers.get(job.id, [])
            answer = answers.pop(0) if answers else OK
        except asyncio.CancelledError:
            self.cut_off.append(job.id)
            raise
        finally:
            self.running.discard(job.id)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def called(self, times: int) -> None:
        """Return when there have been so many calls."""
        async with asyncio.timeout(5), self._called:
            await self._called.wait_for(lambda: len(self.calls) >= times)

    @property
    def per_job(self) -> Counter[str]:
        return Counter(job_id for job_id, _ in self.calls)


def worker_settings(**overrides: object) -> Settings:
    document: dict[str, object] = {
        "mongodb": {"uri": "mongodb://unused"},
        "processor": {"url": "http://unused.example/jobs", "timeout_seconds": 30},
        "sqs": {"visibility_timeout_seconds": 60, "receive_wait_seconds": 20},
        "worker": {"concurrency": 2, "drain_seconds": 30, "heartbeat_seconds": 5},
        "retry": {"max_attempts": 3, "backoff": {"initial_seconds": 2, "max_seconds": 300, "factor": 2}},
    }
    document.update(overrides)
    return Settings.model_validate(document)


@dataclass
class Rig:
    """Store, queue, clock, external service, and any number of workers on them."""

    settings: Settings = field(default_factory=worker_settings)
    queue_name: str = "jobs"

    def __post_init__(self) -> None:
        self.clock = ManualClock()
        self.store = MemoryJobStore()
        self.flows = MemoryFlowStore()
        self.queue = MemoryQueue(self.queue_name, self.clock, visibility_timeout_seconds=60)
        self.processor = ScriptedProcessor()
        self.metrics = Metrics("worker")
        self.rules = job_rules(self.settings, self.settings.queue())
        self._ids = JobIds()
        self.tasks: list[asyncio.Task[None]] = []

    async def submit(self, count: int = 1, **fields: object) -> list[Job]:
        """Store jobs and send their messages, as the API does."""
        now = self.clock.now()
        jobs = [
            new_job(
                Submission(queue="default", **fields),  # type: ignore[arg-type] # fields of the dataclass
                job_id=self._ids.new(now),
                token=new_token(),
                rules=self.rules,
                now=now,
            )
            for _ in range(count)
        ]
        await self.store.insert(jobs)
        await self.queue.send([encode(job, fifo=self.queue.fifo) for job in jobs])
        await self.store.apply([note_sent(job, now) for job in jobs])
        return jobs

    def worker(self, name: str = "w1") -> Worker:
        own = self.settings.model_copy(
            update={"worker": self.settings.worker.model_copy(update={"id": name})}
        )
        return make_worker(
            settings=own,
            queue_settings=own.queue(),
            queue=self.queue,
            store=self.store,
            flows=self.flows,
            processor=self.processor,
            metrics=self.metrics,
            clock=self.clock,
        )

    def start(self, name: str = "w1") -> tuple[Worker, asyncio.Task[None]]:
        worker = self.worker(name)
        task = asyncio.create_task(worker.run())
        self.tasks.append(task)
        return worker, task

    async def stop(self, worker: Worker, task: asyncio.Task[None]) -> None:
        """Stop it and let it drain; a last long poll ends when its time is over."""
        worker.stop()
        await settle()
        await self.clock.advance(20)
        async with asyncio.timeout(5):
            await task

    async def run_until_idle(self, calls: int) -> None:
        """Run one worker through so many calls and its whole drain."""
        worker, task = self.start()
        await self.processor.called(calls)
        await self.stop(worker, task)

    def job(self, job: Job) -> Job:
        return self.store.jobs[job.id]
