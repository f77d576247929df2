"""The operator is woken by a job for a queue that nobody works for: soon, seldom, never in the way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from jobqueue_api.wake import needs_wake, pause_seconds
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.domain.job import Phase
from jobqueue_core.testing.clock import START, settle
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_testsupport.api_rig import ApiRig
from jobqueue_testsupport.factories import IDLE_BEAT, JobFactory
from jobqueue_testsupport.fake_cluster import FakeCluster, jobqueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    import httpx

    from jobqueue_core.domain.heartbeat import Heartbeat

NOW, SECOND_LATER = "12:00:00.000Z", "12:00:01.000Z"
EMAILS = {"queue": "emails"}
WORKER = replace(IDLE_BEAT, worker="w1", queue="emails")


class CountingStore(MemoryJobStore):
    """Counts how often workers are looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    async def workers(self, queue: str, seen_after: datetime) -> list[Heartbeat]:
        self.looks += 1
        return await super().workers(queue, seen_after)


@pytest_asyncio.fixture
async def cluster() -> FakeCluster:
    """One JobQueue, of a queue that the settings have."""
    return FakeCluster(jobqueue("emails"))


@pytest_asyncio.fixture
async def store() -> CountingStore:
    return CountingStore()


@pytest_asyncio.fixture
async def rig(cluster: FakeCluster, store: CountingStore) -> ApiRig:
    return ApiRig(store, cluster)


@pytest_asyncio.fixture
async def client(rig: ApiRig) -> AsyncIterator[httpx.AsyncClient]:
    async with rig.serve() as client:
        yield client


@pytest.mark.parametrize(
    ("looked_at", "now", "pause"),
    [(None, 0.0, 0.0), (10.0, 10.0, 1.0), (10.0, 10.75, 0.25), (10.0, 11.0, 0.0), (10.0, 99.0, 0.0)],
)
def test_a_queue_is_looked_at_once_a_second(looked_at: float | None, now: float, pause: float) -> None:
    assert pause_seconds(looked_at, now) == pause


@pytest.mark.parametrize(
    ("workers", "wanted"),
    [
        ([], True),
        ([WORKER], False),
        ([replace(WORKER, draining=True)], True),
        ([replace(WORKER, draining=True), WORKER], False),
    ],
)
def test_workers_that_stop_do_not_count(workers: list[Heartbeat], wanted: bool) -> None:  # noqa: FBT001
    assert needs_wake(workers) is wanted


async def test_the_first_job_wakes_at_once(cluster: FakeCluster, client: httpx.AsyncClient) -> None:
    await client.post("/addJob", json=EMAILS)
    await settle()
    assert cluster.wakes == [("team/emails", NOW)]


