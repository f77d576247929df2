from __future__ import annotations

from jobqueue_operator.targets.backoff import CrashBackoff

FRESH = CrashBackoff(initial_seconds=1, max_seconds=8, stable_seconds=60)


def crash_in_a_row(backoff: CrashBackoff, times: int) -> list[float]:
    delays, now = [], 100.0
    for _ in range(times):
        backoff = backoff.after_exit(started_at=now, now=now + 0.1)
        now += 0.1
        delays.append(round(backoff.retry_at - now, 6))
        now = backoff.retry_at
    return delays


def test_nobody_waits_before_the_first_crash() -> None:
    assert FRESH.may_start(0.0)


def test_each_crash_of_a_replacement_doubles_the_wait_up_to_the_longest() -> None:
    assert crash_in_a_row(FRESH, 6) == [1, 2, 4, 8, 8, 8]


def test_very_many_crashes_do_not_overflow() -> None:
    assert crash_in_a_row(FRESH, 2000)[-1] == 8


def test_nobody_is_started_while_it_waits() -> None:
    backoff = FRESH.after_exit(started_at=0, now=10)

    assert not backoff.may_start(10.9)
    assert backoff.may_start(11)


def test_workers_that_die_together_count_once() -> None:
    first = FRESH.after_exit(started_at=0, now=10)

    assert first.after_exit(started_at=5, now=10.5) == first


def test_a_replacement_that_was_stable_starts_over() -> None:
    backoff = FRESH.after_exit(started_at=0, now=1).after_exit(started_at=2, now=3)

    assert backoff.crashes == 2
    assert backoff.after_exit(started_at=5, now=65).crashes == 1
