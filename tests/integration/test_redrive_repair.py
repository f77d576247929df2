"""Redrives on a real database and a real queue: each job runs once, whoever dies, and its letter goes."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.redrives import MongoRedriveStore
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.domain.job import JobError, JobResult, Phase
from jobqueue_core.domain.letters import read_letter
from jobqueue_core.domain.message import Message, decode
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.domain.redrives import LEASE_SECONDS, Redrive, RedriveState, Selection
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import begin, finish
from jobqueue_core.redrive import Redriver
from jobqueue_core.relay import Relay, RelaySettings
from jobqueue_core.sweeper import Sweeper
from jobqueue_core.testing.clock import ManualClock
from jobqueue_testsupport.dead_letter_world import Observed
from jobqueue_testsupport.factories import RULES, JobFactory, Tokens
from jobqueue_testsupport.observers import CountedRequests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_core.domain.job import Job

JOBS = 50
BUSY, BROKEN = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
CHECK_SECONDS = 30.0


class Killed(BaseException):
    """The relay is gone in the middle of a turn."""


class Parts:
    """A store and a queue, both real, what relays do with them, and a clock that is moved by hand."""

    def __init__(self, store: MongoJobStore, redrives: MongoRedriveStore, queue: SqsQueue) -> None:
        self.store = store
        self.redrives = redrives
        self.queue = queue
        self.clock = ManualClock()
        self.observed = Observed()
        self.tokens = Tokens()
        self.tasks = 0
        self.relay = Relay(
            store=store,
            queues={"jobs": queue},
            rules={"jobs": RULES},
            clock=self.clock,
            settings=RelaySettings(),
            observer=self,
            new_token=self.tokens,
        )
        self.sweeper = Sweeper(
            store=store,
            queues={"jobs": queue},
            clock=self.clock,
            observer=self.observed,
            check_seconds=CHECK_SECONDS,
        )

    def relay_resent(self, queue: str, count: int) -> None:
        """Nobody asks."""

    def make_redriver(self) -> Redriver:
        return Redriver(
            store=self.store,
            redrives=self.redrives,
            queues={"jobs": self.queue},
            rules={"jobs": RULES},
            clock=self.clock,
            observer=self.observed,
            new_token=self.tokens,
            done=self.sweeper.ask,
        )

    async def order(self, selection: Selection, per_second: float | None = None) -> str:
        self.tasks += 1
        now = self.clock.now()
        task = Redrive(
            id=f"task-{self.tasks}",
            queue="jobs",
            selection=selection,
            per_second=per_second,
            created_at=now,
            updated_at=now,
        )
        await self.redrives.create(task)
        return task.id

    async def task(self, task_id: str) -> Redrive:
        task = await self.redrives.get(task_id)
        assert task is not None
        return task

    async def work(self) -> Counter[str]:
        """Run what is in the queue as a worker does; count the calls made for each job."""
        calls: Counter[str] = Counter()
        while received := await self.queue.receive(10, 0):
            for message in received:
                job = await self.store.get(decode(message.body))
                now = self.clock.now()
                if job is None or job.phase.is_final or job.lease.is_held(now):
                    continue
                claim = begin(job, owner="w", token=self.tokens(), expires_at=later(now, 60), now=now)
                if await self.store.apply([claim]) == [True]:
                    calls[job.id] += 1
                    outcome = of_answer(200, JobResult(200, "ok"))
                    end = finish(claim.after, outcome, rules=RULES, jitter=0.5, token=self.tokens(), now=now)
                    assert await self.store.apply([end]) == [True]
            await self.queue.delete([message.receipt for message in received])
        return calls

    async def sweep(self) -> None:
        while await self.sweeper.turn():
            pass

    async def letters(self) -> list[str]:
        """The jobs that letters name, sorted; unreadable ones as they are."""
        received = []
        while more := await self.queue.receive_dead_letters(10, 30, 1):
            received += more
        await self.queue.show_dead_letters([message.receipt for message in received])
        return sorted(
            read_letter(each.body, each.attributes, each.moved_from).job_id or each.body for each in received
        )


@pytest.fixture
async def parts(
    aws_env: str, embedded_mongo_uri: str, mongo_database: str, queue_name: str
) -> AsyncIterator[Parts]:
    assert aws_env
    async with AsyncExitStack() as stack:
        driver = open_driver("pymongo", embedded_mongo_uri, mongo_database)
        stack.push_async_callback(driver.close)
        store, redrives = MongoJobStore(driver), MongoRedriveStore(driver)
        await store.prepare()
        await redrives.prepare()
        connection = await stack.enter_async_context(SqsConnection(CountedRequests()))
        plan = QueuePlan(
            name=queue_name,
            dead_letter_name=f"{queue_name}-dead",
            visibility_timeout_seconds=600,
            max_receive_count=9,
            create=True,
        )
        queue = SqsQueue(connection, plan)
        await queue.prepare()
        yield Parts(store, redrives, queue)


@pytest.fixture
async def failed(parts: Parts, job_factory: JobFactory) -> list[Job]:
    """Failed jobs, with their letters; behind them one of another group."""
    error = JobError("the external service answered 503", 503, BUSY)
    jobs = job_factory.many(JOBS, Phase.FAILED, last_error=error)
    other = job_factory(Phase.FAILED, last_error=JobError("broken", 422, BROKEN))
    await parts.store.insert([*jobs, other])
    parts.clock.move(60)
    assert await parts.relay.pay_dues() == JOBS + 1
    assert await parts.queue.dead_letters() == JOBS + 1
    return jobs


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def test_a_group_redriven_twice_at_once_runs_once(parts: Parts, failed: list[Job]) -> None:
    tasks = [await parts.order(Selection(BUSY)) for _ in range(2)]
    redrivers = [parts.make_redriver() for _ in range(3)]
    for _ in range(3):
        await asyncio.gather(*(redriver.turn() for redriver in redrivers))
        await parts.relay.pay_dues()
    assert sum([(await parts.task(task)).moved for task in tasks]) == JOBS
    assert {(await parts.task(task)).state for task in tasks} == {RedriveState.DONE}
    assert await parts.work() == Counter(ids(failed))
    await parts.sweep()
    (left,) = await parts.store.failed_after("jobs", limit=10)
    assert await parts.letters() == [left.id]


@pytest.mark.parametrize("moment", ["before the cursor", "after the cursor"])
async def test_a_redrive_whose_relay_dies_is_carried_on_by_another(
    parts: Parts, failed: list[Job], moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = await parts.order(Selection(BUSY), per_second=10)
    dying = parts.make_redriver()
    await dying.turn()
    parts.clock.move(1)
    write = parts.redrives.write

    async def die(before: Redrive, after: Redrive) -> bool:
        if moment == "after the cursor":
            await write(before, after)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(parts.redrives, "write", die)
        with pytest.raises(Killed):
            await dying.turn()
    calls = Counter[str]()
    other = parts.make_redriver()
    parts.clock.move(LEASE_SECONDS)
    for _ in range(10):
        await other.turn()
        await parts.relay.pay_dues()
        calls += await parts.work()
        parts.clock.move(1)
    assert (await parts.task(task)).state is RedriveState.DONE
    assert calls == Counter(ids(failed))
    assert await parts.store.failed_count("jobs") == 1


async def test_letters_end_up_as_the_failed_jobs_whatever_was_there(
    parts: Parts, failed: list[Job], job_factory: JobFactory
) -> None:
    lost, *_ = failed
    stray = job_factory(Phase.SUCCEEDED)
    await parts.store.insert([stray])
    letters = await parts.queue.receive_dead_letters(10, 30, 1)
    gone = next(each for each in letters)
    lost_id = decode(gone.body)
    await parts.queue.delete_dead_letters([gone.receipt])
    await parts.queue.show_dead_letters([each.receipt for each in letters[1:]])
    await parts.queue.dead_letter(
        [Message("no json"), Message(f'{{"v":1,"jobId":"{stray.id}"}}', {"reason": "failed", "sends": "1"})]
    )
    parts.clock.move(200)
    parts.sweeper.ask("jobs")
    for _ in range(3):
        await parts.sweep()
        await parts.relay.pay_dues()
        parts.sweeper.ask("jobs")
    everything = sorted([*ids(await parts.store.failed_after("jobs", limit=100)), "no json"])
    assert await parts.letters() == everything
    assert lost_id in everything
    assert lost.id in everything
