from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from jobqueue_operator.resource.cron import GRAMMAR, Cron, runs_forwards
from jobqueue_operator.scaling import InvalidScalingSpecError, Schedule, schedule_floor

BERLIN = ZoneInfo("Europe/Berlin")
NEW_YORK = ZoneInfo("America/New_York")
HOUR = 3600
MINUTE = timedelta(minutes=1)
cron_type: TypeAdapter[str] = TypeAdapter(Cron)


def schedule(cron: str, seconds: int = HOUR, replicas: int = 2, zone: tzinfo = UTC) -> Schedule:
    return Schedule(cron=cron, zone=zone, duration_seconds=seconds, min_replicas=replicas)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("now", "floor"),
    [
        ("2026-03-02T07:59:59.999999Z", 0),
        ("2026-03-02T08:00:00Z", 2),
        ("2026-03-02T17:59:59.999999Z", 2),
        ("2026-03-02T18:00:00Z", 0),
        ("2026-03-07T12:00:00Z", 0),  # a Saturday
    ],
)
def test_a_schedule_is_in_force_from_its_beginning_until_before_its_end(now: str, floor: int) -> None:
    assert schedule_floor([schedule("0 8 * * 1-5", 10 * HOUR)], at(now)) == floor


def test_the_clock_is_that_of_the_zone() -> None:
    morning = schedule("0 8 * * *", zone=BERLIN)

    assert morning.in_force(at("2026-01-15T07:00:00Z"))
    assert not morning.in_force(at("2026-01-15T08:00:00Z"))
    assert morning.in_force(at("2026-07-15T06:00:00Z"))
    assert morning.in_force(at("2026-07-15T02:00:00-04:00"))


def test_of_those_that_overlap_the_highest_counts() -> None:
    both = (schedule("0 8 * * *", 4 * HOUR, 2), schedule("0 9 * * *", HOUR, 7))

    floors = [schedule_floor(both, at(f"2026-03-02T{hour:02}:30:00Z")) for hour in range(7, 13)]

    assert floors == [0, 2, 7, 2, 2, 0]


def test_without_schedules_there_is_no_floor() -> None:
    assert schedule_floor((), at("2026-03-02T08:00:00Z")) == 0


@pytest.mark.parametrize("now", ["2026-03-02T00:00:00Z", "2026-03-05T13:17:01Z", "2026-03-08T23:59:59Z"])
def test_one_that_lasts_longer_than_its_period_never_ends(now: str) -> None:
    assert schedule_floor([schedule("0 8 * * *", 36 * HOUR, 3)], at(now)) == 3


def test_one_that_lasts_over_days_is_still_seen_at_its_end() -> None:
    week = schedule("0 0 1 * *", 7 * 24 * HOUR)

    assert week.in_force(at("2026-03-07T23:59:59Z"))
    assert not week.in_force(at("2026-03-08T00:00:00Z"))


def test_a_time_that_the_clocks_skip_begins_after_the_gap() -> None:
    # On 29 March the clocks of Berlin go from 02:00 to 03:00.
    night = schedule("30 2 * * *", 600, zone=BERLIN)

    assert not night.in_force(at("2026-03-29T02:59:59+02:00"))
    assert not night.in_force(at("2026-03-29T01:59:59+01:00"))
    assert night.in_force(at("2026-03-29T03:00:00+02:00"))
    assert not night.in_force(at("2026-03-29T03:10:00+02:00"))
    assert not night.in_force(at("2026-03-29T03:30:00+02:00"))
    assert night.in_force(at("2026-03-30T02:30:00+02:00"))


def test_a_time_that_occurs_twice_begins_once() -> None:
    # On 25 October the clocks of Berlin go from 03:00 back to 02:00.
    night = schedule("30 2 * * *", 600, zone=BERLIN)

    assert night.in_force(at("2026-10-25T02:30:00+02:00"))
    assert not night.in_force(at("2026-10-25T02:30:00+01:00"))


def test_a_rhythm_goes_on_through_a_time_that_occurs_twice() -> None:
    rhythm = schedule("*/30 * * * *", 60, zone=BERLIN)

    for beginning in ("02:30:00+02:00", "02:00:00+01:00", "02:30:00+01:00", "03:00:00+01:00"):
        assert rhythm.in_force(at(f"2026-10-25T{beginning}"))
        assert not rhythm.in_force(at(f"2026-10-25T{beginning}") + MINUTE)


@pytest.mark.parametrize(
    ("day", "cron", "begins", "ends"),
    [
        ("shorter by an hour", "0 0 * * *", "2026-03-29T00:00:00+01:00", "2026-03-29T09:00:00+02:00"),
        ("longer by an hour", "0 0 * * *", "2026-10-25T00:00:00+02:00", "2026-10-25T07:00:00+01:00"),
    ],
)
def test_durations_are_elapsed_time(day: str, cron: str, begins: str, ends: str) -> None:
    del day
    eight_hours = schedule(cron, 8 * HOUR, zone=BERLIN)

    assert eight_hours.in_force(at(begins))
    assert eight_hours.in_force(at(ends) - timedelta(seconds=1))
    assert not eight_hours.in_force(at(ends))


