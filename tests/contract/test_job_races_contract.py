"""Who wins a job when two reach for it at once: the store's one guarded write decides, by the token."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import pytest

from jobqueue_api.problems import Kind, Problem
from jobqueue_core.domain.job import Job, JobResult, Lease, Phase, Status
from jobqueue_core.domain.message import encode
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.domain.redrives import redrive
from jobqueue_core.domain.submission import Submission
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import (
    begin,
    cancel,
    claim_dead_letter,
    claim_send,
    extend,
    finish,
    give_back,
    give_up_lost,
    note_sent,
    retry_by_hand,
)
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.api_rig import ApiRig
from jobqueue_testsupport.factories import RULES, JobFactory
from jobqueue_testsupport.worker_rig import Rig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from jobqueue_core.domain.transitions import Transition
    from jobqueue_core.ports.store import JobStore
    from jobqueue_core.testing.store import MemoryJobStore

    Step = Callable[[Job], Transition]
    MakeWorld = Callable[..., Awaitable["World"]]

OK = of_answer(200, JobResult(200, "done"))
AFTER_THE_LEASE = later(START, 61)
ROUNDS = 20


def finished(job: Job) -> Transition:
    return finish(job, OK, rules=RULES, jitter=0.5, token="outcome", now=START)


def cancelled(job: Job) -> Transition:
    return cancel(job, rules=RULES, token="cancel", now=START)


def retried(token: str) -> Step:
    return lambda job: retry_by_hand(job, rules=RULES, token=token, now=START)


def begun(token: str) -> Step:
    return lambda job: begin(
        job, owner=token, token=token, expires_at=later(AFTER_THE_LEASE, 60), now=AFTER_THE_LEASE
    )


def redriven(token: str) -> Step:
    return lambda job: redrive([job], rules=RULES, token=token, now=START)[0]


def given_up(job: Job) -> Transition:
    return give_up_lost(job, rules=RULES, token="relay", now=AFTER_THE_LEASE)


def sent(token: str) -> Step:
    return lambda job: claim_send(job, rules=RULES, token=token, now=START)


RIVALS: dict[str, tuple[Phase, Step, Step]] = {
    "outcome and cancel": (Phase.RUNNING, finished, cancelled),
    "outcome and the next worker": (Phase.RUNNING, finished, begun("next")),
    "outcome and the relay": (Phase.RUNNING, finished, given_up),
    "giving back and cancel": (
        Phase.RUNNING,
        lambda job: give_back(job, token="back", now=START),
        cancelled,
    ),
    "extension and the relay": (
        Phase.RUNNING,
        lambda job: extend(job, expires_at=later(AFTER_THE_LEASE, 60)),
        given_up,
    ),
    "the next worker and the relay": (Phase.RUNNING, begun("next"), given_up),
    "two workers": (Phase.QUEUED, begun("one"), begun("other")),
    "worker and cancel": (Phase.QUEUED, begun("worker"), cancelled),
    "worker and the relay": (Phase.QUEUED, begun("worker"), sent("relay")),
    "two relays": (Phase.QUEUED, sent("one"), sent("other")),
    "retry by hand twice": (Phase.FAILED, retried("one"), retried("other")),
    "redrive and retry by hand": (Phase.FAILED, redriven("redrive"), retried("hand")),
    "redrive twice": (Phase.FAILED, redriven("one"), redriven("other")),
    "retry by hand and the relay's dead letter": (
        Phase.FAILED,
        retried("hand"),
        lambda job: claim_dead_letter(job, rules=RULES, token="relay", now=START),
    ),
}


@pytest.mark.parametrize("name", RIVALS)
async def test_of_two_steps_from_one_state_one_is_written(
    store: JobStore, job_factory: JobFactory, name: str
) -> None:
    phase, one, other = RIVALS[name]
    jobs = job_factory.many(ROUNDS, phase)
    await store.insert(jobs)
    pairs = [(one(job), other(job)) if n % 2 else (other(job), one(job)) for n, job in enumerate(jobs)]
    landed = await asyncio.gather(*(store.apply([step]) for pair in pairs for step in pair))
    stored = await store.get_many([job.id for job in jobs])
    for n, pair in enumerate(pairs):
        (winner,) = [
            step for step, (is_ours,) in zip(pair, landed[2 * n : 2 * n + 2], strict=True) if is_ours
        ]
        assert stored[winner.after.id] == winner.after


@pytest.mark.parametrize("name", RIVALS)
@pytest.mark.parametrize("first", [0, 1])
async def test_the_later_of_two_steps_changes_nothing(
    store: JobStore, job_factory: JobFactory, name: str, first: int
) -> None:
    phase, *steps = RIVALS[name]
    job = job_factory(phase)
    await store.insert([job])
    earlier, late = steps[first](job), steps[1 - first](job)
    assert await store.apply([earlier]) == [True]
    assert await store.apply([late]) == [False]
    await store.offer([late])
    assert await store.get(job.id) == earlier.after


@pytest.mark.parametrize("first", [0, 1])
async def test_a_note_of_a_send_takes_nothing_from_whoever_has_the_job(
    store: JobStore, job_factory: JobFactory, first: int
) -> None:
    """A note keeps the token: it may go before a claim, never over it."""
    job = job_factory()
    await store.insert([job])
    note, claim = note_sent(job, START), begun("worker")(job)
    for step in (note, claim) if first == 0 else (claim, note):
        await store.offer([step])
    stored = await store.get(job.id)
    assert stored is not None
    assert (stored.phase, stored.lease, stored.attempts) == (Phase.RUNNING, claim.after.lease, 1)
    assert stored.due_at == claim.after.due_at


class Meeting:
    """A store in which the first so many readers of a job all read it before any of them goes on."""

    def __init__(self, store: JobStore, readers: int) -> None:
        self._store = store
        self._left = readers
        self._barrier = asyncio.Barrier(readers)

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def get(self, job_id: str) -> Job | None:
        job = await self._store.get(job_id)
        if self._left:
            self._left -= 1
            async with asyncio.timeout(10):
                await self._barrier.wait()
        return job


class World:
    """The API's parts and workers on one store and one queue in memory."""

    def __init__(self, store: JobStore, readers: int = 0) -> None:
        self.store = store
        met = Meeting(store, readers) if readers else store
        self.api = ApiRig(cast("MemoryJobStore", met))
        self.workers = Rig()
        self.workers.store = cast("MemoryJobStore", store)
        self.workers.clock = self.api.clock
        self.workers.queue = self.api.queue

    async def open(self) -> World:
        await self.api.parts.watch.prepare()
        for queue in self.api.parts.directory.accepted.values():
            await queue.prepare()
        return self

    async def end(self) -> None:
        for task in self.workers.tasks:
            task.cancel()
        await asyncio.gather(*self.workers.tasks, return_exceptions=True)

    async def job(self, job_id: str) -> Job:
        found = await self.store.get(job_id)
        assert found is not None
        return found

    async def sent(self) -> list[str]:
        """Return what is in the queue, once the API has sent and noted what it has in hand."""
        await self.api.parts.submissions.close()
        return self.api.queue.bodies


