"""Order within a message group."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.job import JobResult, Phase, Status
from jobqueue_core.domain.message import encode
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_testsupport.worker_rig import Rig


@pytest.fixture
def fifo(make_rig: Callable[..., Rig]) -> Rig:
    return make_rig(
        queue_name="jobs.fifo",
        sqs={"queue_name": "jobs.fifo"},
        worker={"concurrency": 5, "drain_seconds": 30, "heartbeat_seconds": 5},
    )


async def test_jobs_of_one_key_run_one_after_another_in_order(fifo: Rig) -> None:
    jobs = await fifo.submit(8, ordering_key="customer-7")
    await fifo.run_until_idle(calls=8)
    assert [job_id for job_id, _ in fifo.processor.calls] == [job.id for job in jobs]
    assert fifo.processor.most_running == 1
    assert fifo.queue.bodies == []


async def test_jobs_of_different_keys_run_side_by_side(fifo: Rig) -> None:
    slow = await fifo.submit(2, ordering_key="a")
    quick = await fifo.submit(2, ordering_key="b")
    held = fifo.processor.hold(slow[0].id)
    worker, task = fifo.start()
    await fifo.processor.called(3)
    await settle()
    assert [fifo.job(job).status for job in quick] == [Status.SUCCESS] * 2
    assert fifo.job(slow[1]).attempts == 0
    held.set()
    await fifo.processor.called(4)
    await fifo.stop(worker, task)
    assert {job.status for job in fifo.store.jobs.values()} == {Status.SUCCESS}


async def test_what_stands_behind_a_retry_waits_for_it(fifo: Rig) -> None:
    first, second, third = await fifo.submit(3, ordering_key="customer-7")
    fifo.processor.answers[first.id] = [of_answer(503, JobResult(503, ""), retry_after_seconds=60)]
    worker, task = fifo.start()
    await fifo.processor.called(1)
    await fifo.clock.advance(40)
    assert fifo.processor.calls == [(first.id, 1)]
    await fifo.clock.advance(40)
    await fifo.processor.called(4)
    await fifo.stop(worker, task)
    assert fifo.processor.calls == [(first.id, 1), (first.id, 2), (second.id, 1), (third.id, 1)]


async def test_a_job_that_failed_for_good_does_not_hold_up_its_group(fifo: Rig) -> None:
    first, second = await fifo.submit(2, ordering_key="customer-7")
    fifo.processor.answers[first.id] = [of_answer(400, JobResult(400, ""))]
    await fifo.run_until_idle(calls=2)
    assert fifo.job(first).status is Status.FAILED
    assert fifo.job(second).status is Status.SUCCESS
    (letter,) = fifo.queue.dead
    assert letter.group_id == first.id, "letters of one key would hide each other"


async def test_a_drain_returns_what_stands_behind(fifo: Rig) -> None:
    jobs = await fifo.submit(4, ordering_key="customer-7")
    held = fifo.processor.hold(jobs[0].id)
    worker, task = fifo.start()
    await fifo.processor.called(1)
    worker.stop()
    await settle()
    held.set()
    await fifo.clock.advance(1)
    async with asyncio.timeout(5):
        await task
    assert [fifo.job(job).phase for job in jobs] == [Phase.SUCCEEDED, *[Phase.QUEUED] * 3]
    assert (await fifo.queue.counts()).visible == 3


async def test_messages_that_were_sent_out_of_order_run_the_jobs_in_order(fifo: Rig) -> None:
    """An outage leaves the first jobs to the relay; the last is sent by the API when it is over."""
    jobs = await fifo.submit(4, ordering_key="customer-7")
    other, *_ = await fifo.submit(1, ordering_key="customer-8")
    fifo.queue.lose_everything()
    mixed = [jobs[3], other, jobs[1], jobs[2], jobs[0]]
    await fifo.queue.send([encode(replace(job, sends=2), fifo=True) for job in mixed])
    worker, task = fifo.start()
    for _ in range(10):
        await fifo.clock.advance(1)
    await fifo.stop(worker, task)
    assert [job_id for job_id, _ in fifo.processor.calls if job_id != other.id] == [job.id for job in jobs]
    assert (fifo.queue.bodies, fifo.queue.dead) == ([], [])


async def test_one_message_runs_every_job_before_its_own_whose_message_is_lost(fifo: Rig) -> None:
    jobs = await fifo.submit(5, ordering_key="customer-7")
    fifo.processor.answers[jobs[1].id] = [of_answer(503, JobResult(503, "later"))]
    fifo.processor.answers[jobs[2].id] = [of_answer(400, JobResult(400, "no"))]
    fifo.queue.lose_everything()
    await fifo.queue.send([encode(replace(jobs[4], sends=2), fifo=True)])
    worker, task = fifo.start()
    for _ in range(20):
        await fifo.clock.advance(1)
    await fifo.stop(worker, task)
    order = [jobs[0], jobs[1], jobs[1], jobs[2], jobs[3], jobs[4]]
    assert [job_id for job_id, _ in fifo.processor.calls] == [job.id for job in order]
    assert [fifo.job(job).status.value for job in jobs] == [
        "SUCCESS",
        "SUCCESS",
        "FAILED",
        "SUCCESS",
        "SUCCESS",
    ]
    # The relay pays the dead letter of the one that had no message.
    assert fifo.job(jobs[2]).due_at is not None
    assert (fifo.queue.bodies, fifo.queue.dead) == ([], [])


async def test_a_job_that_is_scheduled_for_later_holds_nobody_up(fifo: Rig) -> None:
    early, job = await fifo.submit(2, ordering_key="customer-7")
    run_at = later(fifo.clock.now(), 3600)
    fifo.store.jobs[early.id] = replace(fifo.job(early), phase=Phase.SCHEDULED, run_at=run_at, due_at=run_at)
    fifo.queue.lose_everything()
    await fifo.queue.send([encode(replace(job, sends=2), fifo=True)])
    await fifo.run_until_idle(calls=1)
    assert fifo.processor.calls == [(job.id, 1)]
