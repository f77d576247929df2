from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

from jobqueue_cli.observer import QueueObserver
from jobqueue_cli.restarts import RestartBudget
from jobqueue_cli.scaler import scaling_spec
from jobqueue_cli.snapshot import snapshot
from jobqueue_core.domain.heartbeat import PhaseCounts
from jobqueue_core.domain.job import Job, Lease, Phase
from jobqueue_core.domain.message import Message
from jobqueue_core.settings.service_sections import OnUnknownSettings, ScalingSettings, ScalingTargetSettings
from jobqueue_core.testing.clock import START, ManualClock, settle
from jobqueue_core.testing.flow import MemoryFlowStore
from jobqueue_core.testing.queue import MemoryQueue
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_operator.observing.tally import Tally
from jobqueue_operator.ports import Replicas
from jobqueue_operator.scaling import BacklogPerReplica, DrainSeconds, Fallback, Hold, QueueCounts, Unknown
from jobqueue_testsupport.factories import IDLE_BEAT

BEAT = replace(IDLE_BEAT, worker="w1", queue="default", slots=10)
JOB = Job(
    id="job-1",
    queue="default",
    payload={},
    phase=Phase.QUEUED,
    max_attempts=3,
    created_at=START,
    updated_at=START,
    run_at=START,
    lease=Lease("token"),
)


def observed() -> tuple[QueueObserver, MemoryQueue, MemoryJobStore, ManualClock]:
    clock = ManualClock()
    queue, store = MemoryQueue("jobs", clock), MemoryJobStore()
    observer = QueueObserver(
        "default",
        queue=queue,
        store=store,
        flows=MemoryFlowStore(),
        clock=clock,
        heartbeat_seconds=1.0,
        max_attempts=3,
    )
    return observer, queue, store, clock


async def test_an_observation_holds_queue_store_and_heartbeats() -> None:
    observer, queue, store, clock = observed()
    await queue.send([Message("body"), Message("body")])
    await store.insert([JOB])
    clock.move(2)
    busy = replace(BEAT, busy=3, service_seconds=0.5, seen_at=clock.now())
    await store.beat(busy, 60)
    await store.beat(replace(busy, worker="w2", draining=True), 60)
    await store.beat(replace(BEAT, worker="idle", seen_at=clock.now()), 60)
    await store.beat(replace(BEAT, worker="gone", busy=9, seen_at=START - timedelta(seconds=5)), 60)

    seen = await observer.observe()

    assert seen.queue == QueueCounts(2, 0, 0)
    assert (seen.store_waiting, seen.oldest_age_seconds) == (1, 2.0)
    assert (seen.busy_worker_ids, seen.busy_slots, seen.service_seconds) == (frozenset({"w1"}), 6, 0.5)


async def test_a_queue_that_is_away_is_unknown_and_not_empty() -> None:
    observer, queue, _, _ = observed()
    queue.faults.away = True

    seen = await observer.observe()

    assert isinstance(seen.queue, Unknown)
    assert seen.store_waiting == 0


async def test_a_store_that_is_away_is_unknown_and_not_empty() -> None:
    observer, queue, store, _ = observed()
    await queue.send([Message("body")])
    store.available = False

    seen = await observer.observe()

    assert seen.queue == QueueCounts(1, 0, 0)
    assert seen.store_waiting == Unknown("the store is away")


async def test_work_is_noticed_without_a_request_to_the_queue() -> None:
    observer, queue, store, clock = observed()
    waiting = asyncio.create_task(observer.wait_for_work())
    await clock.advance(5)
    assert not waiting.done()

    await store.insert([JOB])
    await clock.advance(1)
    await settle()

    assert waiting.done()
    assert queue.calls == 0


def test_restarts_come_slower_and_end_at_three_a_minute() -> None:
    budget, waits = RestartBudget(), []
    for at in (0.0, 10.0, 20.0):
        left = budget.after_death(at)
        assert left is not None
        budget, wait = left
        waits.append(wait)

    assert waits == [0.25, 0.5, 1.0]
    assert budget.after_death(59.9) is None
    again = budget.after_death(60.0)
    assert again is not None
    assert again[1] == 1.0


def test_the_spec_of_the_policy_is_that_of_the_settings() -> None:
    settings = ScalingSettings(max_replicas=7, zero_after_seconds=9, on_unknown=OnUnknownSettings(replicas=2))

    spec = scaling_spec(settings, concurrency=3)

    assert (spec.target, spec.max_replicas, spec.concurrency) == (BacklogPerReplica(100), 7, 3)
    assert (spec.zero_after_seconds, spec.on_unknown) == (9, Fallback(2))
    drain = ScalingSettings(target=ScalingTargetSettings(drain_seconds=30))
    assert scaling_spec(drain, 1).target == DrainSeconds(30)
    assert scaling_spec(drain, 1).on_unknown == Hold()


def test_a_snapshot_counts_from_the_start_and_estimates_the_rest() -> None:
    tally = Tally()
    tally.read([replace(BEAT, service_seconds=0.5, retries=4)])

    seen = snapshot(
        PhaseCounts(succeeded=100, failed=7),
        PhaseCounts(scheduled=1, queued=30, retrying=5, running=4, succeeded=150, failed=9),
        [tally],
        [Replicas(2, 2, 1)],
        concurrency=10,
    )

    assert seen.line() == ("waiting 36  running 4  done 50  failed 2  retries 4  workers 2  drained in 1.0 s")
