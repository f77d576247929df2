"""How many messages a worker asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue_worker.intake import messages_ahead, most_held_for_receive, receive_size


@pytest.mark.parametrize(
    ("concurrency", "service_seconds", "ahead"),
    [
        (10, None, 0),
        (10, 30.0, 0),
        (10, 1.0, 1),
        (10, 0.1, 10),
        (50, 0.1, 50),
        (1, 0.0, 50),
        (1, 1.0, 0),
    ],
)
def test_only_quick_jobs_are_received_ahead(
    concurrency: int, service_seconds: float | None, ahead: int
) -> None:
    assert messages_ahead(concurrency, service_seconds) == ahead


@pytest.mark.parametrize(
    ("held", "concurrency", "ahead", "size"),
    [
        (0, 2, 0, 2),
        (1, 2, 0, 1),
        (2, 2, 0, 0),
        (0, 50, 10, 10),
        (50, 50, 10, 10),
        (51, 50, 10, 0),
        (60, 50, 10, 0),
        (60, 50, 20, 10),
        (61, 50, 20, 0),
        (0, 100, 0, 10),
    ],
)
def test_a_receive_asks_for_what_fits(held: int, concurrency: int, ahead: int, size: int) -> None:
    assert receive_size(held, concurrency, ahead) == size


@given(held=st.integers(0, 2000), concurrency=st.integers(1, 1000), ahead=st.integers(0, 50))
def test_it_never_holds_more_than_slots_and_what_is_ahead(held: int, concurrency: int, ahead: int) -> None:
    size = receive_size(held, concurrency, ahead)
    assert 0 <= size <= 10
    assert size == 0 or held + size <= concurrency + ahead
    assert (size > 0) == (held <= most_held_for_receive(concurrency, ahead))
