from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.redrives import LEASE_SECONDS, RedriveState, Selection, ended
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import cancel
from jobqueue_testsupport.dead_letter_world import BROKEN, BUSY, DeadLetterWorld
from jobqueue_testsupport.factories import RULES

if TYPE_CHECKING:
    from jobqueue_core.domain.job import Job


@pytest.fixture
def dead() -> DeadLetterWorld:
    """Redrives and sweeps in a world of fakes."""
    return DeadLetterWorld()


async def test_every_failed_job_is_run_again(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(1200)
    task = await dead.order()
    await dead.redrive(turns=4)
    assert {dead.stored(job).phase for job in jobs} == {Phase.QUEUED}
    assert (dead.task(task).state, dead.task(task).moved) == (RedriveState.DONE, 1200)
    while await dead.relay.pay_dues():
        pass
    assert sorted(dead.sent) == [job.id for job in jobs]
    assert dead.observed.redrives == {"jobs": 1200}


async def test_a_turn_does_a_bounded_part(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(501)
    await dead.order()
    assert await dead.redriver.turn()
    assert sum(dead.stored(job).phase is Phase.QUEUED for job in jobs) == 500
    await dead.redrive()
    assert not await dead.redriver.turn()


async def test_a_group_is_run_again_alone(dead: DeadLetterWorld) -> None:
    busy, broken = await dead.have_failed(3), await dead.have_failed(2, BROKEN)
    await dead.order(Selection(BUSY))
    await dead.redrive()
    assert dead.failed == [job.id for job in broken]
    assert {dead.stored(job).phase for job in busy} == {Phase.QUEUED}


async def test_named_jobs_are_run_again_and_others_counted_as_skipped(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(4)
    succeeded = dead.jobs(Phase.SUCCEEDED)
    await dead.have(succeeded)
    names = (jobs[3].id, jobs[0].id, succeeded.id, "019c0f5e-7a31-7c42-9d1b-3f6a0c5e8b17")
    task = await dead.order(Selection(None, names))
    await dead.redrive()
    assert dead.failed == [job.id for job in jobs[1:3]]
    assert (dead.task(task).moved, dead.task(task).skipped) == (2, 2)
    assert dead.stored(succeeded) == succeeded


async def test_jobs_of_another_queue_are_left_alone(dead: DeadLetterWorld) -> None:
    (job,) = await dead.have_failed(1, queue="orders")
    task = await dead.order(Selection(None, (job.id,)))
    await dead.redrive()
    assert (dead.failed, dead.task(task).skipped) == ([job.id], 1)


async def test_a_rate_is_kept(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(30)
    task = await dead.order(per_second=2)
    moved = []
    for _ in range(20):
        dead.clock.move(1)
        await dead.redriver.turn()
        moved.append(len(jobs) - len(dead.failed))
    assert moved[0] <= 3
    assert max(b - a for a, b in pairwise(moved)) == 2
    assert dead.task(task).state is RedriveState.DONE


async def test_a_rate_holds_across_relays(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(30)
    await dead.order(per_second=0.5)
    redrivers = [dead.make_redriver() for _ in range(3)]
    for _ in range(40):
        dead.clock.move(1)
        for redriver in redrivers:
            await redriver.turn()
    assert len(jobs) - len(dead.failed) in (20, 21)


async def test_a_job_redriven_by_two_tasks_at_once_runs_once(
    dead: DeadLetterWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await dead.have_failed(50)
    read = dead.store.failed_after

    async def read_slowly(queue: str, *, limit: int, fingerprint: str | None, after: str | None) -> list[Job]:
        found = await read(queue, limit=limit, fingerprint=fingerprint, after=after)
        # Every other one reads before the first writes.
        await asyncio.sleep(0)
        return found

    monkeypatch.setattr(dead.store, "failed_after", read_slowly)
    tasks = [await dead.order(Selection(BUSY)) for _ in range(2)]
    redrivers = [dead.make_redriver() for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(redriver.turn() for redriver in redrivers))
    await dead.relay.pay_dues()
    assert sorted(dead.sent) == [job.id for job in jobs]
    assert sum(dead.task(task).moved for task in tasks) == 50
    assert {dead.task(task).state for task in tasks} == {RedriveState.DONE}


async def test_a_job_cancelled_or_retried_meanwhile_is_left_as_it_is(dead: DeadLetterWorld) -> None:
    (job,) = await dead.have_failed(1)
    await dead.order()
    await dead.redrive()
    await dead.take(cancel(dead.stored(job), rules=RULES, token="c", now=dead.clock.now()))
    await dead.order()
    await dead.redrive()
    assert dead.stored(job).phase is Phase.CANCELLED


async def test_a_job_that_fails_again_is_not_taken_again_by_the_same_task(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(3)
    task = await dead.order(per_second=1)
    for _ in range(8):
        dead.clock.move(1)
        await dead.redriver.turn()
        for job in jobs:
            if dead.stored(job).phase is Phase.QUEUED:
                dead.fail_again(job)
    assert dead.task(task).state is RedriveState.DONE
    assert (dead.task(task).moved, len(dead.failed)) == (3, 3)


class Killed(BaseException):
    """The relay is gone in the middle of a turn."""


async def test_what_dies_before_the_cursor_is_written_is_followed(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(50)
    task = await dead.order(per_second=10)

    async def die(*_: object) -> bool:
        raise Killed

    write = dead.redrives.write
    await dead.redriver.turn()
    dead.clock.move(1)
    dead.redrives.write = die  # type: ignore[method-assign,assignment] # it takes whatever comes
    with pytest.raises(Killed):
        await dead.redriver.turn()
    dead.redrives.write = write  # type: ignore[method-assign]
    reset = 50 - len(dead.failed)
    assert reset > dead.task(task).moved
    # Some of them fail again before another relay goes on.
    queued = [job for job in jobs if dead.stored(job).phase is Phase.QUEUED]
    again = [dead.fail_again(job) for job in queued[-3:]]
    other = dead.make_redriver()
    await dead.redrive(other)
    assert 50 - len(dead.failed) + len(again) == reset, "taken before the lease was over"
    for _ in range(60):
        dead.clock.move(1)
        await other.turn()
    assert dead.task(task).state is RedriveState.DONE
    assert dead.failed == sorted(job.id for job in again)


async def test_what_dies_after_the_cursor_was_written_is_followed(dead: DeadLetterWorld) -> None:
    await dead.have_failed(700)
    task = await dead.order()
    await dead.redriver.turn()
    assert (dead.task(task).moved, dead.task(task).state) == (500, RedriveState.RUNNING)
    dead.clock.move(LEASE_SECONDS)
    await dead.redrive(dead.make_redriver())
    assert (dead.task(task).moved, dead.task(task).state) == (700, RedriveState.DONE)
    assert dead.failed == []
    # The one that was thought dead comes back: it has nothing to say any more.
    await dead.redrive()
    assert dead.task(task).moved == 700


async def test_a_relay_that_was_overtaken_stops(dead: DeadLetterWorld) -> None:
    await dead.have_failed(10)
    task = await dead.order(per_second=1)
    await dead.redriver.turn()
    dead.clock.move(LEASE_SECONDS)
    other = dead.make_redriver()
    await other.turn()
    moved = dead.task(task).moved
    await dead.redrive()
    assert dead.task(task).moved == moved
    assert dead.task(task).leased_until == later(dead.clock.now(), LEASE_SECONDS)


async def test_a_slow_task_stays_with_its_relay(dead: DeadLetterWorld) -> None:
    await dead.have_failed(3)
    task = await dead.order(per_second=0.01)
    other = dead.make_redriver()
    await dead.redriver.turn()
    tokens = set()
    for _ in range(90):
        dead.clock.move(1)
        await dead.redriver.turn()
        assert not dead.task(task).is_free(dead.clock.now())
        await other.turn()
        tokens.add(dead.task(task).token)
    assert dead.task(task).moved == 1
    assert len(tokens) < 10


async def test_a_cancelled_task_stops(dead: DeadLetterWorld) -> None:
    await dead.have_failed(10)
    task = await dead.order(per_second=1)
    await dead.redriver.turn()
    held = dead.task(task)
    await dead.redrives.write(held, ended(held, RedriveState.CANCELLED, dead.clock.now()))
    failed = dead.failed
    dead.clock.move(5)
    await dead.redrive()
    assert (dead.failed, dead.task(task).state) == (failed, RedriveState.CANCELLED)


async def test_a_task_of_an_unknown_queue_waits_for_a_relay_that_knows_it(dead: DeadLetterWorld) -> None:
    task = await dead.order(queue="elsewhere")
    assert not await dead.redriver.turn()
    assert dead.task(task) == task


async def test_a_store_that_is_away_is_told(dead: DeadLetterWorld) -> None:
    await dead.order()
    dead.redrives.available = False
    with pytest.raises(StoreUnavailableError):
        await dead.redriver.turn()


# SQS's own move task


async def test_letters_are_moved_by_the_queue_where_it_can(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(20)
    dead.queue.moves_letters = True
    await dead.order()
    await dead.redrive()
    assert {dead.stored(job).phase for job in jobs} == {Phase.QUEUED}
    assert (len(dead.queue.bodies), dead.letters) == (20, [])
    await dead.relay.pay_dues()
    assert dead.sent == []


async def test_what_the_queue_did_not_move_is_sent_by_the_relay(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(20)
    dead.queue.moves_letters = True
    await dead.order()
    await dead.redriver.turn()
    dead.queue.moves_letters = False
    await dead.redrive()
    dead.clock.move(121)
    await dead.relay.pay_dues()
    assert sorted(dead.sent) == [job.id for job in jobs]


@pytest.mark.parametrize(("selection", "per_second"), [(Selection(BUSY), None), (Selection(), 1000.0)])
async def test_a_part_or_a_rate_is_done_by_ourselves(
    dead: DeadLetterWorld, selection: Selection, per_second: float | None
) -> None:
    await dead.have_failed(2)
    dead.queue.moves_letters = True
    await dead.order(selection, per_second=per_second)
    for _ in range(3):
        dead.clock.move(1)
        await dead.redriver.turn()
    assert (len(dead.letters), dead.queue.bodies) == (2, [])
    await dead.relay.pay_dues()
    assert len(dead.sent) == 2


async def test_a_queue_that_is_away_holds_up_nothing(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(2)
    dead.queue.faults.away = True
    task = await dead.order()
    await dead.redrive()
    assert dead.task(task).state is RedriveState.DONE
    assert [replace(dead.stored(job), due_at=None).phase for job in jobs] == [Phase.QUEUED] * 2
