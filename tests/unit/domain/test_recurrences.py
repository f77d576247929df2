"""Which due times of a schedule become jobs, whatever the relays and the clocks do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue_core.domain.ids import is_job_id, lowest_id_at, made_at
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.recurrence import (
    CATCH_UP_AT_ONCE,
    CATCH_UP_DAYS,
    GRACE_SECONDS,
    Missed,
    ScheduleState,
    following,
    recurring_job,
    resume,
    take_turn,
)
from jobqueue_core.domain.transitions import Retention, cancel
from jobqueue_testsupport.factories import RULES
from jobqueue_testsupport.recurring_world import schedule

if TYPE_CHECKING:
    from jobqueue_core.domain.recurrence import Recurrence

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def state(recurrence: Recurrence, handled_until: datetime = NOON) -> ScheduleState:
    return ScheduleState(key=recurrence.key, times=recurrence.times, handled_until=handled_until, version=4)


def due(recurrence: Recurrence, now: datetime, handled_until: datetime = NOON) -> list[datetime]:
    return list(take_turn(recurrence, state(recurrence, handled_until), now).due)


# In time


@pytest.mark.parametrize("missed", Missed)
def test_before_its_time_nothing_is_due_and_nothing_changes(missed: Missed) -> None:
    hourly = schedule(missed=missed)
    turn = take_turn(hourly, state(hourly), NOON + HOUR - timedelta(microseconds=1))
    assert (turn.due, turn.state, turn.missed, turn.more) == ((), state(hourly), False, False)


@pytest.mark.parametrize("missed", Missed)
@pytest.mark.parametrize("late", [0, 1, GRACE_SECONDS])
def test_in_time_it_is_due_once_whatever_the_policy(missed: Missed, late: float) -> None:
    hourly = schedule(missed=missed)
    now = NOON + HOUR + timedelta(seconds=late)
    turn = take_turn(hourly, state(hourly), now)
    assert (turn.due, turn.missed, turn.more) == ((NOON + HOUR,), False, False)
    assert turn.state == replace(state(hourly), handled_until=NOON + HOUR, last_run=NOON + HOUR)
    assert take_turn(hourly, turn.state, now).due == ()


@pytest.mark.parametrize("missed", Missed)
def test_a_schedule_of_every_minute_loses_none_to_a_turn_that_is_a_minute_late(missed: Missed) -> None:
    minutely = schedule("* * * * *", missed=missed)
    assert due(minutely, NOON + 2 * MINUTE) == [NOON + MINUTE, NOON + 2 * MINUTE]


# Missed


def test_what_was_missed_is_passed_over_with_skip() -> None:
    hourly = schedule(missed=Missed.SKIP)
    turn = take_turn(hourly, state(hourly), NOON + 5 * HOUR + 61 * SECOND)
    assert (turn.due, turn.missed, turn.state.last_run) == ((), True, None)
    assert turn.state.handled_until == NOON + 5 * HOUR
    assert due(hourly, NOON + 6 * HOUR, turn.state.handled_until) == [NOON + 6 * HOUR]


def test_what_is_in_time_runs_beside_what_was_missed_with_skip() -> None:
    turn = take_turn(schedule(missed=Missed.SKIP), state(schedule()), NOON + 5 * HOUR + SECOND)
    assert (turn.due, turn.missed) == ((NOON + 5 * HOUR,), True)


def test_the_newest_of_what_was_missed_runs_with_latest() -> None:
    hourly = schedule()
    turn = take_turn(hourly, state(hourly), NOON + 5 * HOUR + 30 * MINUTE)
    assert (turn.due, turn.missed) == ((NOON + 5 * HOUR,), True)
    assert turn.state.handled_until == turn.state.last_run == NOON + 5 * HOUR


def test_a_single_one_that_was_missed_is_not_told_as_lost_with_latest() -> None:
    assert not take_turn(schedule(), state(schedule()), NOON + HOUR + 30 * MINUTE).missed


def test_the_newest_is_made_up_for_however_long_ago_with_latest() -> None:
    yearly = schedule("0 0 1 7 *")
    assert due(yearly, NOON + timedelta(days=365)) == [datetime(2026, 7, 1, tzinfo=UTC)]


def test_each_that_was_missed_runs_with_all_in_portions_the_oldest_first() -> None:
    minutely = schedule("* * * * *", missed=Missed.ALL)
    now, at, turns = NOON + 250 * MINUTE, state(minutely), 0
    found: list[datetime] = []
    while True:
        turn = take_turn(minutely, at, now)
        assert len(turn.due) <= CATCH_UP_AT_ONCE
        assert not turn.missed
        found += turn.due
        at, turns = turn.state, turns + 1
        if not turn.more:
            break
    assert found == [NOON + minute * MINUTE for minute in range(1, 251)]
    assert (turns, at.handled_until) == (3, now)


def test_all_reaches_back_only_so_far_and_says_so() -> None:
    daily = schedule("0 0 * * *", missed=Missed.ALL)
    now = NOON + timedelta(days=100)
    turn = take_turn(daily, state(daily), now)
    assert turn.missed
    assert (len(turn.due), turn.due[0]) == (
        CATCH_UP_DAYS,
        datetime(2026, 1, 2, tzinfo=UTC) + timedelta(days=100 - CATCH_UP_DAYS),
    )


def test_all_makes_up_for_no_less_than_latest() -> None:
    yearly = schedule("0 0 1 7 *", missed=Missed.ALL)
    assert due(yearly, NOON + timedelta(days=365)) == [datetime(2026, 7, 1, tzinfo=UTC)]


# Suspended, changed, new


def test_due_times_pass_while_suspended_and_are_not_made_up_for() -> None:
    suspended = schedule(missed=Missed.ALL, suspended=True)
    turn = take_turn(suspended, state(suspended), NOON + 3 * HOUR)
    assert (turn.due, turn.missed, turn.state.handled_until) == ((), False, NOON + 3 * HOUR)
    resumed = replace(suspended, suspended=False)
    again = resume(resumed, turn.state, since=NOON + 4 * HOUR + SECOND)
    assert due(resumed, NOON + 5 * HOUR, again.handled_until) == [NOON + 5 * HOUR]


def test_a_new_schedule_makes_up_for_nothing() -> None:
    found = resume(schedule(missed=Missed.ALL), None, since=NOON)
    assert (found.handled_until, found.version, found.last_run) == (NOON, 0, None)
    assert due(schedule(missed=Missed.ALL), NOON + SECOND, found.handled_until) == []


@pytest.mark.parametrize(
    "changed", [{"cron": "30 * * * *"}, {"time_zone": "Asia/Kathmandu"}, {"suspended": True}]
)
def test_changed_times_start_from_where_this_relay_has_come(changed: dict[str, Any]) -> None:
    before = replace(state(schedule(), NOON - timedelta(days=9)), last_run=NOON - HOUR)
    found = resume(schedule(**changed), before, since=NOON)
    assert (found.handled_until, found.last_run, found.version) == (NOON, NOON - HOUR, 4)
    assert found.times == schedule(**changed).times
    assert following(found).version == 5


def test_a_change_of_anything_else_goes_on() -> None:
    before = state(schedule(), NOON - timedelta(days=9))
    changed = schedule(missed=Missed.ALL, payload={"a": 1}, labels={"b": "c"}, max_attempts=1)
    assert resume(changed, before, since=NOON) == before


# Clocks


@pytest.mark.parametrize("missed", Missed)
def test_a_clock_that_goes_back_makes_nothing_due_again(missed: Missed) -> None:
    hourly = schedule(missed=missed)
    after = take_turn(hourly, state(hourly), NOON + 3 * HOUR).state
    for hours in (-1, 0, 1, 2, 3):
        assert take_turn(hourly, after, NOON + hours * HOUR) == take_turn(hourly, after, NOON)
    assert due(hourly, NOON + 4 * HOUR, after.handled_until) == [NOON + 4 * HOUR]


@given(st.lists(st.integers(-90, 300), max_size=30), st.sampled_from(Missed))
def test_however_the_clock_jumps_no_due_time_comes_twice_and_all_leaves_none_out(
    steps: list[int], missed: Missed
) -> None:
    minutely = schedule("*/2 * * * *", missed=missed)
    at, now = state(minutely), NOON
    found: list[datetime] = []
    for step in steps:
        now += timedelta(seconds=step)
        more = True
        while more:
            turn = take_turn(minutely, at, now)
            found += turn.due
            at, more = turn.state, turn.more
    assert found == sorted(set(found))
    if missed is Missed.ALL:
        assert found == list(minutely.between(NOON, at.handled_until))


def test_due_times_follow_the_clocks_of_the_zone() -> None:
    night = schedule("30 2 * * *", missed=Missed.ALL, time_zone="Europe/Berlin")
    spring, autumn = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert [each.isoformat() for each in due(night, spring + timedelta(days=2), spring)] == [
        "2026-03-29T01:00:00+00:00",
        "2026-03-30T00:30:00+00:00",
    ]
    assert [each.isoformat() for each in due(night, autumn + timedelta(days=2), autumn)] == [
        "2026-10-25T00:30:00+00:00",
        "2026-10-26T01:30:00+00:00",
    ]


# The job


def test_the_job_of_a_due_time_is_the_same_whoever_makes_it() -> None:
    first = recurring_job(schedule(), NOON, token="a", rules=RULES, now=NOON + SECOND)
    second = recurring_job(schedule(payload={"x": 1}), NOON, token="b", rules=RULES, now=NOON + HOUR)
    assert first.id == second.id
    assert is_job_id(first.id)
    assert made_at(first.id) == NOON
    assert lowest_id_at(NOON) <= first.id < lowest_id_at(NOON + timedelta(milliseconds=1))


def test_other_due_times_names_and_queues_are_other_jobs() -> None:
    made = [
        recurring_job(each, at, token="t", rules=RULES, now=NOON + HOUR).id
        for each in (schedule(), schedule(name="other"), schedule(queue="other"))
        for at in (NOON, NOON + MINUTE)
    ]
    assert len(set(made)) == len(made)


def test_the_job_carries_what_the_schedule_says_and_is_owed_to_the_queue_at_once() -> None:
    full = schedule(
        payload={"a": [1]}, max_attempts=7, timeout_seconds=9.5, ordering_key="k", labels={"team": "x"}
    )
    now = NOON + 5 * SECOND
    job = recurring_job(full, NOON, token="t", rules=RULES, now=now)
    assert (job.queue, job.payload, job.max_attempts, job.timeout_seconds) == ("jobs", {"a": [1]}, 7, 9.5)
    assert (job.ordering_key, job.labels) == ("k", {"team": "x", "schedule": "report"})
    assert (job.phase, job.created_at, job.run_at) == (Phase.SCHEDULED, NOON, NOON)
    assert (job.due_at, job.updated_at, job.lease.token) == (NOON, now, "t")
    plain = recurring_job(schedule(), NOON, token="t", rules=RULES, now=now)
    assert (plain.max_attempts, plain.timeout_seconds, plain.labels) == (
        RULES.retry.max_attempts,
        None,
        {"schedule": "report"},
    )


def test_the_job_is_kept_long_enough_to_be_found_by_a_relay_that_comes_late() -> None:
    rules = replace(RULES, retention=Retention(1, 1, 1), idempotency_seconds=7200)
    job = recurring_job(schedule(), NOON, token="t", rules=rules, now=NOON)
    ended = cancel(job, rules=rules, token="c", now=NOON + MINUTE).after
    assert ended.expire_at == NOON + 2 * HOUR
