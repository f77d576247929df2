"""When cron expressions fire; what the clocks' changes do to them is held against the operator's, too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue_core.domain.cron import cron_fault, fires_after, last_firing, time_zone

BERLIN = ZoneInfo("Europe/Berlin")
START = datetime(2026, 1, 1, tzinfo=UTC)


def firings(cron: str, zone: str, after: str, number: int) -> list[str]:
    """The next firings, each on the clocks of the zone."""
    found, moment = [], datetime.fromisoformat(after)
    for _ in range(number):
        fires = fires_after(cron, time_zone(zone), moment)
        assert fires is not None
        found.append(fires.astimezone(time_zone(zone)).isoformat(timespec="minutes"))
        moment = fires
    return found


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # A time that the clocks skip.
        (
            "30 2 * * *",
            "2026-03-28T12:00:00Z",
            ["2026-03-29T03:00+02:00", "2026-03-30T02:30+02:00"],
        ),
        # Two that they skip are one.
        ("10,50 2 * * *", "2026-03-28T12:00:00Z", ["2026-03-29T03:00+02:00", "2026-03-30T02:10+02:00"]),
        # A time that occurs twice.
        (
            "30 2 * * *",
            "2026-10-24T12:00:00Z",
            ["2026-10-25T02:30+02:00", "2026-10-26T02:30+01:00"],
        ),
        # A rhythm, through both.
        ("0 * * * *", "2026-03-29T00:30:00Z", ["2026-03-29T03:00+02:00", "2026-03-29T04:00+02:00"]),
        (
            "0 * * * *",
            "2026-10-24T23:30:00Z",
            ["2026-10-25T02:00+02:00", "2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"],
        ),
    ],
)
def test_changes_of_the_clocks(cron: str, after: str, expected: list[str]) -> None:
    assert firings(cron, "Europe/Berlin", after, len(expected)) == expected


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 0 31 * *", ["2026-01-31T00:00", "2026-03-31T00:00", "2026-05-31T00:00"]),
        ("0 0 30 * *", ["2026-01-30T00:00", "2026-03-30T00:00", "2026-04-30T00:00"]),
        ("0 0 L * *", ["2026-01-31T00:00", "2026-02-28T00:00", "2026-03-31T00:00"]),
        ("0 0 LW * *", ["2026-01-30T00:00", "2026-02-27T00:00", "2026-03-31T00:00"]),
        ("0 0 29 2 *", ["2028-02-29T00:00", "2032-02-29T00:00"]),
        ("0 0 1 1 *", ["2027-01-01T00:00", "2028-01-01T00:00"]),
        ("0 9 * * fri#2", ["2026-01-09T09:00", "2026-02-13T09:00"]),
    ],
)
def test_ends_of_months(cron: str, expected: list[str]) -> None:
    assert [text[:16] for text in firings(cron, "UTC", START.isoformat(), len(expected))] == expected


def test_a_firing_is_after_the_moment_and_never_at_it() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert fires_after("0 12 * * *", UTC, noon - timedelta(microseconds=1)) == noon
    assert fires_after("0 12 * * *", UTC, noon) == noon + timedelta(days=1)


CRONS = st.sampled_from(
    ["* * * * *", "*/7 2-3 * * *", "30 2 * * *", "0,30 2,3 * * sun", "15 0 1 * *", "0 0 L * *", "0 3 29 2 *"]
)
MOMENTS = st.integers(0, 400 * 86_400).map(lambda seconds: START + timedelta(seconds=seconds))


@given(CRONS, MOMENTS, st.integers(-3600, 4 * 86_400))
def test_the_last_firing_is_the_last_of_all(cron: str, after: datetime, seconds: int) -> None:
    until = after + timedelta(seconds=seconds)
    expected, each = None, fires_after(cron, BERLIN, after)
    while each is not None and each <= until:
        expected, each = each, fires_after(cron, BERLIN, each)
    assert last_firing(cron, BERLIN, after=after, until=until) == expected


def test_the_last_firing_of_many_years_is_found_without_going_through_them() -> None:
    until = START + timedelta(days=3650, seconds=30)
    assert last_firing("* * * * *", BERLIN, after=START, until=until) == until.replace(second=0)


@pytest.mark.parametrize(
    ("cron", "fault"),
    [
        ("0 3 * * *", None),
        ("0 3 * *", "five fields"),
        ("0 0 3 * * *", "five fields"),
        ("", "five fields"),
        ("61 3 * * *", "bad minute"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("0 0 */9 2 mon#5", "a time that comes"),
        ("@daily", "five fields"),
    ],
)
def test_an_expression_that_cannot_be_read_or_never_fires_has_a_fault(cron: str, fault: str | None) -> None:
    found = cron_fault(cron)
    assert (found is None) is (fault is None)
    assert fault is None or (found is not None and fault in found)


@pytest.mark.parametrize("name", ["Mars/Olympus", "Europe", "../etc/passwd", "", "/etc/localtime"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        time_zone(name)
