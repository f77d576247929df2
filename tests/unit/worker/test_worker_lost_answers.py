"""Answers that come late or never: nothing is taken for dead, and nothing hidden, that is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.job import JobResult, Status
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.testing.queue import MemoryQueue
from jobqueue_core.testing.store import MemoryJobStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.transitions import Transition
    from jobqueue_core.ports.queue import EntryError
    from jobqueue_testsupport.worker_rig import Rig


_BACKOFF_SECONDS = 2


class DeafStore(MemoryJobStore):
    """A store whose next answers to a batch are lost on the way: the writes have landed."""

    lost = 0

    async def apply(self, transitions: Sequence[Transition]) -> list[bool]:
        landed = await super().apply(transitions)
        if self.lost and transitions:
            self.lost -= 1
            msg = "the connection broke"
            raise StoreUnavailableError(msg)
        return landed


async def test_a_claim_whose_answer_was_lost_is_still_a_claim(rig: Rig) -> None:
    rig.store = store = DeafStore()
    (job,) = await rig.submit()
    store.lost = 1
    worker, task = rig.start()
    for _ in range(5):
        await rig.clock.advance(1)
    await rig.stop(worker, task)
    assert rig.processor.calls == [(job.id, 1)]
    after = rig.job(job)
    assert (after.status, after.attempts, len(after.history)) == (Status.SUCCESS, 1, 1)


class SlowQueue(MemoryQueue):
    """A queue that takes its time over extensions when told to."""

    def __init__(self, rig: Rig) -> None:
        super().__init__("jobs", rig.clock, visibility_timeout_seconds=60)
        self.answer = asyncio.Event()
        self.answer.set()
        self.changing = asyncio.Event()

    async def change_visibility(self, changes: Sequence[tuple[str, int]]) -> list[EntryError | None]:
        if any(seconds > _BACKOFF_SECONDS for _, seconds in changes):
            self.changing.set()
            await self.answer.wait()
        return await super().change_visibility(changes)


async def test_an_extension_on_its_way_does_not_hide_what_is_given_back(rig: Rig) -> None:
    rig.queue = queue = SlowQueue(rig)
    (job, _) = jobs = await rig.submit(2)
    holds = [rig.processor.hold(each.id) for each in jobs]
    rig.processor.answers[job.id] = [of_answer(503, JobResult(503, "later"))]
    worker, task = rig.start()
    await rig.processor.called(2)
    queue.answer.clear()
    await rig.clock.advance(45)
    assert queue.changing.is_set()
    holds[0].set()
    await rig.clock.advance(0.1)
    queue.answer.set()
    for _ in range(5):
        await rig.clock.advance(1)
    assert rig.processor.per_job[job.id] == 2
    holds[1].set()
    await rig.stop(worker, task)