async def test_more_jobs_wake_once_more_when_the_second_is_over(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    for _ in range(5):
        await client.post("/addJob", json=EMAILS)
        await rig.clock.advance(0.1)
    assert cluster.wakes == [("team/emails", NOW)]
    await rig.clock.advance(5)
    assert cluster.wakes == [("team/emails", NOW), ("team/emails", SECOND_LATER)]


async def test_a_stream_of_jobs_wakes_once_a_second(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    for _ in range(30):
        await client.post("/addJob", json=EMAILS)
        await rig.clock.advance(0.1)
    assert [at for _, at in cluster.wakes] == [NOW, SECOND_LATER, "12:00:02.000Z", "12:00:03.000Z"]


async def test_no_second_wake_once_somebody_works(
    cluster: FakeCluster, rig: ApiRig, store: CountingStore, client: httpx.AsyncClient
) -> None:
    await client.post("/addJob", json=EMAILS)
    await settle()
    await client.post("/addJob", json=EMAILS)
    await store.beat(WORKER, 60)
    await rig.clock.advance(5)
    assert cluster.wakes == [("team/emails", NOW)]


async def test_a_busy_queue_with_workers_costs_one_read_a_second(
    cluster: FakeCluster, rig: ApiRig, store: CountingStore, client: httpx.AsyncClient
) -> None:
    await store.beat(WORKER, 60)
    for _ in range(30):
        await client.post("/addJob", json=EMAILS)
        await rig.clock.advance(0.1)
    assert (store.looks, cluster.wakes) == (4, [])
    await rig.clock.advance(10)
    assert store.looks == 4


async def test_the_last_worker_gone_within_the_second_is_noticed(
    cluster: FakeCluster, rig: ApiRig, store: CountingStore, client: httpx.AsyncClient
) -> None:
    await store.beat(WORKER, 60)
    await client.post("/addJob", json=EMAILS)
    await settle()
    await store.leave("w1")
    await client.post("/addJob", json=EMAILS)
    await rig.clock.advance(1)
    assert cluster.wakes == [("team/emails", SECOND_LATER)]


@pytest.mark.parametrize(
    "beat",
    [
        replace(WORKER, seen_at=START - timedelta(seconds=15)),
        replace(WORKER, draining=True),
        replace(WORKER, queue="default"),
    ],
    ids=["silent", "draining", "of another queue"],
)
async def test_who_takes_no_job_does_not_count(
    cluster: FakeCluster, store: CountingStore, client: httpx.AsyncClient, beat: Heartbeat
) -> None:
    await store.beat(beat, 60)
    await client.post("/addJob", json=EMAILS)
    await settle()
    assert cluster.wakes == [("team/emails", NOW)]


async def test_a_scheduled_job_wakes_when_it_is_due(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    await client.post("/addJob", json={**EMAILS, "delaySeconds": 30})
    await rig.clock.advance(30)
    assert cluster.wakes == []
    await rig.parts.relay.pay_dues()
    await settle()
    assert cluster.wakes == [("team/emails", "12:00:30.000Z")]


async def test_a_job_run_again_by_hand_wakes(
    cluster: FakeCluster, store: CountingStore, client: httpx.AsyncClient
) -> None:
    job = JobFactory("emails")(Phase.FAILED, due_at=None)
    await store.insert([job])
    assert (await client.post(f"/jobs/{job.id}/retry")).status_code == 200
    await settle()
    assert cluster.wakes == [("team/emails", NOW)]


async def test_a_batch_wakes_each_of_its_queues_once(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    cluster.put(jobqueue("jobs"), jobqueue("orders", queue={"name": "orders.fifo"}))
    await settle()
    jobs = [{"queue": name} for name in ("default", "emails", "orders") for _ in range(100)]
    assert (await client.post("/jobs/batch", json={"jobs": jobs})).json()["accepted"] == 300
    await rig.clock.advance(0.5)
    assert sorted(cluster.wakes) == [("team/emails", NOW), ("team/jobs", NOW), ("team/orders", NOW)]


async def test_a_queue_without_a_jobqueue_is_not_looked_at(
    cluster: FakeCluster, rig: ApiRig, store: CountingStore, client: httpx.AsyncClient
) -> None:
    await client.post("/addJob")
    await rig.clock.advance(2)
    assert (store.looks, cluster.wakes) == (0, [])


async def test_a_suspended_jobqueue_is_let_sleep(
    cluster: FakeCluster, store: CountingStore, client: httpx.AsyncClient
) -> None:
    cluster.put(jobqueue("emails", suspend="Hold"))
    await settle()
    await client.post("/addJob", json=EMAILS)
    await settle()
    assert (store.looks, cluster.wakes) == (0, [])
    cluster.put(jobqueue("emails", suspend="None"))
    await settle()
    await client.post("/addJob", json=EMAILS)
    await settle()
    assert cluster.wakes == [("team/emails", NOW)]


async def test_sqs_away_does_not_keep_the_operator_asleep(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    rig.queues["emails"].faults.away = True
    await client.post("/addJob", json=EMAILS)
    await settle()
    assert cluster.wakes == [("team/emails", NOW)]


async def test_a_refused_wake_is_told_once_counted_and_harms_nobody(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    cluster.error = JobQueueError("forbidden")
    with capture_logs() as logs:
        for _ in range(3):
            assert (await client.post("/addJob", json=EMAILS)).status_code == 200
            await rig.clock.advance(1)
        cluster.error = None
        await client.post("/addJob", json=EMAILS)
        await rig.clock.advance(1)
    events = [line["event"] for line in logs if line["log_level"] in {"warning", "info"}]
    assert events == ["the operator was not woken", "the operator can be woken again"]
    assert rig.metric("jobqueue_wakes_total", queue="emails", outcome="failed") == 3
    assert rig.metric("jobqueue_wakes_total", queue="emails", outcome="written") == 1
    assert len(rig.queues["emails"].bodies) == 4


async def test_a_fault_of_the_program_is_told_and_the_next_job_wakes(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    cluster.error = RuntimeError("unforeseen")
    with capture_logs() as logs:
        await client.post("/addJob", json=EMAILS)
        await settle()
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["the operator was not woken"]
    cluster.error = None
    await client.post("/addJob", json=EMAILS)
    await rig.clock.advance(1)
    assert cluster.wakes == [("team/emails", SECOND_LATER)]


async def test_workers_that_cannot_be_read_are_not_taken_for_none(
    cluster: FakeCluster, rig: ApiRig, store: CountingStore, client: httpx.AsyncClient
) -> None:
    store.available = False
    await rig.parts.directory.queues["emails"].send([])
    await settle()
    assert cluster.wakes == []
    assert rig.metric("jobqueue_wakes_total", queue="emails", outcome="failed") == 1
    store.available = True
    await client.post("/addJob", json=EMAILS)
    await rig.clock.advance(1)
    assert cluster.wakes == [("team/emails", SECOND_LATER)]


async def test_an_api_server_that_hangs_delays_no_answer_and_no_message(
    cluster: FakeCluster, rig: ApiRig, client: httpx.AsyncClient
) -> None:
    cluster.hold.clear()
    for _ in range(3):
        assert (await client.post("/addJob", json=EMAILS)).status_code == 200
    await settle()
    assert len(rig.queues["emails"].bodies) == 3
    await rig.clock.advance(5)
    assert cluster.wakes == []
    cluster.hold.set()
    await rig.clock.advance(1)
    assert [name for name, _ in cluster.wakes] == ["team/emails", "team/emails"]


async def test_the_end_of_the_process_lets_a_wake_come_through(cluster: FakeCluster, rig: ApiRig) -> None:
    async with rig.serve() as client:
        await client.post("/addJob", json=EMAILS)
    assert cluster.wakes == [("team/emails", NOW)]


async def test_the_end_of_the_process_does_not_wait_for_ever(cluster: FakeCluster, rig: ApiRig) -> None:
    cluster.hold.clear()
    async with rig.serve() as client:
        await client.post("/addJob", json=EMAILS)
        await settle()
    assert cluster.wakes == []