FIELDS = st.tuples(
    st.sampled_from(["0", "30", "59", "*", "*/20", "15,45"]),
    st.sampled_from(["0", "2", "1-3", "*", "*/2", "23"]),
    st.sampled_from(["*", "1", "29", "L", "*/7"]),
    st.sampled_from(["*", "3", "oct,nov"]),
    st.sampled_from(["*", "sun", "1-5", "sun#1", "0L"]),
)
# Changes of the clocks in 2026, an hour before and after midnight UTC among them, and a quiet day.
MOMENTS = st.sampled_from(
    [
        (BERLIN, at("2026-03-29T01:00:00Z")),
        (BERLIN, at("2026-10-25T01:00:00Z")),
        (NEW_YORK, at("2026-03-08T07:00:00Z")),
        (NEW_YORK, at("2026-11-01T06:00:00Z")),
        (ZoneInfo("Africa/Cairo"), at("2026-04-23T22:00:00Z")),
        (ZoneInfo("Asia/Kathmandu"), at("2026-10-29T12:00:00Z")),
        (UTC, at("2026-03-01T00:00:00Z")),
    ]
)


def begins_at(cron: str, zone: tzinfo, moment: datetime) -> bool:
    """Whether an expression fires at a minute, by looking at the clocks of that minute."""
    fields = CronSim(cron, at("2026-01-01T00:00:00"))
    rhythm = any(field.startswith("*") for field in cron.split()[:2])

    def fits(clock: datetime) -> bool:
        time_fits = clock.minute in fields.minutes and clock.hour in fields.hours
        return time_fits and clock.month in fields.months and fields.match_day(clock.date())

    local = moment.astimezone(zone)
    if fits(local):
        return rhythm or local.fold == 0
    if rhythm:
        return False
    skipped = (moment - MINUTE).astimezone(zone).replace(tzinfo=None) + MINUTE
    while skipped < local.replace(tzinfo=None):
        if fits(skipped):
            return True
        skipped += MINUTE
    return False


@given(FIELDS, MOMENTS, st.integers(-180, 180), st.integers(1, 120), st.integers(0, 59))
def test_it_is_in_force_when_and_only_when_it_began_within_its_duration(
    fields: tuple[str, ...], place: tuple[tzinfo, datetime], offset: int, minutes: int, seconds: int
) -> None:
    zone, moment = place
    now = moment + offset * MINUTE + timedelta(seconds=seconds)
    cron = " ".join(fields)
    full = now.replace(second=0)
    began = any(begins_at(cron, zone, full - ago * MINUTE) for ago in range(minutes))

    assert schedule(cron, minutes * 60, zone=zone).in_force(now) is began


def problems_of(cron: str) -> tuple[str, ...]:
    try:
        schedule(cron)
    except InvalidScalingSpecError as error:
        return error.problems
    return ()


@given(st.from_regex(re.compile(GRAMMAR), fullmatch=True).filter(lambda cron: len(cron) <= 100))
def test_what_the_grammar_takes_is_read(cron: str) -> None:
    if not runs_forwards(cron):
        with pytest.raises(ValidationError, match="must not run backwards"):
            cron_type.validate_python(cron)
        return
    assert cron_type.validate_python(cron) == cron
    # The one thing that the grammar does not know: how many days a month has.
    assert all("a time that comes" in problem for problem in problems_of(cron))


@pytest.mark.parametrize(
    "cron",
    [
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * 32 * *",
        "* * * 13 *",
        "* * * 0 *",
        "* * * * 8",
        "* * * * *",
        "0 8 * * mon-fri",
        "*/0 * * * *",
        "5-1 * * * *",
        "* * * dec-jan *",
        "a * * * *",
        "* * * mon *",
        "* * * * jan",
        "1,, * * * *",
        "* * * * mon#6",
        "* * * * *, ",
        "30,5-10/2 0-23/3 LW jan-mar,12 7,sun#5,3L",
    ],
)
def test_rule_and_library_agree(cron: str) -> None:
    def taken() -> bool:
        try:
            cron_type.validate_python(cron)
        except ValidationError:
            return False
        return True

    assert taken() is (problems_of(cron) == ())


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        ("0 8 * *", "cron: must be a cron expression of five fields, is '0 8 * *'"),
        ("0 0 8 * * *", "cron: must be a cron expression of five fields, is '0 0 8 * * *'"),
        (
            "0 0 31 2 *",
            "cron: must be a cron expression of a time that comes (bad day-of-month), is '0 0 31 2 *'",
        ),
        ("0 0 */9 2 mon#5", "cron: must be a time that comes, is '0 0 */9 2 mon#5'"),
    ],
)
def test_an_expression_that_never_fires_is_refused(cron: str, problem: str) -> None:
    assert problems_of(cron) == (problem,)


def test_every_bad_number_is_named() -> None:
    with pytest.raises(InvalidScalingSpecError) as refused:
        schedule("* * * * *", 0, -1)

    assert refused.value.problems == (
        "durationSeconds: must be at least 1, is 0",
        "minReplicas: must be at least 0, is -1",
    )
