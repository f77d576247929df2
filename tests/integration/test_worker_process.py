"""The worker as a process, on a real database and queue, killed and stopped as machines do."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.domain.job import AttemptOutcome, Job, Phase, Status
from jobqueue_core.domain.message import Message, decode, encode
from jobqueue_core.ports.clock import SystemClock
from jobqueue_core.telemetry.metrics import Metrics
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import JobFactory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from jobqueue_core.ports.queue import Received

VISIBILITY_SECONDS = 2
# Far longer than any of these tests waits: nothing comes back by itself.
patient = pytest.mark.parametrize("system", [60], indirect=True)
# Two seconds are promised; a machine that is busy with other tests gets more.
AT_ONCE_SECONDS = 5.0


class Service:
    """An external service on this machine; holds the jobs it is told to hold."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []
        self.held: set[str] = set()
        self._let_go = asyncio.Event()
        self._called = asyncio.Condition()

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.calls.append((body["jobId"], body["attempt"]))
        async with self._called:
            self._called.notify_all()
        if body["jobId"] in self.held:
            await self._let_go.wait()
        return web.json_response({"ok": True})

    def hold_for_a_while(self, jobs: list[Job]) -> asyncio.Event:
        """Hold the jobs until the event is set."""
        self.held = {job.id for job in jobs}
        return self._let_go

    async def called(self, times: int) -> None:
        async with asyncio.timeout(20), self._called:
            await self._called.wait_for(lambda: len(self.calls) >= times)

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/jobs", self.answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            yield f"http://{host}:{port}/jobs"
        finally:
            await runner.cleanup()


