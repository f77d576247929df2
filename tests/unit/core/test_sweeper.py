from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.message import Message, dead_letter, encode
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import note_sent, retry_by_hand
from jobqueue_testsupport.dead_letter_world import CHECK_SECONDS, DeadLetterWorld
from jobqueue_testsupport.factories import RULES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.transitions import Transition

FOREIGN = Message("no json", {"reason": "unreadable", "error": "the body is not JSON"})


@pytest.fixture
def dead() -> DeadLetterWorld:
    """Redrives and sweeps in a world of fakes."""
    return DeadLetterWorld()


async def test_letters_that_are_as_they_should_be_are_not_touched(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(25)
    await dead.sweep()
    assert dead.letters == [job.id for job in jobs]
    assert all(letter.receive_count == 0 for letter in dead.queue.letters._letters.values())  # noqa: SLF001
    assert dead.observed.letters["jobs"] == (25, 25)


async def test_letters_of_redriven_jobs_go(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(25)
    await dead.order()
    await dead.redrive()
    assert len(dead.letters) == 25
    # At once, for the redrive asks for it.
    await dead.finish_sweep()
    assert dead.letters == []
    await dead.relay.pay_dues()
    assert sorted(dead.sent) == [job.id for job in jobs]


async def test_the_letter_of_a_job_retried_by_hand_goes(dead: DeadLetterWorld) -> None:
    retried, failed = await dead.have_failed(2)
    await dead.take(retry_by_hand(retried, rules=RULES, token="t", now=dead.clock.now()))
    await dead.sweep()
    assert dead.letters == [failed.id]


async def test_a_job_that_failed_again_has_one_letter(dead: DeadLetterWorld) -> None:
    (job,) = await dead.have_failed(1)
    await dead.take(retry_by_hand(job, rules=RULES, token="t", now=dead.clock.now()))
    await dead.relay.pay_dues()
    dead.fail_again(job)
    await dead.relay.pay_dues()
    assert dead.letters == [job.id] * 2
    await dead.sweep()
    (letter,) = dead.queue.dead
    assert letter.attributes["sends"] == str(dead.stored(job).sends)


async def test_of_two_letters_of_one_failure_one_stays(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(3)
    await dead.queue.dead_letter([dead_letter(job, fifo=False) for job in jobs])
    await dead.sweep()
    assert dead.letters == [job.id for job in jobs]


async def test_sweeps_at_the_same_time_leave_one_of_each(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(40)
    for _ in range(3):
        await dead.queue.dead_letter([dead_letter(job, fifo=False) for job in jobs])
    sweepers = [dead.make_sweeper() for _ in range(3)]
    for _ in range(12):
        dead.clock.move(CHECK_SECONDS * 1.2)
        while any(await asyncio.gather(*(sweeper.turn() for sweeper in sweepers))):
            await dead.relay.pay_dues()
        await dead.relay.pay_dues()
    assert dead.letters == [job.id for job in jobs]


async def test_a_letter_that_the_queue_lost_is_written_again(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(30)
    dead.queue.letters.empty()
    await dead.queue.dead_letter([dead_letter(jobs[7], fifo=False)])
    await dead.sweep()
    await dead.relay.pay_dues()
    assert dead.letters == [job.id for job in jobs]


async def test_a_job_that_has_just_failed_is_given_time(dead: DeadLetterWorld) -> None:
    await dead.have_failed(1)
    dead.queue.letters.empty()
    (fresh,) = await dead.have_failed(1)
    dead.store.jobs[fresh.id] = replace(fresh, finished_at=later(dead.clock.now(), 80))
    dead.queue.letters.empty()
    await dead.sweep()
    await dead.relay.pay_dues()
    assert fresh.id not in dead.letters
    assert len(dead.letters) == 1


async def test_foreign_letters_stay_and_are_gone_through_ever_less(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(2)
    await dead.queue.dead_letter([FOREIGN])
    await dead.sweep()
    assert dead.letters == [*(job.id for job in jobs), "no json"]
    seen = next(iter(dead.queue.letters._letters.values())).receive_count  # noqa: SLF001
    assert seen == 1
    for _ in range(10):
        await dead.sweep()
    assert next(iter(dead.queue.letters._letters.values())).receive_count == seen  # noqa: SLF001
    assert dead.observed.letters["jobs"] == (2, 3)


async def test_letters_are_shown_when_the_sweep_is_over(dead: DeadLetterWorld) -> None:
    await dead.have_failed(250)
    await dead.queue.dead_letter([FOREIGN])
    await dead.sweep()
    assert len(await dead.queue.receive_dead_letters(10, 1)) == 10


async def test_a_sweep_that_died_is_done_by_another(dead: DeadLetterWorld) -> None:
    jobs = await dead.have_failed(100)
    await dead.take(retry_by_hand(jobs[0], rules=RULES, token="t", now=dead.clock.now()))
    dying = dead.make_sweeper()
    dying.ask("jobs")
    await dying.turn()
    await dying.turn()
    assert await dead.queue.receive_dead_letters(10, 1) == []
    for _ in range(2):
        await dead.sweep()
    assert dead.letters == [job.id for job in jobs[1:]]


# What SQS moved by itself


async def moved(dead: DeadLetterWorld, **changes: object) -> Message:
    """Have a job whose message was received too often."""
    job = note_sent(dead.jobs(), dead.clock.now()).after
    job = replace(job, **changes)  # type: ignore[arg-type] # fields by name
    await dead.have(job)
    message = encode(job, fifo=False)
    dead.queue.letters.put(message, source="jobs")
    return message


@pytest.mark.parametrize("changes", [{}, {"phase": Phase.RETRYING, "attempts": 2}])
async def test_a_healthy_job_whose_message_was_moved_is_sent_again(
    dead: DeadLetterWorld, changes: dict[str, object]
) -> None:
    message = await moved(dead, **changes)
    await dead.sweep()
    assert dead.letters == []
    await dead.relay.pay_dues()
    assert [each.body for each in dead.queue.sent] == [message.body]


async def test_a_failed_job_whose_message_was_moved_gets_its_own_letter(dead: DeadLetterWorld) -> None:
    (job,) = await dead.have_failed(1)
    dead.queue.letters.empty()
    dead.queue.letters.put(encode(job, fifo=False), source="jobs")
    await dead.finish_sweep()
    # The numbers are equal: the regular sweep finds it.
    dead.clock.move(3600)
    await dead.finish_sweep()
    await dead.relay.pay_dues()
    (letter,) = dead.queue.dead
    assert letter.attributes["reason"] == "failed"


async def test_letters_of_jobs_that_are_gone_go(dead: DeadLetterWorld) -> None:
    await moved(dead)
    dead.store.jobs.clear()
    await dead.sweep()
    assert dead.letters == []


async def test_what_changes_meanwhile_is_left_for_the_next_sweep(dead: DeadLetterWorld) -> None:
    await moved(dead)

    async def lose(transitions: Sequence[Transition]) -> list[bool]:
        return [False for _ in transitions]

    dead.store.apply = lose  # type: ignore[method-assign]
    await dead.sweep()
    assert len(dead.letters) == 1


async def test_a_queue_that_is_away_keeps_no_other_from_being_looked_at(dead: DeadLetterWorld) -> None:
    dead.queue.faults.away = True
    await dead.have(dead.jobs(Phase.SUCCEEDED, queue="orders"))
    dead.fifo.letters.put(FOREIGN)
    await dead.sweep()
    assert dead.observed.letters == {"orders": (0, 1)}
    dead.queue.faults.away = False
    await dead.sweep()
    assert dead.observed.letters == {"orders": (0, 1), "jobs": (0, 0)}


STRAY = [phase for phase in Phase if phase is not Phase.RUNNING]


@given(
    jobs=st.lists(
        st.tuples(
            st.sampled_from(STRAY),
            st.integers(0, 3),  # letters of ours
            st.booleans(),  # one that SQS moved
            st.booleans(),  # one of an earlier failure
        ),
        max_size=30,
    ),
    foreign=st.integers(0, 3),
    relays=st.integers(1, 3),
)
def test_whatever_was_there_letters_end_up_as_the_failed_jobs(
    jobs: list[tuple[Phase, int, bool, bool]], foreign: int, relays: int
) -> None:
    async def play() -> None:
        dead = DeadLetterWorld()
        for phase, own, was_moved, earlier in jobs:
            job = replace(dead.jobs(phase, sends=5), due_at=None)
            await dead.have(job)
            for _ in range(own):
                dead.queue.letters.put(dead_letter(job, fifo=False))
            if was_moved:
                dead.queue.letters.put(encode(job, fifo=False), source="jobs")
            if earlier:
                dead.queue.letters.put(dead_letter(replace(job, sends=2), fifo=False))
        for _ in range(foreign):
            dead.queue.letters.put(FOREIGN)
        before = dead.failed
        sweepers = [dead.make_sweeper() for _ in range(relays)]
        dead.clock.move(600)
        for _ in range(4):
            for sweeper in sweepers:
                sweeper.ask("jobs")
            while any(await asyncio.gather(*(sweeper.turn() for sweeper in sweepers))):
                pass
            await dead.relay.pay_dues()
        assert dead.failed == before
        assert dead.letters == sorted([*before, *["no json"] * foreign])

    asyncio.run(play())
