"""Each due time of a schedule is one job, however many relays there are and wherever one of them dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.message import decode
from jobqueue_core.domain.recurrence import Missed, following
from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import START, settle
from jobqueue_testsupport.recurring_world import RecurringWorld, schedule, turns

if TYPE_CHECKING:
    from jobqueue_core.domain.recurrence import Recurrence

HOUR, DAY = 3600, 86_400
KEY = "jobs/report"


def by_queue(*schedules: Recurrence) -> dict[str, tuple[Recurrence, ...]]:
    return {each.queue: (each,) for each in schedules}


async def test_a_schedule_waits_for_its_time_and_is_sent_by_the_relay_at_once() -> None:
    world = RecurringWorld(schedule(payload={"n": 7}, missed=Missed.ALL))
    relay = asyncio.create_task(world.relay(world.chore()).run())
    await world.clock.advance(HOUR - 2)
    assert world.store.jobs == {}
    assert world.states.states[KEY].handled_until == START
    await world.clock.advance(4)
    relay.cancel()
    (job,) = world.store.jobs.values()
    assert [decode(message.body) for message in world.queue.sent] == [job.id]
    assert (job.phase, job.payload, job.run_at) == (Phase.QUEUED, {"n": 7}, later(START, HOUR))
    assert job.sent_at is not None
    assert (job.sent_at - job.run_at).total_seconds() <= 1.2
    assert (world.runs, world.resent) == ({"jobs": 1}, {})


async def test_of_five_relays_at_a_due_time_one_makes_the_job() -> None:
    world = RecurringWorld(schedule(), schedule(queue="orders", name="x", cron="30 * * * *"))
    chores = [world.chore() for _ in range(5)]
    await turns(*chores)
    for _ in range(4):
        world.clock.move(HOUR / 2)
        await turns(*chores)
    assert Counter(job.queue for job in world.store.jobs.values()) == {"jobs": 2, "orders": 2}
    assert world.runs == {"jobs": 2, "orders": 2}
    relays = [world.relay(chore) for chore in chores]
    await asyncio.gather(*(relay.pay_dues() for relay in relays))
    assert (len(world.queue.sent), len(world.orders.sent)) == (2, 2)


@pytest.mark.parametrize("missed", Missed)
async def test_a_relay_that_dies_after_the_insert_leaves_one_job(missed: Missed) -> None:
    world = RecurringWorld(schedule(missed=missed))
    first, second = world.chore(), world.chore()
    await turns(first, second)
    world.clock.move(HOUR)
    world.store.dies = True
    with pytest.raises(asyncio.CancelledError):
        await first.turn()
    world.store.dies = False
    assert world.states.states[KEY].handled_until == START
    await turns(second)
    assert world.made == ["01 13:00"]
    assert world.states.states[KEY].handled_until == later(START, HOUR)


async def test_a_relay_that_dies_before_the_insert_leaves_it_to_another() -> None:
    world = RecurringWorld(schedule())
    first, second = world.chore(), world.chore()
    await turns(first, second)
    world.clock.move(HOUR)
    world.states.loaded.clear()
    turn = asyncio.create_task(first.turn())
    await world.states.loaded.wait()
    turn.cancel()
    assert isinstance((await asyncio.gather(turn, return_exceptions=True))[0], asyncio.CancelledError)
    assert world.store.jobs == {}
    await turns(second)
    assert world.made == ["01 13:00"]


async def test_all_relays_away_between_first_sight_and_due_time_is_a_miss_for_a_new_one() -> None:
    world = RecurringWorld(schedule(missed=Missed.ALL))
    await turns(world.chore())
    world.clock.move(3 * HOUR + 120)
    with capture_logs() as logs:
        await turns(world.chore())
    assert world.made == ["01 13:00", "01 14:00", "01 15:00"]
    assert logs == []


async def test_what_was_missed_is_told() -> None:
    world = RecurringWorld(schedule())
    await turns(world.chore())
    world.clock.move(3 * HOUR + 120)
    with capture_logs() as logs:
        await turns(world.chore())
    assert world.made == ["01 15:00"]
    assert [(line["log_level"], line["queue"], line["schedule"], line["jobs"]) for line in logs] == [
        ("warning", "jobs", "report", 1)
    ]


async def test_a_state_that_somebody_else_has_advanced_is_left_alone() -> None:
    world = RecurringWorld(schedule())
    chore = world.chore()
    await turns(chore)
    before = world.states.states[KEY]
    world.clock.move(HOUR)
    world.store.inserted.clear()
    turn = asyncio.create_task(chore.turn())
    await world.store.inserted.wait()
    theirs = following(replace(before, handled_until=later(START, HOUR), last_run=later(START, HOUR)))
    world.states.states[KEY] = theirs
    await turn
    assert world.states.states[KEY] == theirs
    await turns(chore)
    assert (world.states.states[KEY], world.made) == (theirs, ["01 13:00"])
    world.clock.move(HOUR)
    await turns(chore)
    assert world.made == ["01 13:00", "01 14:00"]


async def test_a_due_time_whose_job_is_done_already_does_not_run_again() -> None:
    world = RecurringWorld(schedule())
    first = world.chore()
    await turns(first)
    world.clock.move(HOUR)
    world.store.dies = True
    with pytest.raises(asyncio.CancelledError):
        await first.turn()
    world.store.dies = False
    ((job_id, job),) = world.store.jobs.items()
    done = world.store.jobs[job_id] = replace(job, phase=Phase.SUCCEEDED, due_at=None)
    await turns(world.chore())
    assert world.store.jobs == {job_id: done}
    assert world.runs == {}


@pytest.mark.parametrize("what", ["states", "jobs"])
async def test_an_outage_of_the_store_is_waited_out(what: str) -> None:
    world = RecurringWorld(schedule(missed=Missed.ALL))
    chore = world.chore()
    await turns(chore)
    away = world.states if what == "states" else world.store
    world.clock.move(HOUR)
    away.available = False
    with pytest.raises(StoreUnavailableError):
        await chore.turn()
    world.clock.move(2 * HOUR)
    away.available = True
    await turns(chore)
    assert world.made == ["01 13:00", "01 14:00", "01 15:00"]


async def test_a_relay_goes_on_after_an_outage() -> None:
    world = RecurringWorld(schedule())
    relay = asyncio.create_task(world.relay(world.chore()).run())
    await settle()
    world.states.available = False
    await world.clock.advance(HOUR + 30)
    world.states.available = True
    await world.clock.advance(2)
    relay.cancel()
    assert (world.made, len(world.queue.sent)) == (["01 13:00"], 1)


async def test_nothing_is_asked_of_the_store_until_a_time_comes() -> None:
    world = RecurringWorld()
    chore = world.chore()
    for _ in range(10):
        assert not await chore.turn()
        world.clock.move(1)
    assert world.states.calls == 0
    world.set(*(schedule("0 0 * * *", name=f"s{number}") for number in range(90)))
    await turns(chore)
    asked = world.states.calls
    assert asked == 91
    for _ in range(1000):
        assert not await chore.turn()
        world.clock.move(1)
    assert (world.states.calls, world.store.inserts) == (asked, 0)


async def test_an_idle_turn_with_many_schedules_is_cheap() -> None:
    world = RecurringWorld(*(schedule("0 0 1 1 *", name=f"s{number}") for number in range(250)))
    chore = world.chore()
    await turns(chore)
    assert len(world.states.states) == 250
    assert not await chore.turn()


async def test_schedules_come_change_and_go_while_the_relay_runs() -> None:
    world = RecurringWorld()
    chore = world.chore()
    await turns(chore)
    world.set(schedule("0 * * * *"))
    await turns(chore)
    world.clock.move(HOUR)
    await turns(chore)
    world.set(schedule("30 * * * *", missed=Missed.ALL, payload={"v": 2}))
    await turns(chore)
    world.clock.move(HOUR)
    await turns(chore)
    world.set()
    world.clock.move(10 * HOUR)
    await turns(chore)
    assert world.made == ["01 13:00", "01 13:30"]
    assert [dict(job.payload) for _, job in sorted(world.store.jobs.items())] == [{}, {"v": 2}]


async def test_another_payload_changes_no_due_time() -> None:
    world = RecurringWorld(schedule())
    chore = world.chore()
    await turns(chore)
    world.clock.move(HOUR / 2)
    world.set(schedule(payload={"v": 2}))
    asked = world.states.calls
    await turns(chore)
    assert world.states.calls == asked
    world.clock.move(HOUR / 2)
    await turns(chore)
    (job,) = world.store.jobs.values()
    assert job.payload == {"v": 2}


async def test_old_and_new_settings_side_by_side_lose_no_due_time_of_either_and_make_none_twice() -> None:
    world = RecurringWorld()
    old, new = schedule("30 * * * *", missed=Missed.ALL), schedule("*/20 * * * *", missed=Missed.ALL)
    chores = [world.chore(by_queue(old)), world.chore(by_queue(new)), world.chore(by_queue(new))]
    await turns(*chores)
    made = []
    for _ in range(12):
        world.clock.move(600)
        await turns(*chores)
        # Even if the jobs were done and forgotten meanwhile.
        made += world.made
        world.store.jobs.clear()
    assert [time[3:] for time in made] == [
        "12:20",
        "12:30",
        "12:40",
        "13:00",
        "13:20",
        "13:30",
        "13:40",
        "14:00",
    ]


async def test_suspended_passes_and_resumed_goes_on() -> None:
    world = RecurringWorld(schedule(missed=Missed.ALL))
    chore = world.chore()
    await turns(chore)
    world.set(schedule(missed=Missed.ALL, suspended=True))
    for _ in range(3):
        await turns(chore)
        world.clock.move(HOUR)
    await turns(chore)
    world.set(schedule(missed=Missed.ALL))
    await turns(chore)
    world.clock.move(HOUR)
    await turns(chore)
    assert world.made == ["01 16:00"]


async def test_much_to_make_up_for_goes_in_portions_and_lets_others_have_their_turn() -> None:
    minutely = [schedule("* * * * *", name=name, missed=Missed.ALL) for name in ("a", "b")]
    world = RecurringWorld(*minutely, schedule("0 0 * * *", name="c"))
    await turns(world.chore())
    world.clock.move(DAY)
    chore = world.chore()
    made = []
    for _ in range(2):
        assert await chore.turn()
        made.append(Counter(job.labels["schedule"] for job in world.store.jobs.values()))
    assert made == [{"a": 100, "b": 100}, {"a": 200, "b": 200, "c": 1}]
    await turns(chore)
    assert world.runs == {"jobs": 2 * 1440 + 1}


async def test_what_is_made_up_for_is_sent_in_the_order_of_its_due_times() -> None:
    world = RecurringWorld(schedule("* * * * *", queue="orders", missed=Missed.ALL, ordering_key="k"))
    chore = world.chore()
    await turns(chore)
    world.clock.move(HOUR)
    await turns(chore)
    await world.relay(chore).pay_dues()
    sent = [decode(message.body) for message in world.orders.sent]
    assert len(sent) == 60
    assert sent == sorted(sent)


async def test_a_leap_day_is_waited_for() -> None:
    world = RecurringWorld(schedule("0 0 29 2 *"))
    chore = world.chore()
    await turns(chore)
    world.clock.move(3 * 365 * DAY)
    await turns(chore)
    assert world.made == ["29 00:00"]


async def test_a_wrong_clock_of_one_relay_makes_no_job_twice() -> None:
    world = RecurringWorld(schedule())
    chore = world.chore()
    await turns(chore)
    for seconds in (HOUR, -HOUR, HOUR, HOUR, -2 * HOUR, 3 * HOUR):
        world.clock.move(seconds)
        await turns(chore, world.chore())
    assert world.made == ["01 13:00", "01 14:00", "01 15:00"]
