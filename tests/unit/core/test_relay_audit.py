from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.message import Message, decode
from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.relay_world import GRACE_SECONDS, SETTINGS, World

if TYPE_CHECKING:
    from jobqueue_testsupport.factories import JobFactory


async def test_messages_lost_by_the_queue_are_sent_again(world: World, job_factory: JobFactory) -> None:
    jobs = job_factory.many(3)
    await world.have(*jobs)
    async with world.running():
        await world.clock.advance(GRACE_SECONDS + 2)
        assert len(world.queue.bodies) == 3
        world.queue.lose_everything()
        await world.clock.advance(3 * SETTINGS.lost_after_seconds)
    assert sorted(decode(body) for body in world.queue.bodies) == [job.id for job in jobs]
    assert world.resent == {"jobs": 6}


async def test_a_retry_whose_message_was_lost_is_sent_again_and_waits_for_its_time(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory(Phase.RETRYING, run_at=later(START, 600))
    await world.have(job)
    world.clock.move(100)
    await world.relay.audit()
    await world.relay.audit()
    assert world.sent == [job.id]
    assert world.stored(job).run_at == later(START, 600)


async def test_a_queue_is_believed_to_be_empty_when_it_said_so_twice(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory(sent_at=START, due_at=None)
    await world.have(job)
    world.clock.move(100)
    await world.relay.audit()
    assert world.sent == []
    await world.relay.audit()
    assert world.sent == [job.id]


async def test_a_failed_reading_is_no_empty_queue(world: World, job_factory: JobFactory) -> None:
    await world.have(job_factory(sent_at=START, due_at=None))
    world.clock.move(100)
    await world.relay.audit()
    world.queue.faults.away = True
    await world.relay.audit()
    world.queue.faults.away = False
    await world.relay.audit()
    assert world.sent == []


async def test_messages_in_flight_are_not_lost(world: World, job_factory: JobFactory) -> None:
    job = job_factory(sent_at=START, due_at=None)
    await world.have(job)
    await world.queue.send([Message("other")])
    await world.queue.receive(1, 0)
    world.clock.move(50)
    for _ in range(3):
        await world.relay.audit()
    assert len(world.queue.sent) == 1


async def test_a_young_message_of_an_empty_queue_is_not_lost(world: World, job_factory: JobFactory) -> None:
    await world.have(job_factory(sent_at=START, due_at=None))
    world.clock.move(SETTINGS.lost_after_seconds)
    for _ in range(3):
        await world.relay.audit()
    assert world.sent == []


async def test_a_very_old_message_is_sent_again_whatever_the_queue_says(
    world: World, job_factory: JobFactory
) -> None:
    job = job_factory(sent_at=START, due_at=None)
    await world.have(job)
    await world.queue.send([Message("other")])
    world.clock.move(SETTINGS.resend_after_seconds + 1)
    await world.relay.audit()
    assert [message.body for message in world.queue.sent[1:]] == [f'{{"v":1,"jobId":"{job.id}"}}']


async def test_running_and_finished_jobs_are_not_audited(world: World, job_factory: JobFactory) -> None:
    for phase in (Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED):
        await world.have(job_factory(phase))
    world.clock.move(10_000)
    for _ in range(3):
        await world.relay.audit()
    assert world.sent == []


async def test_an_audit_finds_thousands(world: World, job_factory: JobFactory) -> None:
    await world.have(*job_factory.many(1200, sent_at=START, due_at=None))
    world.clock.move(100)
    await world.relay.audit()
    await world.relay.audit()
    assert len(set(world.sent)) == len(world.sent) == 1200
