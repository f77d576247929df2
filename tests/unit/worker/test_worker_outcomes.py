"""What becomes of a job and its message, by how the external service answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.job import AttemptOutcome, JobResult, Phase, Status
from jobqueue_core.domain.outcome import Outcome, of_answer, of_connection_error, of_timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_testsupport.worker_rig import Rig

UNAVAILABLE = of_answer(503, JobResult(503, "busy"))


async def test_a_job_that_succeeds_is_done_and_its_message_deleted(rig: Rig) -> None:
    (job,) = await rig.submit(payload={"to": "ada"})
    await rig.run_until_idle(calls=1)
    done = rig.job(job)
    assert (done.status, done.attempts, done.result) == (Status.SUCCESS, 1, JobResult(200, "done"))
    assert [(a.number, a.outcome, a.code, a.worker) for a in done.history] == [
        (1, AttemptOutcome.SUCCEEDED, 200, "w1")
    ]
    assert rig.queue.bodies == []
    assert rig.queue.dead == []


@pytest.mark.parametrize("failure", [UNAVAILABLE, of_timeout(30), of_connection_error("refused")])
async def test_a_failed_attempt_is_repeated_by_the_same_message(rig: Rig, failure: Outcome) -> None:
    (job,) = await rig.submit()
    rig.processor.answers[job.id] = [failure]
    worker, task = rig.start()
    await rig.processor.called(1)
    await rig.clock.advance(5)
    await rig.processor.called(2)
    await rig.stop(worker, task)
    assert rig.processor.calls == [(job.id, 1), (job.id, 2)]
    assert rig.job(job).status is Status.SUCCESS
    assert rig.queue.bodies == []


async def test_a_failed_attempt_waits_with_its_message_hidden(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.processor.answers[job.id] = [
        of_answer(429, JobResult(429, ""), retry_after_seconds=120),
    ]
    await rig.run_until_idle(calls=1)
    waiting = rig.job(job)
    assert (waiting.phase, waiting.attempts) == (Phase.RETRYING, 1)
    assert (waiting.run_at - waiting.updated_at).total_seconds() == pytest.approx(120)
    assert (await rig.queue.counts()).in_flight == 1
    await rig.clock.advance(121)
    assert (await rig.queue.counts()).visible == 1


async def test_three_failures_end_it_in_the_dead_letter_queue(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.processor.answers[job.id] = [UNAVAILABLE] * 9
    worker, task = rig.start()
    for attempt in (1, 2, 3):
        await rig.processor.called(attempt)
        await rig.clock.advance(10)
    await rig.stop(worker, task)
    failed = rig.job(job)
    assert rig.processor.per_job[job.id] == 3
    assert (failed.status, failed.attempts, failed.due_at) == (Status.FAILED, 3, None)
    assert failed.last_error is not None
    assert failed.last_error.message == "the external service answered 503: busy (attempt 3 of 3)"
    (letter,) = rig.queue.dead
    assert letter.attributes["reason"] == "failed"
    assert letter.attributes["code"] == "503"
    assert letter.attributes["attempts"] == "3"
    assert rig.queue.bodies == []


async def test_a_refusal_is_not_repeated(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.processor.answers[job.id] = [of_answer(422, JobResult(422, "no such user"))]
    await rig.run_until_idle(calls=1)
    assert rig.job(job).status is Status.FAILED
    assert rig.processor.per_job[job.id] == 1
    assert len(rig.queue.dead) == 1


async def test_a_long_wait_is_parked_in_the_store(rig: Rig) -> None:
    (job,) = await rig.submit()
    rig.processor.answers[job.id] = [of_answer(503, JobResult(503, ""), retry_after_seconds=1800)]
    await rig.run_until_idle(calls=1)
    parked = rig.job(job)
    assert (parked.phase, parked.sent_at) == (Phase.SCHEDULED, None)
    assert parked.due_at == parked.run_at
    assert rig.queue.bodies == []


async def test_a_fifo_queue_keeps_a_long_wait_in_the_queue(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(queue_name="jobs.fifo", sqs={"queue_name": "jobs.fifo"})
    first, second = await rig.submit(2, ordering_key="customer-7")
    rig.processor.answers[first.id] = [of_answer(503, JobResult(503, ""), retry_after_seconds=1800)]
    worker, task = rig.start()
    await rig.processor.called(1)
    await rig.clock.advance(900)
    assert rig.processor.calls == [(first.id, 1)], "the group waits behind its first job"
    await rig.clock.advance(1000)
    await rig.processor.called(3)
    await rig.stop(worker, task)
    assert rig.processor.calls == [(first.id, 1), (first.id, 2), (second.id, 1)]


async def test_a_fault_of_the_worker_on_one_message_leaves_the_others(rig: Rig) -> None:
    bad, good = await rig.submit(2)
    rig.processor.answers[bad.id] = [RuntimeError("a bug")]
    worker, task = rig.start()
    await rig.processor.called(2)
    await rig.clock.advance(61)
    await rig.processor.called(3)
    await rig.stop(worker, task)
    assert rig.job(good).status is Status.SUCCESS
    assert rig.job(bad).status is Status.SUCCESS, "it came back when its visibility ended"
    assert [a.outcome for a in rig.job(bad).history] == [AttemptOutcome.LOST, AttemptOutcome.SUCCEEDED]


async def test_the_slots_bound_what_runs_at_once(rig: Rig) -> None:
    jobs = await rig.submit(9)
    for job in jobs:
        rig.processor.hold(job.id)
    worker, task = rig.start()
    await rig.processor.called(2)
    assert rig.processor.most_running == 2
    for job in jobs:
        rig.processor.hold(job.id).set()
    await rig.processor.called(9)
    await rig.stop(worker, task)
    assert rig.processor.most_running == 2
    assert {rig.job(job).status for job in jobs} == {Status.SUCCESS}


async def test_metrics_and_heartbeat_say_what_happened(rig: Rig) -> None:
    jobs = await rig.submit(3)
    rig.processor.answers[jobs[0].id] = [of_answer(400, JobResult(400, ""))]
    worker, task = rig.start()
    await rig.processor.called(3)
    await rig.clock.advance(6)
    beat = rig.store.heartbeats["w1"]
    assert (beat.slots, beat.busy, beat.attempts, beat.finished, beat.draining) == (2, 0, 3, 3, False)
    await rig.stop(worker, task)
    value = rig.metrics.registry.get_sample_value
    finished = "jobqueue_jobs_finished_total"
    assert value(finished, {"queue": "default", "status": "SUCCESS"}) == 2
    assert value(finished, {"queue": "default", "status": "FAILED"}) == 1
    assert rig.store.heartbeats == {}, "a worker that ends says goodbye"
