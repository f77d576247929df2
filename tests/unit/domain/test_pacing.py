from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue_core.domain.pacing import AHEAD_SECONDS, LATE_SECONDS, VALID_SECONDS, free_at, reserve

NOW = 1_000_000.0


def take_all(next_at: float, per_second: float, now: float) -> tuple[float, list[float]]:
    taken: list[float] = []
    while True:
        next_at, moments = reserve(next_at, wanted=1000, per_second=per_second, now=now)
        if not moments:
            return next_at, taken
        taken.extend(moments)


def test_a_fresh_time_line_gives_a_small_burst_and_then_the_rate() -> None:
    _, moments = take_all(0.0, 100, NOW)
    assert moments[0] == pytest.approx(NOW - LATE_SECONDS)
    assert moments[-1] == pytest.approx(NOW + AHEAD_SECONDS)
    assert len(moments) == 36
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert gaps == pytest.approx([0.01] * 35)


def test_a_low_rate_has_no_burst_at_all() -> None:
    next_at, moments = take_all(0.0, 1, NOW)
    assert moments == [NOW]
    assert next_at == NOW + 1
    assert take_all(next_at, 1, NOW + 0.7) == (next_at, [])
    assert free_at(next_at) == NOW + 0.75
    assert take_all(next_at, 1, NOW + 0.75)[1] == [NOW + 1]


def test_half_of_what_is_free_is_left_for_the_next_worker() -> None:
    next_at, first = reserve(NOW, wanted=1000, per_second=100, now=NOW)
    next_at, second = reserve(next_at, wanted=1000, per_second=100, now=NOW)
    assert (len(first), len(second)) == (13, 7)
    assert second[0] == pytest.approx(first[-1] + 0.01)


def test_nobody_gets_more_than_asked_for() -> None:
    assert len(reserve(NOW, wanted=2, per_second=1000, now=NOW)[1]) == 2
    assert reserve(NOW, wanted=0, per_second=1000, now=NOW) == (NOW, ())


def test_a_rate_that_nobody_used_is_not_saved_up() -> None:
    next_at, _ = take_all(0.0, 100, NOW)
    _, moments = take_all(next_at, 100, NOW + 3600)
    assert len(moments) == 36


@given(
    per_second=st.floats(0.1, 500),
    asks=st.lists(st.tuples(st.floats(0, 0.5), st.integers(1, 40), st.floats(0, 1)), max_size=60),
)
def test_no_span_of_time_has_more_calls_than_the_rate_and_the_burst(
    per_second: float, asks: list[tuple[float, int, float]]
) -> None:
    """Each moment is used as late as its worker may use it, at random, or not at all."""
    next_at, now, calls = 0.0, NOW, []
    for wait, wanted, late in asks:
        now += wait
        next_at, moments = reserve(next_at, wanted=wanted, per_second=per_second, now=now)
        for moment in moments:
            assert now - LATE_SECONDS <= moment <= now + AHEAD_SECONDS + 1e-6
            calls.append(max(moment, now) + late * VALID_SECONDS)
    calls.sort()
    for begin in range(len(calls)):
        for end in range(begin, len(calls)):
            span = calls[end] - calls[begin]
            assert end - begin + 1 <= per_second * (span + VALID_SECONDS + LATE_SECONDS) + 1 + 1e-3
