from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import START
from jobqueue_operator.observing.arrival import ArrivalMeter
from jobqueue_operator.observing.tally import Tally
from jobqueue_testsupport.factories import IDLE_BEAT

BEAT = replace(IDLE_BEAT, worker="w1")
MINUTE = timedelta(minutes=1)


def test_arrivals_are_what_the_backlog_grew_by_and_what_was_done_meanwhile() -> None:
    meter = ArrivalMeter().read(0.0, unfinished=10, finished=0)
    assert meter.per_second is None

    meter = meter.read(2.0, unfinished=4, finished=26)

    assert meter.per_second == 10.0
    assert meter.read(12.0, unfinished=4, finished=26).per_second == pytest.approx(5.0)
    assert meter.read(4.0, unfinished=0, finished=0).per_second == pytest.approx(8.7, abs=0.05)


def test_the_tally_keeps_what_workers_did_that_have_gone() -> None:
    tally = Tally()
    tally.read([replace(BEAT, attempts=5, retries=1, finished=4), replace(BEAT, worker="w2", attempts=2)])
    tally.read([replace(BEAT, worker="w2", attempts=3, busy=2, service_seconds=0.4)])

    assert (tally.attempts, tally.retries, tally.finished) == (8, 1, 4)
    assert (tally.busy, tally.service_seconds) == (2, 0.4)
    tally.read([])
    assert (tally.attempts, tally.busy, tally.service_seconds) == (8, 0, None)


def test_a_worker_that_begins_again_under_its_name_adds_to_what_it_did() -> None:
    tally = Tally()
    tally.read([replace(BEAT, finished=9)])
    tally.read([replace(BEAT, started_at=later(START, 30), finished=2)])
    assert tally.finished == 11
    tally.read([replace(BEAT, started_at=later(START, 30), finished=3)])
    assert tally.finished == 12


def test_only_workers_that_stay_are_to_be_spared() -> None:
    tally = Tally()
    tally.read(
        [
            replace(BEAT, busy=1),
            replace(BEAT, worker="ending", busy=1, draining=True),
            replace(BEAT, worker="idle"),
        ]
    )
    assert (tally.busy_workers, tally.busy) == (frozenset({"w1"}), 2)


def test_workers_long_gone_are_forgotten_and_what_they_did_is_not() -> None:
    tally, total = Tally(), 0
    for number in range(100):
        now = START + number * MINUTE
        tally.read([replace(BEAT, worker=f"w{number}", finished=7, started_at=now, seen_at=now)])
        assert tally.finished == total + 7
        total = tally.finished
    assert total == 700
    assert len(tally._known) == 11  # noqa: SLF001 -- memory is what this is about


def test_a_worker_that_comes_back_after_it_was_forgotten_is_not_counted_twice() -> None:
    tally = Tally()
    tally.read([replace(BEAT, finished=50)])
    for minute in range(1, 30):
        tally.read([replace(BEAT, worker="w2", started_at=START + MINUTE, seen_at=START + minute * MINUTE)])
    tally.read([replace(BEAT, finished=50, seen_at=START + 30 * MINUTE)])
    assert tally.finished == 50
    tally.read([replace(BEAT, finished=53, seen_at=START + 31 * MINUTE)])
    assert tally.finished == 53
