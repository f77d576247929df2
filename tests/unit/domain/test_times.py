from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from jobqueue_core.domain.times import later, rfc3339, seconds_until, to_milliseconds

NOW = datetime(2026, 1, 31, 9, 30, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(("microsecond", "cut"), [(0, 0), (999, 0), (1000, 1000), (250_999, 250_000)])
def test_times_are_cut_to_milliseconds_never_rounded(microsecond: int, cut: int) -> None:
    assert to_milliseconds(NOW.replace(microsecond=microsecond)) == NOW.replace(microsecond=cut)


def test_times_are_moved_to_utc() -> None:
    there = datetime(2026, 1, 31, 11, 30, tzinfo=timezone(timedelta(hours=2)))
    assert to_milliseconds(there).isoformat() == "2026-01-31T09:30:00+00:00"


def test_later_is_in_whole_milliseconds() -> None:
    assert later(NOW, 1.0005) == NOW + timedelta(seconds=1)
    assert later(NOW, -0.25) == NOW - timedelta(milliseconds=250)


@pytest.mark.parametrize(("offset", "seconds"), [(1.5, 1.5), (0, 0), (-1, 0)])
def test_seconds_until_a_moment_are_never_negative(offset: float, seconds: float) -> None:
    assert seconds_until(NOW + timedelta(seconds=offset), NOW) == seconds


def test_times_are_told_as_rfc_3339_with_milliseconds() -> None:
    assert rfc3339(NOW) == "2026-01-31T09:30:00.250Z"
    assert rfc3339(NOW.replace(microsecond=0).astimezone(timezone(timedelta(hours=-3)))) == (
        "2026-01-31T09:30:00.000Z"
    )