@pytest.fixture
async def make_world(store: JobStore) -> AsyncIterator[MakeWorld]:
    made: list[World] = []

    async def make(readers: int = 0) -> World:
        made.append(World(store, readers))
        return await made[-1].open()

    yield make
    for world in made:
        await world.end()


async def outcome_of(doing: Awaitable[Job]) -> Job | Kind:
    """Return the job as the action left it, or why it was refused."""
    try:
        return await doing
    except Problem as problem:
        return problem.kind


async def test_one_key_twenty_times_at_once_is_one_job_one_message_and_one_call(
    make_world: MakeWorld,
) -> None:
    world = await make_world()
    submission = Submission(queue="default", payload={"n": 1}, idempotency_key="k")
    answers = await asyncio.gather(*(world.api.parts.submissions.submit(submission) for _ in range(20)))
    assert sum(answer.created for answer in answers) == 1
    (job_id,) = {answer.job.id for answer in answers}
    assert len(await world.sent()) == 1
    await world.workers.run_until_idle(calls=1)
    assert world.workers.processor.calls == [(job_id, 1)]
    assert (await world.job(job_id)).status is Status.SUCCESS


async def test_a_cancel_that_comes_first_drops_the_outcome(make_world: MakeWorld) -> None:
    world = await make_world()
    (job,) = await world.workers.submit()
    held = world.workers.processor.hold(job.id)
    worker, task = world.workers.start()
    await world.workers.processor.called(1)
    done = await world.api.parts.actions.cancel(job.id)
    held.set()
    await world.workers.stop(worker, task)
    assert await world.job(job.id) == done
    assert (done.status, done.result) == (Status.CANCELLED, None)


