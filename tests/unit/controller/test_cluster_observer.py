from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.circuit import Circuit
from jobqueue_core.domain.flow import FlowState
from jobqueue_core.domain.times import later
from jobqueue_core.ports import queue as core
from jobqueue_core.ports.queue_admin import QueueFault, QueuePlan, fault_of
from jobqueue_core.testing.clock import ManualClock
from jobqueue_core.testing.flow import MemoryFlowStore
from jobqueue_core.testing.queue_admin import MemoryQueueAdmin
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_operator.observing.observer import ClusterObserver, Seen
from jobqueue_operator.observing.store_reader import WINDOW_SECONDS, StoreReader
from jobqueue_operator.scaling import QueueCounts, Unknown
from jobqueue_testsupport.factories import IDLE_BEAT, JobFactory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLAN = QueuePlan(
    name="emails",
    dead_letter_name="emails-dead",
    visibility_timeout_seconds=60,
    max_receive_count=10,
    create=True,
)


class World:
    """A provisioned queue, a store, and the observer of both."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.admin = MemoryQueueAdmin()
        self.store = MemoryJobStore()
        self.flows = MemoryFlowStore()
        self.reader = StoreReader(self.store, self.flows, self.clock)
        self.jobs = JobFactory("mail")

    async def begin(self, plan: QueuePlan = PLAN) -> None:
        made = await self.admin.converge(PLAN, {})
        self.observer = ClusterObserver(
            "mail",
            url=made.url,
            dead_letter_url=made.dead_letter_url,
            plan=plan,
            admin=self.admin,
            reader=self.reader,
            clock=self.clock,
            heartbeat_seconds=2.0,
        )

    async def observe(self, after: float = 5.0) -> Seen:
        await self.clock.advance(after - WINDOW_SECONDS)
        seen = asyncio.create_task(self.observer.observe())
        await self.clock.advance(WINDOW_SECONDS)
        return await seen

    def change(self, **settings: int) -> None:
        queue = self.admin.queues["emails"]
        queue.settings = replace(queue.settings, **settings)  # type: ignore[arg-type] # fields by name


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    await world.begin()
    yield world
    await world.reader.close()


async def test_a_look_holds_queue_dead_letters_store_and_workers(world: World) -> None:
    world.admin.queues["emails"].counts = core.QueueCounts(4, 2, 1)
    world.admin.queues["emails-dead"].counts = core.QueueCounts(3, 0, 0)
    await world.store.insert(world.jobs.many(3))
    now = later(world.clock.now(), 5)
    busy = replace(IDLE_BEAT, queue="mail", worker="busy", busy=3, service_seconds=0.5, seen_at=now)
    ending = replace(busy, worker="ending", draining=True)
    idle = replace(busy, worker="idle", busy=0, service_seconds=None)
    stale = replace(busy, worker="stale", seen_at=later(now, -6.1))
    for beat in (busy, ending, idle, stale):
        await world.store.beat(beat, 60)

    seen = await world.observe()

    observation = seen.observation
    assert (observation.current, observation.ready) == (0, 0)
    assert observation.queue == seen.backlog == QueueCounts(4, 2, 1)
    assert observation.store_waiting == 3
    assert observation.oldest_age_seconds == pytest.approx(5.0)
    assert (observation.busy_worker_ids, observation.busy_slots) == (frozenset({"busy"}), 6)
    assert observation.service_seconds == 0.5
    assert {beat.worker for beat in seen.heartbeats} == {"busy", "ending", "idle"}
    assert (seen.dead_letters, seen.drifted) == (3, False)
    assert (seen.queue_error, seen.store_error) == (None, None)


async def test_a_poll_is_one_request_and_dead_letters_are_counted_now_and_then(world: World) -> None:
    world.admin.calls.clear()
    for _ in range(12):
        await world.observe(5)
    assert world.admin.calls == {"read": 12, "dead_letters": 2}


async def test_rates_are_measured_between_looks(world: World) -> None:
    beat = replace(IDLE_BEAT, queue="mail", busy=1)
    await world.store.insert(world.jobs.many(10))
    await world.store.beat(replace(beat, seen_at=later(world.clock.now(), 5)), 60)
    assert (await world.observe()).observation.arrival_per_second is None

    await world.store.insert(world.jobs.many(10))
    later_beat = replace(beat, finished=40, attempts=40, seen_at=later(world.clock.now(), 5))
    await world.store.beat(later_beat, 60)
    seen = await world.observe()
    assert seen.observation.arrival_per_second == pytest.approx(10.0)
    assert not seen.observation.circuit_open

    failing = replace(later_beat, attempts=80, retries=40, seen_at=later(world.clock.now(), 5))
    await world.store.beat(failing, 60)
    assert not (await world.observe()).observation.circuit_open
    await world.store.beat(
        replace(failing, attempts=400, retries=300, seen_at=later(world.clock.now(), 5)), 60
    )
    assert (await world.observe()).observation.circuit_open


async def test_what_the_workers_agreed_on_counts_more_than_what_their_attempts_look_like(
    world: World,
) -> None:
    now = world.clock.now().timestamp()
    open_circuit = FlowState("mail", version=1, circuit=Circuit(open_until=now + 30))
    assert not (await world.observe()).observation.circuit_open
    world.flows.states["mail"] = open_circuit
    assert (await world.observe()).observation.circuit_open
    # Half-open, it is not known yet whether more workers would find something to do.
    assert (await world.observe(60)).observation.circuit_open
    world.flows.states["mail"] = FlowState("mail", version=2, paused_until=now + 90)
    assert (await world.observe()).observation.circuit_open
    await world.observe(60)
    assert not (await world.observe()).observation.circuit_open


async def test_a_queue_that_is_away_is_unknown_and_the_store_is_still_read(world: World) -> None:
    await world.store.insert(world.jobs.many(2))
    world.admin.faults["*"] = QueueFault.UNREACHABLE
    seen = await world.observe()
    assert seen.queue_error is not None
    assert fault_of(seen.queue_error) is QueueFault.UNREACHABLE
    assert seen.observation.queue == Unknown("the queue 'emails': unreachable")
    assert (seen.backlog, seen.dead_letters, seen.observation.store_waiting) == (None, None, 2)

    world.admin.calls.clear()
    for _ in range(6):
        await world.observe()
    assert world.admin.calls == {"read": 6}

    world.admin.faults.clear()
    assert (await world.observe()).queue_error is None
    assert (await world.observe()).dead_letters == 0


async def test_a_dead_letter_queue_that_is_gone_is_told_and_the_queue_is_still_known(world: World) -> None:
    gone = world.admin.queues.pop("emails-dead")
    seen = await world.observe()
    assert seen.queue_error is not None
    assert fault_of(seen.queue_error) is QueueFault.MISSING
    assert (seen.backlog, seen.dead_letters) == (QueueCounts(0, 0, 0), None)
    assert (await world.observe(4)).queue_error is seen.queue_error

    world.admin.queues["emails-dead"] = gone
    world.observer.expect(PLAN)
    seen = await world.observe()
    assert (seen.queue_error, seen.dead_letters) == (None, 0)


async def test_a_store_that_is_away_is_unknown_and_the_queue_is_still_read(world: World) -> None:
    world.store.available = False
    seen = await world.observe()
    assert seen.observation.store_waiting == Unknown("the store is away")
    assert str(seen.store_error) == "the store is away"
    assert (seen.backlog, seen.heartbeats) == (QueueCounts(0, 0, 0), ())


async def test_without_heartbeats_nobody_is_taken_to_be_idle(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The jobs can be counted, the workers cannot be read.
    broken = MemoryJobStore()
    broken.available = False
    monkeypatch.setattr(world.store, "workers_of", broken.workers_of)
    seen = await world.observe()
    assert isinstance(seen.observation.store_waiting, Unknown)
    assert seen.store_error is not None


async def test_settings_changed_by_hand_are_told_once_until_a_correction_can_have_spread(
    world: World,
) -> None:
    assert not (await world.observe()).drifted
    world.change(visibility_timeout_seconds=5)
    assert (await world.observe()).drifted
    assert not (await world.observe()).drifted
    # Another change is told at once, the same one after a minute.
    world.change(max_receive_count=1)
    assert (await world.observe()).drifted
    assert not (await world.observe(54)).drifted
    assert (await world.observe(7)).drifted
    world.change(visibility_timeout_seconds=60, max_receive_count=10)
    assert not (await world.observe()).drifted
    world.change(visibility_timeout_seconds=60, max_receive_count=1)
    assert (await world.observe()).drifted


async def test_a_new_spec_is_what_settings_are_held_against(world: World) -> None:
    world.observer.expect(replace(PLAN, visibility_timeout_seconds=90))
    assert (await world.observe()).drifted
    world.change(visibility_timeout_seconds=90)
    assert not (await world.observe()).drifted


async def test_settings_of_a_queue_that_is_not_ours_to_correct_are_not_read(world: World) -> None:
    await world.begin(replace(PLAN, create=False))
    world.change(visibility_timeout_seconds=5)
    assert not (await world.observe()).drifted
