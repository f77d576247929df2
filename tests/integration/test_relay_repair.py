"""The relay on a real database and a real queue: crashes of either cost no job."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.message import decode
from jobqueue_core.relay import Relay, RelaySettings
from jobqueue_core.testing.clock import ManualClock
from jobqueue_testsupport.factories import RULES, JobFactory, Tokens
from jobqueue_testsupport.observers import CountedRequests
from jobqueue_testsupport.server import EmbeddedSqs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from jobqueue_core.domain.job import Job

    OpenParts = Callable[[], Awaitable["Parts"]]

GRACE_SECONDS = RULES.relay_grace_seconds


class Resent(Counter[str]):
    def relay_resent(self, queue: str, count: int) -> None:
        self[queue] += count


class Parts:
    """A store and a queue, both real, and a clock that is moved by hand."""

    def __init__(self, store: MongoJobStore, queue: SqsQueue) -> None:
        self.store = store
        self.queue = queue
        self.clock = ManualClock()
        self.relays = 0

    def make_relay(self) -> Relay:
        self.relays += 1
        return Relay(
            store=self.store,
            queues={"jobs": self.queue},
            rules={"jobs": RULES},
            clock=self.clock,
            settings=RelaySettings(lost_after_seconds=60),
            observer=Resent(),
            new_token=Tokens(f"relay{self.relays}-"),
        )

    async def received(self, number: int) -> list[str]:
        """Take so many messages, and make sure that there are no more."""
        ids: list[str] = []
        async with asyncio.timeout(30):
            while len(ids) < number:
                ids += [decode(message.body) for message in await self.queue.receive(10, 5)]
        assert (await self.queue.counts()).visible == 0
        return sorted(ids)

    async def jobs(self, jobs: list[Job]) -> list[Job]:
        found = await self.store.get_many([job.id for job in jobs])
        return [found[job.id] for job in jobs]


@pytest.fixture
def sqs(tmp_path: Path, use_aws: Callable[[str], None]) -> Iterator[EmbeddedSqs]:
    with EmbeddedSqs(tmp_path) as server:
        use_aws(server.url)
        yield server


@pytest.fixture
async def open_parts(
    embedded_mongo_uri: str,
    mongo_is_embedded: bool,  # noqa: FBT001
    mongo_database: str,
    queue_name: str,
) -> AsyncIterator[OpenParts]:
    """Open the store and the queue at whatever endpoint this process is pointed at."""
    async with AsyncExitStack() as stack:

        async def open_them() -> Parts:
            driver = open_driver("pymongo", embedded_mongo_uri, mongo_database)
            stack.push_async_callback(driver.close)
            store = MongoJobStore(driver, guard_index=mongo_is_embedded)
            await store.prepare()
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
            return Parts(store, queue)

        yield open_them


@pytest.fixture
async def parts(aws_env: str, open_parts: OpenParts) -> Parts:
    assert aws_env
    return await open_parts()


async def test_what_was_never_sent_is_sent_once_by_many_relays(parts: Parts, job_factory: JobFactory) -> None:
    jobs = job_factory.many(60)
    await parts.store.insert(jobs)
    parts.clock.move(GRACE_SECONDS)
    await asyncio.gather(*(parts.make_relay().pay_dues() for _ in range(3)))
    assert await parts.received(60) == [job.id for job in jobs]
    assert {(job.phase, job.due_at) for job in await parts.jobs(jobs)} == {(Phase.QUEUED, None)}


async def test_jobs_of_dead_workers_and_dead_letters_are_paid(parts: Parts, job_factory: JobFactory) -> None:
    lost, spent, failed = (
        job_factory(Phase.RUNNING),
        job_factory(Phase.RUNNING, attempts=3),
        job_factory(Phase.FAILED),
    )
    await parts.store.insert([lost, spent, failed])
    relay = parts.make_relay()
    for _ in range(3):
        parts.clock.move(65)
        await relay.pay_dues()
    assert await parts.received(1) == [lost.id]
    assert await parts.queue.dead_letters() == 2
    assert [job.phase for job in await parts.jobs([lost, spent, failed])] == [
        Phase.QUEUED,
        Phase.FAILED,
        Phase.FAILED,
    ]
    assert {job.due_at for job in await parts.jobs([lost, spent, failed])} == {None}


async def test_a_queue_that_lost_its_messages_in_a_crash_is_filled_again(
    sqs: EmbeddedSqs, open_parts: OpenParts, job_factory: JobFactory
) -> None:
    parts = await open_parts()
    jobs = [replace(job, sent_at=None) for job in job_factory.many(30)]
    await parts.store.insert(jobs)
    relay = parts.make_relay()
    parts.clock.move(GRACE_SECONDS)
    await relay.pay_dues()
    assert (await parts.queue.counts()).total == 30
    sqs.kill()
    sqs.start()
    await parts.queue.prepare()
    assert (await parts.queue.counts()).total == 0
    parts.clock.move(61)
    await relay.audit()
    await relay.audit()
    assert await parts.received(30) == [job.id for job in jobs]


async def test_jobs_accepted_while_the_queue_is_down_are_sent_when_it_is_back(
    sqs: EmbeddedSqs, open_parts: OpenParts, job_factory: JobFactory
) -> None:
    parts = await open_parts()
    relay = parts.make_relay()
    sqs.stop()
    jobs = job_factory.many(30)
    await parts.store.insert(jobs)
    parts.clock.move(GRACE_SECONDS)
    assert await relay.pay_dues() == 0
    assert all(job.due_at is not None for job in await parts.jobs(jobs))
    sqs.start()
    parts.clock.move(GRACE_SECONDS)
    assert await relay.pay_dues() == 30
    assert await parts.received(30) == [job.id for job in jobs]
