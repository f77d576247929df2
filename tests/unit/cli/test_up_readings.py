from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from jobqueue_cli.arrival import ArrivalMeter
from jobqueue_cli.observer import QueueObserver
from jobqueue_cli.restarts import RestartBudget
from jobqueue_cli.scaler import scaling_spec
from jobqueue_cli.snapshot import snapshot
from jobqueue_cli.tally import Tally
from jobqueue_core.domain.heartbeat import PhaseCounts
from jobqueue_core.domain.job import Job, Lease, Phase
from jobqueue_core.domain.message import Message
from jobqueue_core.settings.service_sections import OnUnknownSettings, ScalingSettings, ScalingTargetSettings
from jobqueue_core.testing.clock import START, ManualClock, settle
from jobqueue_core.testing.queue import MemoryQueue
from jobqueue_core.testing.store import MemoryJobStore
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


def observed() -> tuple[QueueObserver, MemoryQueue, MemoryJobStore, ManualClock, Tally]:
    clock, tally = ManualClock(), Tally()
    queue, store = MemoryQueue("jobs", clock), MemoryJobStore()
    observer = QueueObserver(
        "default", queue=queue, store=store, clock=clock, tally=tally, heartbeat_seconds=1.0
    )
    return observer, queue, store, clock, tally


async def test_an_observation_holds_queue_store_and_heartbeats() -> None:
    observer, queue, store, clock, _ = observed()
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
    observer, queue, _, _, _ = observed()
    queue.faults.away = True

    seen = await observer.observe()

    assert isinstance(seen.queue, Unknown)
    assert seen.store_waiting == 0


async def test_work_is_noticed_without_a_request_to_the_queue() -> None:
    observer, queue, store, clock, _ = observed()
    waiting = asyncio.create_task(observer.wait_for_work())
    await clock.advance(5)
    assert not waiting.done()

    await store.insert([JOB])
    await clock.advance(1)
    await settle()

    assert waiting.done()
    assert queue.calls == 0


def test_arrivals_are_what_the_backlog_grew_by_and_what_was_done_meanwhile() -> None:
    meter = ArrivalMeter().read(0.0, unfinished=10, finished=0)
    assert meter.per_second is None

    meter = meter.read(2.0, unfinished=4, finished=26)

    assert meter.per_second == 10.0
    assert meter.read(12.0, unfinished=4, finished=26).per_second == pytest.approx(5.0)
    assert meter.read(4.0, unfinished=0, finished=0).per_second == pytest.approx(8.7, abs=0.05)


def test_the_tally_keeps_what_workers_did_that_have_gone() -> None:
    tally = Tally()
    tally.read([replace(BEAT, attempts=5, retries=1, finished=4), replace(BEAT, worker="w2", attempts=2)])
    tally.read([replace(BEAT, worker="w2", attempts=3, busy=2, service_seconds=0.4)])

    assert (tally.attempts, tally.retries, tally.finished) == (8, 1, 4)
    assert (tally.busy, tally.service_seconds) == (2, 0.4)


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