async def test_a_cancel_that_comes_after_the_outcome_is_refused(make_world: MakeWorld) -> None:
    world = await make_world()
    (job,) = await world.workers.submit()
    await world.workers.run_until_idle(calls=1)
    done = await world.job(job.id)
    assert await outcome_of(world.api.parts.actions.cancel(job.id)) is Kind.JOB_NOT_CANCELLABLE
    assert Kind.JOB_NOT_CANCELLABLE.status == 409
    assert await world.job(job.id) == done
    assert done.status is Status.SUCCESS


async def test_cancels_and_outcomes_at_once_agree_with_what_is_stored(make_world: MakeWorld) -> None:
    world = await make_world()
    jobs = await world.workers.submit(2)
    for _ in range(5):
        holds = [world.workers.processor.hold(job.id) for job in jobs]
        worker, task = world.workers.start()
        await world.workers.processor.called(len(jobs))
        cancels = [asyncio.create_task(outcome_of(world.api.parts.actions.cancel(job.id))) for job in jobs]
        for held in holds:
            held.set()
        answers = await asyncio.gather(*cancels)
        await world.workers.stop(worker, task)
        for job, answer in zip(jobs, answers, strict=True):
            stored = await world.job(job.id)
            if isinstance(answer, Job):
                assert stored == answer
                assert (stored.status, stored.result) == (Status.CANCELLED, None)
            else:
                assert answer is Kind.JOB_NOT_CANCELLABLE
                assert (stored.status, stored.attempts) == (Status.SUCCESS, 1)
        world.workers.processor.calls.clear()
        jobs = await world.workers.submit(2)


async def test_ten_retries_by_hand_at_once_are_one_run(
    make_world: MakeWorld, job_factory: JobFactory
) -> None:
    world = await make_world(readers=10)
    failed = replace(job_factory(Phase.FAILED), queue="default", attempts=3, due_at=None)
    await world.store.insert([failed])
    answers = await asyncio.gather(*(outcome_of(world.api.parts.actions.retry(failed.id)) for _ in range(10)))
    assert sum(isinstance(answer, Job) for answer in answers) == 1
    assert [answer for answer in answers if isinstance(answer, Kind)] == [Kind.JOB_NOT_RETRYABLE] * 9
    assert len(await world.sent()) == 1
    assert (await world.job(failed.id)).sends == failed.sends + 1
    await world.workers.run_until_idle(calls=1)
    assert world.workers.processor.calls == [(failed.id, 1)]


async def test_of_ten_cancels_at_once_one_has_cancelled(
    make_world: MakeWorld, job_factory: JobFactory
) -> None:
    world = await make_world(readers=10)
    job = replace(job_factory(Phase.RUNNING), queue="default")
    await world.store.insert([job])
    answers = await asyncio.gather(*(outcome_of(world.api.parts.actions.cancel(job.id)) for _ in range(10)))
    (winner,) = [answer for answer in answers if isinstance(answer, Job)]
    assert [answer for answer in answers if isinstance(answer, Kind)] == [Kind.JOB_NOT_CANCELLABLE] * 9
    assert await world.job(job.id) == winner


async def test_an_old_message_beside_a_retry_by_hand_is_no_second_run(
    make_world: MakeWorld, job_factory: JobFactory
) -> None:
    """The dead worker's message comes back while the retry's own is in the queue."""
    world = await make_world()
    failed = replace(job_factory(Phase.FAILED), queue="default", lease=Lease("t"), due_at=None)
    await world.store.insert([failed])
    await world.api.parts.actions.retry(failed.id)
    assert len(await world.sent()) == 1
    await world.api.queue.send([encode(failed, fifo=False)])
    worker, task = world.workers.start()
    async with asyncio.timeout(10):
        while world.api.queue.bodies:
            await world.api.clock.advance(1)
            # A real store answers in its own time.
            await asyncio.sleep(0.01)
    await world.workers.stop(worker, task)
    assert world.workers.processor.calls == [(failed.id, 1)]
