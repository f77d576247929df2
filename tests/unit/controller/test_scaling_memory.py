from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from jobqueue_operator.scaling import Memory

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=200), st.integers(0, 60))
def test_the_highest_is_that_of_the_window(wanted: list[int], window: int) -> None:
    memory = Memory()
    for second, replicas in enumerate(wanted):
        memory = memory.recommend(NOW + timedelta(seconds=second), replicas, window_seconds=window)

    assert memory.highest() == max(wanted[-max(1, window) :])


@given(st.lists(st.integers(0, 20), max_size=200))
def test_it_holds_no_more_than_there_are_numbers_of_replicas(wanted: list[int]) -> None:
    memory = Memory()
    for second, replicas in enumerate(wanted):
        memory = memory.recommend(NOW + timedelta(seconds=second), replicas, window_seconds=3600)

    assert len(memory.recommendations) <= len(set(wanted))


def test_agreement_is_measured_from_its_first_moment_and_ends_at_once() -> None:
    memory = Memory().see_empty(NOW, empty=True).see_empty(NOW + timedelta(seconds=30), empty=True)

    assert memory.empty_for(NOW + timedelta(seconds=40)) == 40
    assert memory.see_empty(NOW, empty=False).empty_for(NOW) is None