class System:
    """Store, queue and service, and worker processes on them."""

    def __init__(self, store: MongoJobStore, queue: SqsQueue, service: Service, env: dict[str, str]) -> None:
        self.store = store
        self.queue = queue
        self.service = service
        self._env = env
        self._processes: list[asyncio.subprocess.Process] = []
        self._make = JobFactory("default", SystemClock().now())

    def jobs(self, count: int) -> list[Job]:
        return self._make.many(count, due_at=None, sent_at=SystemClock().now())

    async def put(self, jobs: list[Job]) -> None:
        await self.store.insert(jobs)
        assert set(await self.queue.send([encode(job, fifo=False) for job in jobs])) == {None}

    async def submit(self, count: int) -> list[Job]:
        jobs = self.jobs(count)
        await self.put(jobs)
        return jobs

    async def start(self, **env: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "jobqueue_worker.main"),
            env={**self._env, **env},
            stderr=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        return process

    async def until(self, job: Job, status: Status) -> Job:
        """Read the job until it has the status; bounded."""
        async with asyncio.timeout(20):
            while True:
                stored = await self.store.get(job.id)
                assert stored is not None
                if stored.status is status:
                    return stored
                await asyncio.sleep(0.02)

    async def beat(self, worker: str, *, draining: bool = False) -> None:
        """Wait until the worker has said that it is there, or that it drains; bounded."""
        async with asyncio.timeout(20):
            while True:
                beats = await self.store.workers("default", START)
                if any(beat.worker == worker and beat.draining >= draining for beat in beats):
                    return
                await asyncio.sleep(0.02)

    async def received(self, number: int) -> list[Received]:
        """Take so many messages, as another worker would; bounded."""
        messages: list[Received] = []
        async with asyncio.timeout(20):
            while len(messages) < number:
                messages += await self.queue.receive(10, 1)
        return messages

    async def end(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.kill()
                await process.communicate()


@pytest.fixture
async def system(
    request: pytest.FixtureRequest,
    embedded_mongo_uri: str,
    mongo_database: str,
    mongo_is_embedded: bool,  # noqa: FBT001 - a fixture
    aws_env: str,
    queue_name: str,
    tmp_path: Path,
) -> AsyncIterator[System]:
    """Everything but the workers; the parameter is the queue's visibility time-out in seconds."""
    del aws_env
    visibility_seconds = getattr(request, "param", VISIBILITY_SECONDS)
    driver = open_driver("pymongo", embedded_mongo_uri, mongo_database)
    store = MongoJobStore(driver, guard_index=mongo_is_embedded)
    await store.prepare()
    plan = QueuePlan(
        name=queue_name,
        dead_letter_name=f"{queue_name}-dead-letter",
        visibility_timeout_seconds=visibility_seconds,
        max_receive_count=10,
        create=True,
    )
    service = Service()
    async with SqsConnection(Metrics("test")) as connection, service.serve() as url:
        queue = SqsQueue(connection, plan)
        await queue.prepare()
        (tmp_path / "application.yaml").write_text("{}")
        env = {
            **os.environ,
            "JOBQUEUE_CONFIG_DIR": str(tmp_path),
            "JOBQUEUE_MONGODB__URI": embedded_mongo_uri,
            "JOBQUEUE_MONGODB__DATABASE": mongo_database,
            "JOBQUEUE_SQS__QUEUE_NAME": queue_name,
            "JOBQUEUE_SQS__VISIBILITY_TIMEOUT_SECONDS": str(visibility_seconds),
            "JOBQUEUE_SQS__RECEIVE_WAIT_SECONDS": "1",
            "JOBQUEUE_PROCESSOR__URL": url,
            "JOBQUEUE_PROCESSOR__TIMEOUT_SECONDS": str(visibility_seconds - 0.1),
            "JOBQUEUE_WORKER__METRICS_PORT": "0",
            "JOBQUEUE_WORKER__CONCURRENCY": "2",
        }
        running = System(store, queue, service, env)
        yield running
        await running.end()
    await store.close()


async def test_a_worker_killed_in_mid_call_loses_nothing(system: System) -> None:
    killed, other = await system.submit(2)
    system.service.held = {killed.id}
    process = await system.start(JOBQUEUE_WORKER__ID="w1")
    await system.service.called(2)
    await system.until(other, Status.SUCCESS)
    process.kill()
    await process.communicate()
    system.service.held = set()
    await system.start(JOBQUEUE_WORKER__ID="w2")
    done = await system.until(killed, Status.SUCCESS)
    assert done.attempts == 2
    assert [(a.outcome, a.worker) for a in done.history] == [
        (AttemptOutcome.LOST, "w1"),
        (AttemptOutcome.SUCCEEDED, "w2"),
    ]
    assert system.service.calls.count((killed.id, 1)) == 1
    assert system.service.calls.count((killed.id, 2)) == 1


async def test_a_worker_told_to_stop_gives_back_what_it_has_not_begun(system: System) -> None:
    jobs = await system.submit(5)
    system.service.held = {job.id for job in jobs}
    process = await system.start(JOBQUEUE_WORKER__DRAIN_SECONDS="0.5")
    await system.service.called(2)
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(15):
        await process.communicate()
    assert process.returncode == 0
    stored = await system.store.get_many([job.id for job in jobs])
    begun = [job for job in stored.values() if job.attempts]
    assert {job.phase for job in begun} <= {Phase.RETRYING}
    assert {job.history[-1].outcome for job in begun} <= {AttemptOutcome.RELEASED, AttemptOutcome.RETRYABLE}
    # All five are there for the next worker at once, however long their time-out is.
    received: list[str] = []
    while messages := await system.queue.receive(10, 0):
        received += [message.body for message in messages]
    assert len(received) == 5
    assert await system.store.workers("default", begun[0].created_at) == []


async def stopped(process: asyncio.subprocess.Process) -> None:
    """Wait until a worker that was told to stop has ended in order."""
    async with asyncio.timeout(15):
        await process.communicate()
    assert process.returncode == 0


@patient
async def test_what_a_stopped_worker_holds_unbegun_is_there_for_another_at_once(system: System) -> None:
    # Quick jobs first: the worker then receives ahead of its slots.
    *_, last = await system.submit(20)
    process = await system.start(JOBQUEUE_WORKER__ID="w1", JOBQUEUE_WORKER__CONCURRENCY="10")
    await system.service.called(20)
    await system.until(last, Status.SUCCESS)
    jobs = system.jobs(30)
    let_go = system.service.hold_for_a_while(jobs)
    await system.put(jobs)
    await system.service.called(30)
    async with asyncio.timeout(10):
        while (await system.store.counts("default")).running <= 10:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    told = time.monotonic()
    messages = await system.received(20)
    assert time.monotonic() - told < AT_ONCE_SECONDS
    begun = {job_id for job_id, _ in system.service.calls[20:]}
    returned = {decode(message.body) for message in messages}
    assert returned == {job.id for job in jobs} - begun
    stored = await system.store.get_many([*returned])
    assert {(job.phase, job.attempts) for job in stored.values()} == {(Phase.QUEUED, 0)}
    let_go.set()
    await stopped(process)
    ended = await system.store.get_many([*begun])
    assert {(job.status, job.attempts) for job in ended.values()} == {(Status.SUCCESS, 1)}
    assert (await system.queue.counts()).total == 20, "no message of a job that has ended is left"


@patient
async def test_what_has_not_ended_within_the_drain_is_with_another_at_once(system: System) -> None:
    jobs = await system.submit(2)
    system.service.held = {job.id for job in jobs}
    process = await system.start(JOBQUEUE_WORKER__ID="w1", JOBQUEUE_WORKER__DRAIN_SECONDS="1")
    await system.service.called(2)
    await system.start(JOBQUEUE_WORKER__ID="w2")
    await system.beat("w2")
    system.service.held = set()
    process.send_signal(signal.SIGTERM)
    told = time.monotonic()
    await system.service.called(4)
    assert time.monotonic() - told < 1 + AT_ONCE_SECONDS
    await stopped(process)
    for job in jobs:
        done = await system.until(job, Status.SUCCESS)
        assert [(a.outcome, a.worker) for a in done.history] == [
            (AttemptOutcome.RELEASED, "w1"),
            (AttemptOutcome.SUCCEEDED, "w2"),
        ]


@patient
@pytest.mark.parametrize("drain_seconds", ["0", "10"])
async def test_what_comes_to_a_stopped_worker_goes_back_at_once(system: System, drain_seconds: str) -> None:
    (first,) = await system.submit(1)
    process = await system.start(
        JOBQUEUE_WORKER__ID="w1",
        JOBQUEUE_WORKER__DRAIN_SECONDS=drain_seconds,
        JOBQUEUE_SQS__RECEIVE_WAIT_SECONDS="8",
    )
    await system.until(first, Status.SUCCESS)
    process.send_signal(signal.SIGTERM)
    await system.beat("w1", draining=True)
    (job,) = await system.submit(1)
    sent = time.monotonic()
    await stopped(process)
    (message,) = await system.received(1)
    assert time.monotonic() - sent < AT_ONCE_SECONDS
    assert (decode(message.body), message.receive_count) == (job.id, 2), "the stopped worker had it"
    stored = await system.store.get(job.id)
    assert stored is not None
    assert (stored.phase, stored.attempts) == (Phase.QUEUED, 0)


async def test_a_message_that_is_not_ours_goes_to_the_dead_letter_queue(system: System) -> None:
    await system.queue.send([Message("not ours")])
    (job,) = await system.submit(1)
    await system.start()
    await system.until(job, Status.SUCCESS)
    async with asyncio.timeout(10):
        while await system.queue.dead_letters() == 0:  # noqa: ASYNC110 - another process does it
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("env", "line"),
    [
        ({"JOBQUEUE_PROCESSOR__URL": "null"}, "processor.url"),
        ({"JOBQUEUE_WORKER__QUEUE": "nobodys"}, "worker.queue: must be one of the queues: default"),
        ({"JOBQUEUE_WORKER__CONCURRENCY": "0"}, "worker.concurrency: must be a whole number from 1 to 1000"),
    ],
)
async def test_wrong_settings_end_it_with_code_2(system: System, env: dict[str, str], line: str) -> None:
    process = await system.start(**env)
    async with asyncio.timeout(15):
        _, errors = await process.communicate()
    assert process.returncode == 2
    assert line in errors.decode()
    assert len(errors.decode().splitlines()) == 1
