from __future__ import annotations

import pytest

from jobqueue_operator.observing.failure_meter import FailureMeter


def fed(
    *readings: tuple[float, int, int], max_attempts: int = 1_000, meter: FailureMeter | None = None
) -> FailureMeter:
    """Read (seconds, attempts, retries), both since the beginning."""
    meter = meter or FailureMeter()
    for at, attempts, retries in readings:
        meter = meter.read(at, attempts=attempts, retries=retries, max_attempts=max_attempts)
    return meter


OUTAGE = fed((0, 0, 0), (5, 20, 20))


@pytest.mark.parametrize(
    ("readings", "failing"),
    [
        ([(0, 0, 0)], False),
        ([(0, 5_000, 5_000)], False),
        ([(0, 100, 0), (5, 110, 10)], True),
        ([(0, 100, 0), (5, 109, 9)], False),
        ([(0, 0, 0), (5, 100, 80)], True),
        ([(0, 0, 0), (5, 100, 79)], False),
        ([(0, 0, 0), (5, 4, 4), (10, 8, 8), (15, 12, 12)], True),
        ([(0, 0, 0), (25, 5, 5), (50, 9, 9), (75, 14, 14)], False),
        ([(0, 0, 0), (5, 1_000, 0), (10, 1_020, 20)], False),
        ([(0, 0, 0), (5, 1_000, 0), (30, 1_000, 0), (36, 1_020, 20)], True),
        ([(0, 0, 0), (0, 0, 0)], False),
    ],
    ids=[
        "one reading says nothing",
        "what was before the first reading says nothing",
        "ten fail",
        "nine are too few",
        "four of five",
        "fewer",
        "few at a time",
        "few in every window",
        "many went well just now",
        "many went well before the window",
        "nothing was tried",
    ],
)
def test_when_a_service_is_taken_to_fail(readings: list[tuple[float, int, int]], failing: bool) -> None:  # noqa: FBT001
    assert fed(*readings).failing is failing


@pytest.mark.parametrize(
    ("readings", "failing"),
    [
        ([(10, 20, 20)], True),
        ([(64, 20, 20)], True),
        ([(65, 20, 20)], False),
        ([(40, 21, 21)], True),
        ([(40, 22, 21)], False),
        ([(10, 40, 21)], False),
        ([(50, 21, 21), (100, 22, 22)], True),
    ],
    ids=[
        "it is still in the window",
        "nothing tried for a while",
        "nothing tried for a minute",
        "a single one failed again",
        "one of two went well",
        "the window got better",
        "one in each window fails",
    ],
)
def test_when_it_is_taken_to_work_again(readings: list[tuple[float, int, int]], failing: bool) -> None:  # noqa: FBT001
    assert OUTAGE.failing
    assert fed(*readings, meter=OUTAGE).failing is failing


@pytest.mark.parametrize(
    ("max_attempts", "retries", "failing"),
    [(3, 66, True), (3, 54, True), (3, 53, False), (10, 90, True), (10, 71, False), (1, 0, False)],
)
def test_last_attempts_are_never_tried_again(max_attempts: int, retries: int, failing: bool) -> None:  # noqa: FBT001
    # A service that fails every attempt, its jobs having been at it for a while: of three attempts
    # of a job two are tried again.
    assert fed((0, 0, 0), (5, 100, retries), max_attempts=max_attempts).failing is failing


def test_readings_are_kept_for_a_window_only() -> None:
    meter = fed(*((second, second, 0) for second in range(1_000)))
    assert len(meter.readings) == 31
