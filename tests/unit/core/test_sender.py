from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from jobqueue_core.domain.message import decode
from jobqueue_core.sender import Sender
from jobqueue_core.testing.clock import START, ManualClock, settle
from jobqueue_core.testing.queue import MemoryQueue
from jobqueue_core.testing.store import MemoryJobStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.message import Message
    from jobqueue_core.ports.queue import EntryError
    from jobqueue_testsupport.factories import JobFactory


class HeldQueue(MemoryQueue):
    """A queue whose sends wait at a gate."""

    def __init__(self, name: str, clock: ManualClock) -> None:
        super().__init__(name, clock)
        self.gate = asyncio.Event()
        self.begun = 0

    async def send(self, messages: Sequence[Message]) -> list[EntryError | None]:
        self.begun += 1
        await self.gate.wait()
        return await super().send(messages)


class Parts:
    """A sender with its fakes."""

    def __init__(self, name: str = "jobs", *, held: bool = False) -> None:
        self.clock = ManualClock()
        self.store = MemoryJobStore()
        self.held = HeldQueue(name, self.clock)
        self.queue = self.held if held else MemoryQueue(name, self.clock)
        self.sender = Sender(self.queue, self.store, self.clock)

    async def submit(self, jobs: Sequence[Job]) -> None:
        await self.store.insert(jobs)
        self.sender.hand_over(jobs)
        await settle()

    @property
    def sent(self) -> list[str]:
        return [decode(body) for body in self.queue.bodies]

    def owed(self) -> list[str]:
        return [job.id for job in self.store.jobs.values() if job.sent_at is None and job.due_at is not None]


@pytest.fixture
def parts() -> Parts:
    return Parts()


async def test_stored_jobs_are_sent_and_noted(parts: Parts, job_factory: JobFactory) -> None:
    jobs = job_factory.many(25)
    await parts.submit(jobs)
    assert parts.sent == [job.id for job in jobs]
    assert parts.queue.calls == 3
    await parts.sender.close()
    assert parts.owed() == []
    assert {job.sent_at for job in parts.store.jobs.values()} == {START}


async def test_jobs_stay_owed_while_the_queue_is_away(parts: Parts, job_factory: JobFactory) -> None:
    parts.queue.faults.away = True
    jobs = job_factory.many(3)
    with capture_logs() as logs:
        await parts.submit(jobs)
        await parts.sender.close()
    assert parts.owed() == [job.id for job in jobs]
    assert [line["event"] for line in logs] == ["send failed, left to the relay"]


async def test_a_queue_that_failed_is_left_alone_for_a_second(parts: Parts, job_factory: JobFactory) -> None:
    parts.queue.faults.away = True
    await parts.submit(job_factory.many(1))
    parts.queue.faults.away = False
    calls = parts.queue.calls
    await parts.submit(job_factory.many(1))
    assert (parts.queue.calls, parts.sent) == (calls, [])
    await parts.clock.advance(1)
    late = job_factory.many(1)
    await parts.submit(late)
    assert parts.sent == [late[0].id]


async def test_what_waits_behind_a_failed_call_is_not_tried(job_factory: JobFactory) -> None:
    parts = Parts("jobs.fifo", held=True)
    await parts.submit(job_factory.many(30))
    parts.queue.faults.away = True
    parts.held.gate.set()
    await parts.sender.close()
    assert (parts.held.begun, len(parts.owed())) == (1, 30)


async def test_a_refused_message_stays_owed_and_the_others_are_noted(
    parts: Parts, job_factory: JobFactory
) -> None:
    parts.queue.faults.entries = ["InternalError"]
    jobs = job_factory.many(3)
    with capture_logs() as logs:
        await parts.submit(jobs)
        await parts.sender.close()
    assert parts.sent == [job.id for job in jobs[1:]]
    assert parts.owed() == [jobs[0].id]
    assert [(line["job_id"], line["code"]) for line in logs] == [(jobs[0].id, "InternalError")]


async def test_a_note_that_cannot_be_written_costs_nothing_but_a_message(
    parts: Parts, job_factory: JobFactory
) -> None:
    jobs = job_factory.many(2)
    await parts.submit(jobs)
    parts.store.available = False
    await parts.sender.close()
    assert parts.sent == parts.owed() == [job.id for job in jobs]


async def test_a_job_that_was_claimed_meanwhile_is_not_noted(parts: Parts, job_factory: JobFactory) -> None:
    (job,) = job_factory.many(1)
    await parts.submit([job])
    running = job_factory(id=job.id, sent_at=None)
    parts.store.jobs[job.id] = running
    await parts.sender.close()
    assert parts.store.jobs[job.id] == running


async def test_a_standard_queue_is_sent_to_by_several_calls_at_once(job_factory: JobFactory) -> None:
    parts = Parts(held=True)
    await parts.submit(job_factory.many(60))
    assert parts.held.begun == 4
    parts.held.gate.set()
    await parts.sender.close()
    assert len(parts.sent) == 60


async def test_calls_of_a_fifo_queue_do_not_overtake_each_other(job_factory: JobFactory) -> None:
    parts = Parts("jobs.fifo", held=True)
    jobs = job_factory.many(30, ordering_key="k")
    await parts.submit(jobs)
    assert parts.held.begun == 1
    parts.held.gate.set()
    await parts.sender.close()
    assert parts.sent == [job.id for job in jobs]


async def test_memory_is_not_the_relays_store(job_factory: JobFactory) -> None:
    parts = Parts(held=True)
    await parts.submit(job_factory.many(6000))
    await parts.submit(job_factory.many(100))
    parts.held.gate.set()
    await parts.sender.close()
    # 5000 of the first, and as many of the second as had been taken by calls: four of ten.
    assert len(parts.sent) == 5040
    assert len(parts.owed()) == 6100 - 5040
