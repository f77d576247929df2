"""Jobs that take their workers with them, and messages that are nearly used up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.job import AttemptOutcome, JobResult, Phase, Status, Step
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.testing.clock import settle
from jobqueue_testsupport.worker_rig import Rig, worker_settings

if TYPE_CHECKING:
    from jobqueue_core.domain.job import Job

LEASE_SECONDS = 60
FAIL = of_answer(503, JobResult(503, "later"))


@pytest.fixture
def rig() -> Rig:
    return Rig(worker_settings(retry={"max_attempts": 10, "backoff": {"initial_seconds": 0}}))


async def die_of(rig: Rig, job: Job, deaths: int) -> None:
    """Run workers that are killed in the middle of the job's call, one after another."""
    rig.processor.hold(job.id)
    for death in range(deaths):
        _, task = rig.start(f"w{death}")
        await rig.processor.called(death + 1)
        await settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await rig.clock.advance(LEASE_SECONDS + 1)


async def test_a_job_is_isolated_after_three_deaths_though_it_has_attempts_left(rig: Rig) -> None:
    (job,) = await rig.submit()
    await die_of(rig, job, 3)
    worker, task = rig.start("healthy")
    await rig.clock.advance(LEASE_SECONDS)
    await rig.stop(worker, task)
    after = rig.job(job)
    assert after.status is Status.FAILED
    assert (after.attempts, len(rig.processor.calls)) == (3, 3)
    assert [attempt.outcome for attempt in after.history] == [AttemptOutcome.LOST] * 3
    assert after.last_error is not None
    assert after.last_error.message == (
        "the job was isolated after 3 workers died of it: the worker died during the attempt, what the "
        "service did is unknown (last step reached: calling)"
    )
    (letter,) = rig.queue.dead
    assert letter.attributes["error"] == after.last_error.message
    assert rig.queue.bodies == []


async def test_steps_are_noted_only_of_a_job_that_has_lost_a_worker(rig: Rig) -> None:
    (job,) = await rig.submit()
    await die_of(rig, job, 1)
    assert rig.job(job).step is Step.CLAIMED
    _, task = rig.start("second")
    await rig.processor.called(2)
    await settle()
    assert rig.job(job).step is Step.CALLING
    rig.processor.hold(job.id).set()
    await settle()
    after = rig.job(job)
    assert (after.status, after.step) == (Status.SUCCESS, Step.ANSWERED)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_answer_between_two_deaths_begins_the_count_anew(rig: Rig) -> None:
    (job,) = await rig.submit()
    await die_of(rig, job, 2)
    rig.processor.answers[job.id] = [FAIL]
    rig.processor.hold(job.id).set()
    worker, task = rig.start("survivor")
    for _ in range(5):
        await rig.clock.advance(1)
    await rig.stop(worker, task)
    assert rig.job(job).status is Status.SUCCESS
    assert rig.job(job).deaths == 0


async def test_a_message_received_often_is_replaced_before_the_queue_takes_it_for_dead(rig: Rig) -> None:
    (job,) = await rig.submit(max_attempts=15)
    rig.processor.answers[job.id] = [FAIL] * 12
    worker, task = rig.start()
    await rig.clock.advance(30)
    await rig.stop(worker, task)
    assert rig.job(job).status is Status.SUCCESS
    assert rig.processor.calls == [(job.id, number) for number in range(1, 14)]
    assert (rig.queue.dead, rig.queue.bodies) == ([], [])


async def test_a_replaced_message_keeps_its_wait_and_its_attributes(rig: Rig) -> None:
    (job,) = await rig.submit(max_attempts=15, traceparent="00-1-2-01", ordering_key="k")
    rig.processor.answers[job.id] = [*[FAIL] * 5, of_answer(503, JobResult(503, "later"), 100.0)]
    worker, task = rig.start()
    await rig.clock.advance(5)
    assert len(rig.processor.calls) == 6
    (message,) = rig.queue.messages
    assert message.delay_seconds == 100
    assert message.group_id == "k"
    assert message.attributes == {"queue": "default", "traceparent": "00-1-2-01"}
    await rig.clock.advance(94)
    assert len(rig.processor.calls) == 6
    # A Retry-After holds up the whole queue, whose workers look again once a second.
    for _ in range(5):
        await rig.clock.advance(1)
    assert len(rig.processor.calls) == 7
    await rig.stop(worker, task)
    assert rig.job(job).status is Status.SUCCESS


async def test_a_message_that_cannot_be_replaced_is_shown_again(rig: Rig) -> None:
    (job,) = await rig.submit(max_attempts=15)
    rig.processor.answers[job.id] = [FAIL] * 7
    worker, task = rig.start()
    await rig.processor.called(1)
    rig.queue.faults.send_entries = ["InternalError"]
    await rig.clock.advance(30)
    assert rig.queue.faults.send_entries == []
    await rig.stop(worker, task)
    assert rig.job(job).status is Status.SUCCESS
    assert (rig.queue.dead, rig.queue.bodies) == ([], [])


async def test_a_call_of_more_than_twelve_hours_keeps_its_job(rig: Rig) -> None:
    """SQS shows a message again 12 hours after its receipt, whatever is done."""
    (job,) = await rig.submit()
    rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(1)
    await rig.clock.advance(12.5 * 3600)
    assert (rig.job(job).phase, rig.job(job).attempts) == (Phase.RUNNING, 1)
    assert len(rig.queue.bodies) == 1
    rig.processor.hold(job.id).set()
    await settle()
    assert rig.job(job).status is Status.SUCCESS
    await rig.clock.advance(2 * LEASE_SECONDS)
    await rig.stop(worker, task)
    assert rig.processor.calls == [(job.id, 1)]
    assert (rig.queue.dead, rig.queue.bodies) == ([], [])


async def test_a_worker_that_stood_still_past_its_lease_makes_no_call(rig: Rig) -> None:
    """The second job waits for the only slot while the process is stopped."""
    rig = Rig(worker_settings(worker={"concurrency": 1, "drain_seconds": 30, "heartbeat_seconds": 5}))
    first, second = await rig.submit(2)
    rig.processor.hold(first.id)
    worker, task = rig.start()
    await rig.processor.called(1)
    rig.clock.move(2 * LEASE_SECONDS)
    rig.processor.hold(first.id).set()
    await settle()
    await rig.clock.advance(2 * LEASE_SECONDS)
    await rig.stop(worker, task)
    assert rig.processor.per_job[second.id] == 1
    assert rig.job(second).attempts == 1
