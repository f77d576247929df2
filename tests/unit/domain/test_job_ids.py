from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobqueue_core.domain.ids import JobIds, is_job_id, lowest_id_at, made_at
from jobqueue_core.domain.times import to_milliseconds

NOW = datetime(2026, 1, 31, 9, 30, 0, 250_000, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds


def ones(bits: int) -> int:
    return (1 << bits) - 1


def zeros(_: int) -> int:
    return 0


@pytest.mark.parametrize("random_bits", [zeros, ones])
def test_an_id_is_a_uuid_of_version_7(random_bits: object) -> None:
    parsed = uuid.UUID(JobIds(random_bits).new(NOW))  # type: ignore[arg-type] # a function of the list above
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == int(NOW.timestamp() * 1000)


def test_an_id_is_random_where_it_may_be() -> None:
    low, high = JobIds(zeros).new(NOW), JobIds(ones).new(NOW)
    assert low == "019c1363-4aba-7000-8000-000000000000"
    assert high == "019c1363-4aba-77ff-bfff-ffffffffffff"


def test_ids_of_one_millisecond_rise() -> None:
    ids = JobIds()
    made = [ids.new(NOW) for _ in range(3000)]
    assert made == sorted(set(made))


def test_a_burst_beyond_the_counter_goes_on_in_the_next_millisecond() -> None:
    ids = JobIds(ones)
    made = [ids.new(NOW) for _ in range(5000)]
    assert made == sorted(set(made))
    assert made_at(made[-1]) == NOW + timedelta(milliseconds=1)


def test_a_clock_that_goes_back_does_not_take_the_ids_along() -> None:
    ids = JobIds()
    made = [
        ids.new(NOW),
        ids.new(NOW - timedelta(hours=1)),
        ids.new(NOW),
        ids.new(NOW + timedelta(seconds=1)),
    ]
    assert made == sorted(set(made))
    assert made_at(made[1]) == NOW


@given(st.lists(MOMENTS, min_size=2, max_size=20))
def test_ids_rise_whatever_the_clock_does(moments: list[datetime]) -> None:
    ids = JobIds()
    made = [ids.new(moment) for moment in moments]
    assert made == sorted(set(made))
    assert all(is_job_id(job_id) for job_id in made)


@given(MOMENTS)
def test_an_id_tells_when_it_was_made(moment: datetime) -> None:
    assert made_at(JobIds().new(moment)) == to_milliseconds(moment)


@given(MOMENTS)
@example(datetime(2107, 1, 1, 0, 0, 0, 4000, tzinfo=UTC))
def test_the_lowest_id_of_a_moment_parts_earlier_ids_from_later_ones(moment: datetime) -> None:
    moment = to_milliseconds(moment)
    border = lowest_id_at(moment)
    assert JobIds(ones).new(moment - timedelta(milliseconds=1)) < border <= JobIds(zeros).new(moment)
    assert is_job_id(border)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "019C1363-4ABA-7000-8000-000000000000",
        "019c1363-4aba-4000-8000-000000000000",
        "019c1363-4aba-7000-c000-000000000000",
        "019c13634aba70008000000000000000",
        "019c1363-4aba-7000-8000-000000000000\n",
        " 019c1363-4aba-7000-8000-000000000000",
        "\u066019c1363-357a-7000-8000-000000000000",
    ],
)
def test_what_is_no_job_id(text: str) -> None:
    assert not is_job_id(text)
