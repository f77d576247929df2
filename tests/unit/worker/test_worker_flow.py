"""A worker whose external service has limits, fails, or asks to be left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.circuit import Circuit, Probe
from jobqueue_core.domain.flow import FlowState
from jobqueue_core.domain.job import JobResult, Phase, Status
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.testing.clock import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_testsupport.worker_rig import Rig

DOWN = of_answer(500, JobResult(500, "down"))
PROCESSOR = {"url": "http://unused.example/jobs", "timeout_seconds": 30}
FRAGILE = {**PROCESSOR, "circuit_breaker": {"minimum_calls": 2, "open_seconds": 30}}


@pytest.fixture
def fragile(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(processor=FRAGILE)


def gauge(rig: Rig, name: str) -> float | None:
    return rig.metrics.registry.get_sample_value(name, {"queue": "default"})


def open_circuit(rig: Rig, seconds: float) -> None:
    until = rig.clock.now().timestamp() + seconds
    rig.flows.states["default"] = FlowState("default", version=1, circuit=Circuit(open_until=until))


async def test_a_healthy_queue_without_limits_costs_one_look_a_second_and_hardly_a_write(rig: Rig) -> None:
    rig.start()
    for _ in range(10):
        await rig.submit(5)
        await rig.clock.advance(1)
    await rig.processor.called(50)
    assert rig.flows.loads <= 12
    assert rig.flows.swaps <= 3


async def test_an_idle_worker_asks_nobody(rig: Rig) -> None:
    rig.start()
    await rig.clock.advance(600)
    assert (rig.flows.loads, rig.flows.swaps) == (0, 0)


async def test_calls_follow_the_rate(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(
        processor={**PROCESSOR, "rate_limit": {"per_second": 2}},
        worker={"concurrency": 10, "drain_seconds": 30, "heartbeat_seconds": 5},
    )
    await rig.submit(30)
    rig.start()
    await rig.clock.advance(1)
    begun = len(rig.processor.calls)
    for _ in range(100):
        await rig.clock.advance(0.1)
    assert len(rig.processor.calls) - begun == 20
    assert all(job.attempts <= 1 for job in rig.store.jobs.values())


async def test_waiting_for_the_rate_costs_neither_attempt_nor_receive(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(processor={**PROCESSOR, "rate_limit": {"per_second": 0.005}})
    jobs = await rig.submit(2)
    rig.start()
    await rig.clock.advance(190)  # three times the visibility time-out
    assert len(rig.processor.calls) == 1
    (waiting,) = [job for job in jobs if rig.job(job).phase is Phase.QUEUED]
    assert rig.job(waiting).attempts == 0
    assert rig.queue.receive_counts == [1]
    assert gauge(rig, "jobqueue_flow_waiting") == 1
    await rig.clock.advance(20)
    assert rig.job(waiting).status is Status.SUCCESS


async def test_workers_share_a_concurrency_limit(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(processor={**PROCESSOR, "rate_limit": {"concurrent": 3}})
    jobs = await rig.submit(20)
    holds = [rig.processor.hold(job.id) for job in jobs]
    for name in ("w1", "w2", "w3"):
        rig.start(name)
    await rig.clock.advance(3)
    assert len(rig.processor.running) == 3
    for hold in holds:
        hold.set()
    for _ in range(60):
        await rig.clock.advance(0.1)
    assert all(rig.job(job).status is Status.SUCCESS for job in jobs)
    assert rig.processor.most_running == 3


async def test_waiting_for_a_limit_keeps_the_order_of_a_group(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(processor={**PROCESSOR, "rate_limit": {"per_second": 1}}, queue_name="jobs.fifo")
    jobs = await rig.submit(6, ordering_key="customer-7")
    worker, task = rig.start("first")
    await rig.clock.advance(2.5)
    await rig.stop(worker, task)
    rig.start("second")
    await rig.clock.advance(10)
    assert [job_id for job_id, _ in rig.processor.calls] == [job.id for job in jobs]


async def test_a_stopped_worker_gives_back_at_once_what_waits(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(processor={**PROCESSOR, "rate_limit": {"concurrent": 1}})
    jobs = await rig.submit(2)
    hold = rig.processor.hold(jobs[0].id)
    rig.processor.hold(jobs[1].id)
    worker, task = rig.start()
    await rig.processor.called(1)
    (called, _) = rig.processor.calls[0]
    waiting = next(job for job in jobs if job.id != called)
    worker.stop()
    await settle()
    await rig.clock.advance(0.1)
    assert (await rig.queue.counts()).visible == 1
    assert rig.job(waiting).attempts == 0
    rig.processor.holds[called].set()
    hold.set()
    await rig.stop(worker, task)
    assert rig.flows.states["default"].holders == ()


async def test_the_circuit_opens_and_one_call_is_let_through(fragile: Rig) -> None:
    rig = fragile
    jobs = await rig.submit(10)
    for job in jobs:
        rig.processor.answers[job.id] = [DOWN]
    rig.start()
    await rig.clock.advance(1)
    at_opening = len(rig.processor.calls)
    assert 2 <= at_opening < 10
    assert gauge(rig, "jobqueue_circuit_open") == 1
    await rig.clock.advance(28)
    assert len(rig.processor.calls) == at_opening
    for job in jobs:
        rig.processor.answers[job.id] = []
        rig.processor.hold(job.id)
    await rig.clock.advance(5)
    assert len(rig.processor.calls) == at_opening + 1
    for job in jobs:
        rig.processor.holds[job.id].set()
    await rig.clock.advance(60)
    assert gauge(rig, "jobqueue_circuit_open") == 0
    assert all(rig.job(job).status is Status.SUCCESS for job in jobs)


async def test_another_workers_open_circuit_is_known_before_the_first_call(fragile: Rig) -> None:
    rig = fragile
    await rig.submit(1)
    open_circuit(rig, 30)
    worker, _ = rig.start()
    await rig.clock.advance(29)
    assert rig.processor.calls == []
    assert worker.is_alive()
    await rig.clock.advance(2)
    assert len(rig.processor.calls) == 1
    assert rig.flows.states["default"].circuit == Circuit()


async def test_nothing_is_received_while_the_circuit_is_open(fragile: Rig) -> None:
    rig = fragile
    await rig.submit(1)
    open_circuit(rig, 30)
    rig.start()
    await rig.clock.advance(1)
    await rig.submit(5)
    await rig.clock.advance(25)
    # The receive that was under way when the worker learnt of it may still bring some, once.
    assert sorted(rig.queue.receive_counts) == [0, 0, 0, 0, 1, 1]
    await rig.clock.advance(60)
    assert len(rig.processor.calls) == 6


async def test_a_prober_that_died_is_replaced_at_its_deadline(fragile: Rig) -> None:
    rig = fragile
    await rig.submit(2)
    now = rig.clock.now().timestamp()
    circuit = Circuit(open_until=now - 1, probe=Probe("dead", now + 40))
    rig.flows.states["default"] = FlowState("default", version=1, circuit=circuit)
    rig.start()
    await rig.clock.advance(39.9)
    assert rig.processor.calls == []
    await rig.clock.advance(1.1)
    assert len(rig.processor.calls) == 2


async def test_retry_after_pauses_the_whole_queue(rig: Rig) -> None:
    jobs = await rig.submit(1)
    rig.processor.answers[jobs[0].id] = [of_answer(429, JobResult(429, ""), 20)]
    rig.start()
    await rig.processor.called(1)
    await settle()
    await rig.submit(3)
    _, _ = rig.start("other")
    await rig.clock.advance(19)
    assert len(rig.processor.calls) == 1
    await rig.clock.advance(60)
    assert len(rig.processor.calls) == 5


async def test_a_message_that_is_not_to_be_run_gives_its_permit_back(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(processor={**PROCESSOR, "rate_limit": {"concurrent": 1}})
    gone, job = await rig.submit(2)
    del rig.store.jobs[gone.id]
    rig.start()
    await rig.clock.advance(1)
    assert rig.job(job).status is Status.SUCCESS


async def test_permits_wait_while_the_store_is_away_and_calls_go_on(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(processor={**PROCESSOR, "rate_limit": {"concurrent": 1}})
    jobs = await rig.submit(2)
    for job in jobs:
        rig.processor.hold(job.id)
    rig.start()
    await rig.processor.called(1)
    rig.flows.available = rig.store.available = False
    await rig.clock.advance(60)
    assert len(rig.processor.running) == 1
    rig.flows.available = rig.store.available = True
    for hold in rig.processor.holds.values():
        hold.set()
    await rig.clock.advance(15)
    assert [rig.job(job).status for job in jobs] == [Status.SUCCESS] * 2
    assert rig.processor.most_running == 1
