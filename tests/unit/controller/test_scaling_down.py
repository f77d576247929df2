"""One row a rule: going down, to zero, blind and suspended."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobqueue_operator.scaling import (
    Fallback,
    Limit,
    Memory,
    Reason,
    Recommendation,
    ScaleDown,
)
from jobqueue_testsupport.scaling_cases import (
    DRAINED,
    EMPTY_LONG,
    HELD,
    IDLE,
    NO_QUEUE,
    NO_STORE,
    SPEC,
    STABLE,
    WAITS,
    Case,
    ago,
    busy,
    check,
    queue,
    row_id,
)

DOWN = [
    Case(
        "without a window it goes down at once",
        replace(IDLE, current=10, queue=queue(300)),
        3,
        Reason.BACKLOG_BELOW_TARGET,
    ),
    Case(
        "down only to the highest that was wanted within the window",
        replace(IDLE, current=10, queue=queue(300)),
        6,
        Reason.BACKLOG_BELOW_TARGET,
        Limit.STABILIZATION,
        spec=STABLE,
        memory=Memory(recommendations=(Recommendation(ago(61), 9), Recommendation(ago(59), 6))),
    ),
    Case(
        "what was wanted before the window counts no more",
        replace(IDLE, current=10, queue=queue(300)),
        3,
        Reason.BACKLOG_BELOW_TARGET,
        spec=STABLE,
        memory=Memory(recommendations=(Recommendation(ago(60), 10),)),
    ),
    Case(
        "after a start what runs counts as wanted",
        replace(IDLE, current=10, queue=queue(300)),
        10,
        Reason.STABILIZING,
        Limit.STABILIZATION,
        spec=STABLE,
    ),
    Case(
        "stabilisation does not add replicas",
        replace(IDLE, current=4, queue=queue(300)),
        4,
        Reason.STABILIZING,
        Limit.STABILIZATION,
        spec=STABLE,
        memory=Memory(recommendations=(Recommendation(ago(10), 9),)),
    ),
    Case(
        "busy workers are spared",
        replace(IDLE, current=10, queue=queue(100), busy_worker_ids=busy(7), busy_slots=7),
        7,
        Reason.BACKLOG_BELOW_TARGET,
        Limit.PROTECT_BUSY,
    ),
    Case(
        "with all of them busy nobody goes",
        replace(IDLE, current=10, queue=queue(100), busy_worker_ids=busy(10), busy_slots=10),
        10,
        Reason.WORKERS_BUSY,
        Limit.PROTECT_BUSY,
    ),
    Case(
        "busy workers are spared when the maximum is lowered",
        replace(IDLE, current=30, queue=queue(100_000), busy_worker_ids=busy(25), busy_slots=250),
        25,
        Reason.MAX_REPLICAS,
        Limit.PROTECT_BUSY,
    ),
    Case(
        "workers that end busy do not add replicas",
        replace(IDLE, current=3, queue=queue(0, 5), busy_worker_ids=busy(5), busy_slots=5),
        3,
        Reason.WORKERS_BUSY,
        Limit.PROTECT_BUSY,
    ),
    Case(
        "unprotected busy workers are not spared",
        replace(IDLE, current=10, queue=queue(100), busy_worker_ids=busy(7), busy_slots=7),
        2,
        Reason.BACKLOG_BELOW_TARGET,
        spec=replace(SPEC, scale_down=ScaleDown(stabilization_seconds=0, protect_busy=False)),
    ),
]


ZERO = [
    Case(
        "empty long enough goes to zero",
        replace(IDLE, current=3),
        0,
        Reason.QUEUE_EMPTY,
        None,
        WAITS,
        EMPTY_LONG,
    ),
    Case(
        "empty not yet long enough keeps one",
        replace(IDLE, current=3),
        1,
        Reason.BACKLOG_BELOW_TARGET,
        Limit.ZERO_AFTER,
        WAITS,
        replace(EMPTY_LONG, empty_since=ago(119)),
    ),
    Case(
        "the last one waits",
        replace(IDLE, current=1),
        1,
        Reason.ZERO_PENDING,
        Limit.ZERO_AFTER,
        WAITS,
        replace(EMPTY_LONG, empty_since=ago(119)),
    ),
    Case(
        "a delayed message keeps the last one",
        replace(IDLE, current=1, queue=queue(delayed=1)),
        1,
        Reason.ZERO_PENDING,
        Limit.ZERO_AFTER,
        WAITS,
        EMPTY_LONG,
    ),
    Case(
        "a message in flight keeps the last one",
        replace(IDLE, current=1, queue=queue(in_flight=1)),
        1,
        Reason.ZERO_PENDING,
        Limit.ZERO_AFTER,
        WAITS,
        EMPTY_LONG,
    ),
    Case(
        "an unfinished job in the store keeps the last one",
        replace(IDLE, current=1, store_waiting=1, busy_slots=1),
        1,
        Reason.ON_TARGET,
        None,
        WAITS,
        EMPTY_LONG,
    ),
    Case(
        "the minimum forbids zero",
        replace(IDLE, current=3),
        1,
        Reason.BACKLOG_BELOW_TARGET,
        Limit.MIN_REPLICAS,
        replace(WAITS, min_replicas=1),
        EMPTY_LONG,
    ),
]


UNKNOWN = [
    Case("an unknown queue holds", NO_QUEUE, 5, Reason.READING_UNKNOWN),
    Case("an unknown store holds", NO_STORE, 5, Reason.READING_UNKNOWN),
    Case(
        "an unknown store holds though the queue is full",
        replace(NO_STORE, queue=queue(100_000)),
        5,
        Reason.READING_UNKNOWN,
    ),
    Case("unknown with nobody there stays at zero", replace(NO_QUEUE, current=0), 0, Reason.READING_UNKNOWN),
    Case(
        "the fallback adds replicas",
        NO_QUEUE,
        8,
        Reason.FALLBACK,
        spec=replace(SPEC, on_unknown=Fallback(8)),
    ),
    Case(
        "the fallback takes none away",
        NO_QUEUE,
        5,
        Reason.READING_UNKNOWN,
        spec=replace(SPEC, on_unknown=Fallback(2)),
    ),
    Case(
        "the minimum needs no reading",
        NO_QUEUE,
        6,
        Reason.MIN_REPLICAS,
        Limit.MIN_REPLICAS,
        replace(SPEC, min_replicas=6),
    ),
    Case("the schedule needs no reading", replace(NO_QUEUE, schedule_floor=7), 7, Reason.SCHEDULE),
    Case(
        "a lowered maximum waits for a reading",
        replace(NO_QUEUE, current=30),
        30,
        Reason.READING_UNKNOWN,
    ),
]


SUSPENDED = [
    Case(
        "held with a backlog adds nobody",
        replace(IDLE, current=1, queue=queue(2000)),
        1,
        Reason.SUSPENDED,
        None,
        HELD,
    ),
    Case(
        "held with nothing to do keeps all",
        replace(IDLE, current=9),
        9,
        Reason.SUSPENDED,
        None,
        HELD,
    ),
    Case("held lets the minimum go", IDLE, 0, Reason.SUSPENDED, None, replace(HELD, min_replicas=2)),
    Case(
        "drained goes to zero below the minimum, whatever waits",
        replace(IDLE, current=9, queue=queue(2000)),
        0,
        Reason.DRAINING,
        None,
        DRAINED,
    ),
    Case(
        "drained lets busy workers finish",
        replace(IDLE, current=9, queue=queue(2000), busy_worker_ids=busy(4), busy_slots=4),
        4,
        Reason.DRAINING,
        Limit.PROTECT_BUSY,
        DRAINED,
    ),
    Case("drained to the end is suspended", IDLE, 0, Reason.SUSPENDED, None, DRAINED),
    Case("unknown and suspended holds", NO_QUEUE, 5, Reason.READING_UNKNOWN, None, DRAINED),
    Case(
        "unknown and suspended takes no fallback",
        NO_QUEUE,
        5,
        Reason.READING_UNKNOWN,
        None,
        replace(HELD, on_unknown=Fallback(8)),
    ),
]


@pytest.mark.parametrize("case", [*DOWN, *ZERO, *UNKNOWN, *SUSPENDED], ids=row_id)
def test_rule(case: Case) -> None:
    check(case)
