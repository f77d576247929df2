"""Duplicates, foreign messages, outages, deaths and drains."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from jobqueue_core.assembly import new_token
from jobqueue_core.domain.job import AttemptOutcome, JobResult, Phase, Status
from jobqueue_core.domain.message import Message, encode
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.domain.transitions import begin, cancel
from jobqueue_core.testing.clock import settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_testsupport.worker_rig import Rig


async def test_the_same_message_twice_has_one_effect(rig: Rig) -> None:
    (job,) = await rig.submit()
    await rig.queue.send([encode(job, fifo=False)])
    worker, task = rig.start()
    await rig.processor.called(1)
    await rig.clock.advance(3)
    await rig.stop(worker, task)
    assert rig.processor.calls == [(job.id, 1)]
    assert rig.job(job).status is Status.SUCCESS
    assert rig.queue.bodies == []


async def test_a_message_of_a_running_job_waits_for_its_lease(rig: Rig) -> None:
    (job,) = await rig.submit()
    held = rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(1)
    await rig.queue.send([encode(job, fifo=False)])
    await rig.clock.advance(30)
    assert rig.processor.per_job[job.id] == 1
    held.set()
    await settle()
    await rig.clock.advance(61)
    await rig.stop(worker, task)
    assert rig.processor.per_job[job.id] == 1
    assert rig.queue.bodies == []


async def test_an_unreadable_message_goes_to_the_dead_letter_queue_with_its_reason(rig: Rig) -> None:
    await rig.queue.send([Message("hello"), Message('{"v":2,"jobId":"x"}')])
    (job,) = await rig.submit()
    await rig.run_until_idle(calls=1)
    assert sorted((m.body, m.attributes["reason"], m.attributes["error"]) for m in rig.queue.dead) == [
        ("hello", "unreadable", "the body is not JSON: hello"),
        ('{"v":2,"jobId":"x"}', "unreadable", "v must be 1, got 2"),
    ]
    assert rig.job(job).status is Status.SUCCESS
    assert rig.queue.bodies == []


async def test_a_message_of_no_job_goes_to_the_dead_letter_queue(rig: Rig) -> None:
    (known,) = await rig.submit()
    (unknown,) = await rig.submit()
    del rig.store.jobs[unknown.id]
    await rig.run_until_idle(calls=1)
    (letter,) = rig.queue.dead
    assert letter.attributes["error"] == f"no such job: {unknown.id}"
    assert rig.job(known).status is Status.SUCCESS


async def test_a_late_message_of_a_job_that_has_been_forgotten_is_deleted(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(retention={"succeeded_seconds": 30})
    (known,) = await rig.submit()
    await rig.queue.send([encode(known, fifo=False)])
    await rig.run_until_idle(calls=1)
    forgotten = rig.store.jobs.pop(known.id)
    assert forgotten.expire_at is not None
    await rig.clock.advance((forgotten.expire_at - rig.clock.now()).total_seconds())
    await rig.queue.send([encode(known, fifo=False)])
    (job,) = await rig.submit()
    await rig.run_until_idle(calls=2)
    assert rig.job(job).status is Status.SUCCESS
    assert rig.processor.per_job[known.id] == 1
    assert (rig.queue.dead, rig.queue.bodies) == ([], [])


async def test_a_job_cancelled_before_its_turn_is_not_called(rig: Rig) -> None:
    (job,) = await rig.submit()
    other, *_ = await rig.submit()
    await rig.store.apply([cancel(rig.job(job), rules=rig.rules, token="c", now=rig.clock.now())])
    await rig.run_until_idle(calls=1)
    assert rig.processor.per_job == {other.id: 1}
    assert rig.job(job).status is Status.CANCELLED
    assert rig.queue.bodies == []


async def test_a_job_cancelled_while_it_runs_stays_cancelled(rig: Rig) -> None:
    (job,) = await rig.submit()
    held = rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(1)
    await rig.store.apply([cancel(rig.job(job), rules=rig.rules, token="c", now=rig.clock.now())])
    held.set()
    await settle()
    await rig.stop(worker, task)
    assert rig.job(job).status is Status.CANCELLED
    assert rig.job(job).result is None


async def test_a_cancel_cuts_the_call_off_when_the_lease_is_next_extended(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(1)
    await rig.store.apply([cancel(rig.job(job), rules=rig.rules, token="c", now=rig.clock.now())])
    await rig.clock.advance(60)
    assert rig.processor.cut_off == [job.id]
    await rig.stop(worker, task)
    assert rig.job(job).status is Status.CANCELLED


async def test_a_long_call_keeps_its_message_and_its_lease(rig: Rig) -> None:
    (job,) = await rig.submit()
    held = rig.processor.hold(job.id)
    first, first_task = rig.start("w1")
    await rig.processor.called(1)
    second, second_task = rig.start("w2")
    await rig.clock.advance(600)
    assert rig.processor.calls == [(job.id, 1)]
    assert rig.job(job).lease.is_held(rig.clock.now())
    held.set()
    await settle()
    await rig.stop(first, first_task)
    await rig.stop(second, second_task)
    assert rig.job(job).status is Status.SUCCESS
    assert rig.queue.bodies == []


async def test_a_worker_that_dies_in_mid_call_leaves_the_job_to_another(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.processor.hold(job.id)
    _, dead = rig.start("w1")
    await rig.processor.called(1)
    await _kill(rig, dead)
    rig.processor.holds.clear()
    second, task = rig.start("w2")
    await rig.clock.advance(59)
    assert rig.processor.calls == [(job.id, 1)]
    await rig.clock.advance(5)
    await rig.processor.called(2)
    await rig.stop(second, task)
    done = rig.job(job)
    assert (done.status, done.attempts) == (Status.SUCCESS, 2)
    assert [(a.outcome, a.worker) for a in done.history] == [
        (AttemptOutcome.LOST, "w1"),
        (AttemptOutcome.SUCCEEDED, "w2"),
    ]
    assert rig.queue.bodies == []


async def test_a_job_whose_last_attempt_died_has_failed_without_a_fourth_call(rig: Rig) -> None:
    (job,) = await rig.submit(max_attempts=1)
    rig.processor.hold(job.id)
    _, dead = rig.start("w1")
    await rig.processor.called(1)
    await _kill(rig, dead)
    second, task = rig.start("w2")
    await rig.clock.advance(65)
    await rig.stop(second, task)
    assert rig.processor.per_job[job.id] == 1
    assert rig.job(job).status is Status.FAILED
    assert len(rig.queue.dead) == 1
    assert rig.queue.bodies == []


async def _kill(rig: Rig, task: asyncio.Task[None]) -> None:
    """End a worker as `kill -9` would: nothing it does afterwards reaches the world."""
    rig.store.available = False
    rig.queue.faults.away = True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    rig.store.available = True
    rig.queue.faults.away = False


async def test_an_outage_of_the_store_takes_no_work_and_no_receives(rig: Rig) -> None:
    jobs = await rig.submit(20)
    rig.store.available = False
    worker, task = rig.start()
    await rig.clock.advance(300)
    calls_in_outage = rig.queue.calls
    await rig.clock.advance(300)
    assert rig.processor.calls == []
    # Only what was received before the outage showed is kept, by one extension in each half time-out.
    assert rig.queue.calls - calls_in_outage <= 300 / 15
    assert [m.receive_count for m in await rig.queue.receive(10, 0)] == [1] * 10
    rig.store.available = True
    await rig.clock.advance(120)
    await rig.processor.called(20)
    await rig.stop(worker, task)
    assert {rig.job(job).status for job in jobs} == {Status.SUCCESS}
    assert set(rig.processor.per_job.values()) == {1}


async def test_an_outcome_waits_for_the_store_to_come_back(rig: Rig) -> None:
    (job,) = await rig.submit()
    held = rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(1)
    rig.store.available = False
    held.set()
    await settle()
    await rig.clock.advance(20)
    rig.store.available = True
    await rig.clock.advance(10)
    await rig.stop(worker, task)
    assert rig.processor.per_job[job.id] == 1
    assert rig.job(job).status is Status.SUCCESS


async def test_an_outage_of_the_queue_is_waited_out(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.queue.faults.away = True
    worker, task = rig.start()
    await rig.clock.advance(60)
    rig.queue.faults.away = False
    await rig.clock.advance(15)
    await rig.processor.called(1)
    await rig.stop(worker, task)
    assert rig.job(job).status is Status.SUCCESS


async def test_a_dead_letter_that_could_not_be_sent_is_still_owed(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.processor.answers[job.id] = [of_answer(400, JobResult(400, ""))]
    rig.queue.faults.entries = ["InternalError"]
    worker, task = rig.start()
    await rig.processor.called(1)
    await settle()
    failed = rig.job(job)
    assert (failed.status, failed.due_at is not None, rig.queue.dead) == (Status.FAILED, True, [])
    await rig.clock.advance(65)
    await rig.stop(worker, task)
    assert len(rig.queue.dead) == 1
    assert rig.job(job).due_at is None
    assert rig.queue.bodies == []


async def test_a_delete_that_fails_has_no_effect_on_the_job(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.queue.faults.entries = ["InternalError"]
    await rig.run_until_idle(calls=1)
    assert rig.job(job).status is Status.SUCCESS
    assert len(rig.queue.bodies) == 1
    await rig.clock.advance(60)
    worker, task = rig.start("w2")
    await settle()
    await rig.stop(worker, task)
    assert rig.processor.per_job[job.id] == 1
    assert rig.queue.bodies == []


async def test_a_drain_lets_what_runs_finish_and_returns_the_rest_at_once(rig: Rig) -> None:
    jobs = await rig.submit(6)
    for job in jobs:
        rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(2)
    worker.stop()
    await settle()
    for job in jobs:
        rig.processor.hold(job.id).set()
    await rig.clock.advance(1)
    async with asyncio.timeout(5):
        await task
    assert sorted(rig.job(job).phase for job in jobs) == [Phase.QUEUED] * 4 + [Phase.SUCCEEDED] * 2
    assert (await rig.queue.counts()).visible == 4, "nobody waits for a visibility time-out"


async def test_a_drain_returns_what_is_claimed_ahead_without_counting_an_attempt(rig: Rig) -> None:
    quick = await rig.submit(3)
    worker, task = rig.start()
    await rig.processor.called(3)
    await settle()
    jobs = await rig.submit(9)
    for job in jobs:
        rig.processor.hold(job.id)
    await rig.processor.called(5)
    await settle()
    assert sum(rig.job(job).phase is Phase.RUNNING for job in jobs) == 9, "claimed while the slots are taken"
    worker.stop()
    await settle()
    for job in jobs:
        rig.processor.hold(job.id).set()
    await rig.clock.advance(20)
    async with asyncio.timeout(5):
        await task
    assert {rig.job(job).status for job in quick} == {Status.SUCCESS}
    states = sorted((rig.job(job).phase, rig.job(job).attempts) for job in jobs)
    assert states == [(Phase.QUEUED, 0)] * 7 + [(Phase.SUCCEEDED, 1)] * 2
    assert (await rig.queue.counts()).visible == 7


async def test_past_the_grace_what_runs_is_released_for_another_worker(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(worker={"concurrency": 2, "drain_seconds": 10, "heartbeat_seconds": 5})
    (job,) = await rig.submit()
    rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(1)
    worker.stop()
    await rig.clock.advance(20)
    async with asyncio.timeout(5):
        await task
    released = rig.job(job)
    assert (released.phase, released.attempts) == (Phase.RETRYING, 1)
    assert released.history[-1].outcome is AttemptOutcome.RELEASED
    assert (await rig.queue.counts()).visible == 1
    rig.processor.holds.clear()
    second, second_task = rig.start("w2")
    await rig.processor.called(2)
    await rig.stop(second, second_task)
    assert rig.job(job).status is Status.SUCCESS


async def test_what_a_last_receive_brings_after_the_grace_goes_back_at_once(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(worker={"concurrency": 2, "drain_seconds": 0, "heartbeat_seconds": 5})
    worker, task = rig.start()
    await settle()
    worker.stop()
    await rig.clock.advance(10)
    (job,) = await rig.submit()
    await rig.clock.advance(1)
    async with asyncio.timeout(5):
        await task
    assert (rig.job(job).phase, rig.job(job).attempts, rig.processor.calls) == (Phase.QUEUED, 0, [])
    (message,) = await rig.queue.receive(10, 0)
    assert message.receive_count == 2, "this worker had it"


async def test_a_second_order_to_stop_does_not_wait_for_the_grace(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(1)
    worker.stop()
    await settle()
    worker.stop()
    async with asyncio.timeout(5):
        await task
    assert rig.job(job).history[-1].outcome is AttemptOutcome.RELEASED
    assert (await rig.queue.counts()).visible == 1


async def test_a_worker_that_lost_its_lease_writes_nothing(rig: Rig) -> None:
    (job,) = await rig.submit()
    held = rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(1)
    stolen = rig.job(job)
    await rig.clock.advance(1)
    expired = stolen.lease.expires_at
    assert expired is not None
    # Another worker, whose clock runs ahead, takes the job.
    theft = begin(stolen, owner="thief", token=new_token(), expires_at=expired, now=expired)
    assert await rig.store.apply([theft]) == [True]
    held.set()
    await settle()
    await rig.stop(worker, task)
    assert rig.job(job) == theft.after
