from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from jobqueue_core.domain.job import AttemptOutcome, Job, JobError, JobResult, Lease, Phase
from jobqueue_core.domain.message import decode
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import begin, finish, note_sent, retry_by_hand
from jobqueue_core.store_clock import StoreClock
from jobqueue_core.testing.clock import START, ManualClock, settle
from jobqueue_testsupport.factories import FIFO_RULES, RULES
from jobqueue_testsupport.relay_world import GRACE_SECONDS, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.transitions import Transition
    from jobqueue_testsupport.factories import JobFactory


async def test_a_job_that_was_never_sent_is_sent_after_the_grace(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory()
    await world.have(job)
    world.clock.move(GRACE_SECONDS - 0.001)
    assert await world.relay.pay_dues() == 0
    world.clock.move(0.001)
    assert await world.relay.pay_dues() == 1
    assert world.sent == [job.id]
    stored = world.stored(job)
    assert (stored.phase, stored.sent_at, stored.due_at) == (Phase.QUEUED, world.clock.now(), None)
    assert world.resent == {"jobs": 1}


async def test_a_paid_debt_is_not_paid_again(world: World, job_factory: JobFactory) -> None:
    await world.have(job_factory())
    world.clock.move(60)
    await world.relay.pay_dues()
    world.clock.move(3000)
    assert await world.relay.pay_dues() == 0
    assert len(world.sent) == 1


async def test_a_scheduled_job_is_sent_at_its_time_and_is_no_repair(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory(Phase.SCHEDULED)
    await world.have(job)
    world.clock.move(59.999)
    await world.relay.pay_dues()
    assert world.sent == []
    world.clock.move(0.001)
    await world.relay.pay_dues()
    assert world.sent == [job.id]
    assert world.stored(job).phase is Phase.QUEUED
    assert world.resent == {}


async def test_a_held_lease_is_left_alone(world: World, job_factory: JobFactory) -> None:
    job = job_factory(Phase.RUNNING, due_at=START)
    await world.have(job)
    await world.relay.pay_dues()
    assert world.stored(job) == job


async def test_a_job_whose_worker_died_is_queued_and_sent_again(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory(Phase.RUNNING)
    await world.have(job)
    world.clock.move(65)
    with capture_logs() as logs:
        await world.relay.pay_dues()
        await world.relay.pay_dues()
    assert world.sent == [job.id]
    stored = world.stored(job)
    assert (stored.phase, stored.attempts, stored.due_at) == (Phase.QUEUED, 1, None)
    assert [attempt.outcome for attempt in stored.history] == [AttemptOutcome.LOST]
    assert logs[0]["worker"] == "worker"


async def test_an_extension_that_came_in_between_keeps_the_job(world: World, job_factory: JobFactory) -> None:
    job = job_factory(Phase.RUNNING)
    await world.have(job)
    world.clock.move(65)
    extended = job_factory(
        Phase.RUNNING, id=job.id, lease=Lease(job.lease.token, "worker", later(START, 120))
    )
    due = await world.store.due(world.clock.now(), 10)
    world.store.jobs[job.id] = extended

    async def remembered(*_: object) -> list[Job]:
        return due

    world.store.due = remembered  # type: ignore[method-assign,assignment] # what the relay read before the extension
    await world.relay.pay_dues()
    assert world.stored(job) == extended
    assert world.sent == []


async def test_a_job_lost_in_its_last_attempt_fails_and_gets_its_dead_letter(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory(Phase.RUNNING, attempts=3)
    await world.have(job)
    world.clock.move(65)
    await world.relay.pay_dues()
    assert world.stored(job).phase is Phase.FAILED
    assert world.queue.dead == []
    world.clock.move(GRACE_SECONDS)
    await world.relay.pay_dues()
    (letter,) = world.queue.dead
    assert decode(letter.body) == job.id
    assert (letter.attributes["reason"], letter.attributes["attempts"]) == ("failed", "3")
    assert (world.stored(job).due_at, world.sent, world.resent) == (None, [], {})


async def test_an_owed_dead_letter_is_sent(world: World, job_factory: JobFactory) -> None:
    job = job_factory(Phase.FAILED, last_error=JobError("no", 404))
    await world.have(job)
    world.clock.move(GRACE_SECONDS)
    await world.relay.pay_dues()
    (letter,) = world.queue.dead
    assert (letter.attributes["error"], letter.attributes["code"]) == ("no", "404")
    assert world.stored(job).due_at is None


async def test_what_the_queue_refused_is_due_again_after_the_grace(
    world: World, job_factory: JobFactory
) -> None:
    first, second = job_factory(), job_factory()
    await world.have(first, second)
    world.clock.move(GRACE_SECONDS)
    world.queue.faults.entries = ["InternalError"]
    await world.relay.pay_dues()
    assert [decode(body) for body in world.queue.bodies] == [second.id]
    assert world.stored(first).due_at == later(world.clock.now(), GRACE_SECONDS)
    world.clock.move(GRACE_SECONDS)
    await world.relay.pay_dues()
    assert [decode(body) for body in world.queue.bodies] == [second.id, first.id]


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.FAILED])
async def test_a_queue_that_is_away_is_paid_when_it_is_back(
    world: World, job_factory: JobFactory, phase: Phase
) -> None:
    job = job_factory(phase)
    await world.have(job)
    world.queue.faults.away = True
    async with world.running():
        await world.clock.advance(30)
        assert world.stored(job).due_at is not None
        world.queue.faults.away = False
        await world.clock.advance(GRACE_SECONDS + 2)
    assert len(world.queue.bodies) + len(world.queue.dead) == 1
    assert world.stored(job).due_at is None


async def test_a_store_that_is_away_is_waited_for(world: World, job_factory: JobFactory) -> None:
    job = job_factory()
    await world.have(job)
    world.store.available = False
    async with world.running():
        await world.clock.advance(30)
        world.store.available = True
        await world.clock.advance(2)
        assert world.sent == [job.id]


async def test_no_lease_is_judged_before_the_time_is_known(world: World, job_factory: JobFactory) -> None:
    """By this machine's own clock, which is ahead, the lease would have run out."""
    job = job_factory(Phase.RUNNING)
    await world.have(job)
    machine = ManualClock(later(START, 100))
    world.clock = StoreClock(machine, world.store)  # type: ignore[assignment] # as a process has it
    async with world.running(world.make_relay()):
        await machine.advance(3)
    assert world.stored(job) == job


async def test_after_an_outage_of_the_store_the_workers_come_first(
    world: World, job_factory: JobFactory
) -> None:
    """They could not extend their leases, but know how the attempts ended."""
    told, silent = job_factory(Phase.RUNNING), job_factory(Phase.RUNNING)
    await world.have(told, silent)
    world.store.available = False
    async with world.running():
        await world.clock.advance(120)
        world.store.available = True
        await world.clock.advance(3)
        assert (world.stored(told).phase, world.stored(silent).phase) == (Phase.RUNNING, Phase.RUNNING)
        outcome = of_answer(200, JobResult(200, "done"))
        now = world.clock.now()
        await world.take(finish(told, outcome, rules=RULES, jitter=0.0, token="w2", now=now))
        await world.clock.advance(8)
    assert world.stored(told).phase is Phase.SUCCEEDED
    assert world.stored(silent).history[-1].outcome is AttemptOutcome.LOST
    assert world.sent == [silent.id]


async def test_a_store_that_goes_between_claim_and_note_costs_one_message_more(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory()
    await world.have(job)
    offer = world.store.offer

    async def away(transitions: Sequence[Transition]) -> None:
        world.store.available = False
        await offer(transitions)

    world.store.offer = away  # type: ignore[method-assign] # a fault at this very step
    async with world.running():
        await world.clock.advance(GRACE_SECONDS + 2)
        assert world.sent == [job.id]
        world.store.offer, world.store.available = offer, True  # type: ignore[method-assign] # whole again
        await world.clock.advance(GRACE_SECONDS + 2)
    assert world.sent == [job.id] * 2
    assert world.stored(job).due_at is None


async def test_two_relays_send_a_job_once(world: World, job_factory: JobFactory) -> None:
    await world.have(*job_factory.many(50))
    async with world.running(world.make_relay(), world.make_relay()):
        await world.clock.advance(GRACE_SECONDS + 5)
    assert len(world.sent) == len(set(world.sent)) == 50


async def test_two_relays_that_read_the_same_debts_send_a_job_once(
    world: World, job_factory: JobFactory
) -> None:
    await world.have(*job_factory.many(50))
    world.clock.move(GRACE_SECONDS)
    apply, both_have_read = world.store.apply, asyncio.Barrier(2)

    async def apply_together(transitions: Sequence[Transition]) -> list[bool]:
        await both_have_read.wait()
        return await apply(transitions)

    world.store.apply = apply_together  # type: ignore[method-assign] # the worst moment
    await asyncio.gather(world.relay.pay_dues(), world.make_relay().pay_dues())
    assert len(world.sent) == len(set(world.sent)) == 50


async def test_a_job_of_an_unknown_queue_is_postponed_and_named(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory(queue="gone")
    await world.have(job)
    world.clock.move(GRACE_SECONDS)
    with capture_logs() as logs:
        await world.relay.pay_dues()
    assert (logs[0]["queue"], logs[0]["job_id"]) == ("gone", job.id)
    assert world.stored(job).due_at == later(world.clock.now(), 60)
    assert world.stored(job).lease == job.lease


async def test_a_fifo_message_sent_again_is_no_duplicate(world: World, job_factory: JobFactory) -> None:
    job = job_factory(queue="orders", ordering_key="k")
    await world.have(job)
    world.clock.move(GRACE_SECONDS)
    await world.relay.pay_dues()
    world.fifo.lose_everything()
    failed = replace(world.stored(job), phase=Phase.FAILED)
    world.store.jobs[job.id] = failed
    await world.take(retry_by_hand(failed, rules=FIFO_RULES, token="hand", now=world.clock.now()))
    world.clock.move(GRACE_SECONDS)
    await world.relay.pay_dues()
    first, second = (message.deduplication_id for message in world.fifo.sent)
    assert first != second
    assert [message.group_id for message in world.fifo.sent] == ["k", "k"]
    assert len(world.fifo.bodies) == 1


async def test_a_backlog_of_debts_is_paid_without_pause(world: World, job_factory: JobFactory) -> None:
    await world.have(*job_factory.many(1200))
    world.clock.move(GRACE_SECONDS)
    async with world.running():
        await settle()
        assert len(world.sent) == 1200


async def test_a_job_begun_between_looking_and_claiming_is_not_sent(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory()
    await world.have(job)
    world.clock.move(GRACE_SECONDS)
    apply = world.store.apply

    async def after_a_worker(transitions: Sequence[Transition]) -> list[bool]:
        now = world.clock.now()
        await apply([begin(job, owner="w", token="w1", expires_at=later(now, 60), now=now)])
        return await apply(transitions)

    world.store.apply = after_a_worker  # type: ignore[method-assign] # the worst moment
    await world.relay.pay_dues()
    assert (world.sent, world.stored(job).phase) == ([], Phase.RUNNING)


async def test_a_note_of_the_sender_and_a_claim_of_the_relay_leave_nothing_owed(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory()
    await world.have(job)
    world.clock.move(GRACE_SECONDS)
    await world.take(note_sent(job, world.clock.now()))
    assert await world.relay.pay_dues() == 0
    assert world.sent == []
