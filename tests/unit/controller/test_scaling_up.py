"""One row a rule: what is wanted, and what limits it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobqueue_operator.scaling import (
    DrainSeconds,
    Limit,
    Memory,
    Reason,
    Recommendation,
    ScaleDown,
    ScaleUp,
)
from jobqueue_testsupport.scaling_cases import (
    DRAIN,
    IDLE,
    SPEC,
    Case,
    ago,
    busy,
    check,
    queue,
    row_id,
)

WANTED = [
    Case("nothing to do and nobody there stays so", IDLE, 0, Reason.ON_TARGET),
    Case(
        "one waiting job starts one replica",
        replace(IDLE, queue=queue(1)),
        1,
        Reason.BACKLOG_ABOVE_TARGET,
    ),
    Case(
        "a backlog is shared out, rounded up",
        replace(IDLE, queue=queue(101)),
        2,
        Reason.BACKLOG_ABOVE_TARGET,
    ),
    Case(
        "a job that the queue does not show yet counts",
        replace(IDLE, store_waiting=250),
        3,
        Reason.BACKLOG_ABOVE_TARGET,
    ),
    Case(
        "a message that the store does not show yet counts",
        replace(IDLE, queue=queue(250), store_waiting=0),
        3,
        Reason.BACKLOG_ABOVE_TARGET,
    ),
    Case(
        "queue and store see the same jobs, which count once",
        replace(IDLE, queue=queue(200), store_waiting=200),
        2,
        Reason.BACKLOG_ABOVE_TARGET,
    ),
    Case(
        "work in hand adds no replica",
        replace(
            IDLE, current=2, queue=queue(200, 200), store_waiting=400, busy_slots=200, busy_worker_ids=busy(2)
        ),
        2,
        Reason.ON_TARGET,
    ),
    Case(
        "work in hand keeps its replicas",
        replace(
            IDLE, current=4, queue=queue(0, 350), store_waiting=350, busy_slots=350, busy_worker_ids=busy(1)
        ),
        4,
        Reason.ON_TARGET,
    ),
    Case(
        "delayed messages start nobody",
        replace(IDLE, queue=queue(delayed=5000)),
        0,
        Reason.ON_TARGET,
    ),
    Case(
        "retries that wait for their backoff start nobody",
        replace(IDLE, current=1, queue=queue(in_flight=5000)),
        1,
        Reason.ZERO_PENDING,
        Limit.ZERO_AFTER,
    ),
    Case(
        "the drain target divides the work by the time",
        # 6,000 jobs of 0.5 s are 3,000 s of work, 300 s with ten at once, 5 replicas in 60 s.
        replace(IDLE, queue=queue(6000), service_seconds=0.5),
        5,
        Reason.BACKLOG_ABOVE_TARGET,
        spec=DRAIN,
    ),
    Case(
        "the drain target rounds up, but not for the noise of floats",
        # 0.1 x 3 is a little more than 0.3 as a float.
        replace(IDLE, queue=queue(3), service_seconds=0.1),
        1,
        Reason.BACKLOG_ABOVE_TARGET,
        spec=replace(DRAIN, target=DrainSeconds(0.3), concurrency=1),
    ),
    Case(
        "a service that takes no time still needs one replica",
        replace(IDLE, queue=queue(5), service_seconds=0.0),
        1,
        Reason.BACKLOG_ABOVE_TARGET,
        spec=DRAIN,
    ),
    Case(
        "without a measurement a job is taken to last one second",
        replace(IDLE, queue=queue(1800)),
        3,
        Reason.BACKLOG_ABOVE_TARGET,
        spec=DRAIN,
    ),
    Case(
        "the drain target keeps up with arrivals",
        replace(IDLE, current=1, queue=queue(1), service_seconds=0.5, arrival_per_second=70.0),
        4,
        Reason.ARRIVAL_RATE,
        spec=DRAIN,
    ),
    Case(
        "arrivals are no floor while the service time is a guess",
        replace(IDLE, current=1, queue=queue(1), arrival_per_second=70.0),
        1,
        Reason.ON_TARGET,
        spec=DRAIN,
    ),
    Case(
        "the tail of an averaged rate keeps nobody",
        replace(IDLE, current=1, service_seconds=0.5, arrival_per_second=0.001),
        0,
        Reason.QUEUE_EMPTY,
        spec=replace(DRAIN, zero_after_seconds=120),
        memory=Memory(recommendations=(Recommendation(ago(5), 0),), empty_since=ago(120)),
    ),
    Case(
        "a rate that brings a job before zero is due keeps one",
        replace(IDLE, current=1, service_seconds=0.5, arrival_per_second=0.1),
        1,
        Reason.ON_TARGET,
        spec=replace(DRAIN, zero_after_seconds=120),
        memory=Memory(recommendations=(Recommendation(ago(5), 0),), empty_since=ago(120)),
    ),
    Case(
        "the schedule is a floor",
        replace(IDLE, queue=queue(100), schedule_floor=3),
        3,
        Reason.SCHEDULE,
    ),
    Case(
        "a backlog goes above the schedule",
        replace(IDLE, queue=queue(500), schedule_floor=3),
        5,
        Reason.BACKLOG_ABOVE_TARGET,
    ),
]


LIMITS = [
    Case(
        "never below the minimum",
        IDLE,
        2,
        Reason.MIN_REPLICAS,
        Limit.MIN_REPLICAS,
        spec=replace(SPEC, min_replicas=2),
    ),
    Case(
        "never above the maximum",
        replace(IDLE, queue=queue(100_000)),
        20,
        Reason.BACKLOG_ABOVE_TARGET,
        Limit.MAX_REPLICAS,
    ),
    Case(
        "at the maximum that is what holds",
        replace(IDLE, current=20, queue=queue(100_000)),
        20,
        Reason.MAX_REPLICAS,
        Limit.MAX_REPLICAS,
    ),
    Case(
        "the schedule does not go above the maximum",
        replace(IDLE, schedule_floor=50),
        20,
        Reason.SCHEDULE,
        Limit.MAX_REPLICAS,
    ),
    Case(
        "a lowered maximum is followed at once",
        replace(IDLE, current=30, queue=queue(100_000)),
        20,
        Reason.MAX_REPLICAS,
        Limit.MAX_REPLICAS,
        spec=replace(SPEC, scale_down=ScaleDown(stabilization_seconds=300)),
    ),
    Case(
        "one step is bounded by the factor",
        replace(IDLE, current=2, queue=queue(2000)),
        6,
        Reason.BACKLOG_ABOVE_TARGET,
        Limit.MAX_FACTOR,
        spec=replace(SPEC, scale_up=ScaleUp(max_factor=3)),
    ),
    Case(
        "a small factor still allows one more",
        replace(IDLE, current=1, queue=queue(2000)),
        2,
        Reason.BACKLOG_ABOVE_TARGET,
        Limit.MAX_FACTOR,
        spec=replace(SPEC, scale_up=ScaleUp(max_factor=1.1)),
    ),
    Case(
        "from zero any number goes in one step",
        replace(IDLE, queue=queue(2000)),
        20,
        Reason.BACKLOG_ABOVE_TARGET,
        spec=replace(SPEC, scale_up=ScaleUp(max_factor=2)),
    ),
    Case(
        "the minimum is reached in one step",
        replace(IDLE, current=1),
        8,
        Reason.MIN_REPLICAS,
        Limit.MIN_REPLICAS,
        spec=replace(SPEC, min_replicas=8, scale_up=ScaleUp(max_factor=2)),
    ),
    Case(
        "the schedule is reached in one step",
        replace(IDLE, current=1, schedule_floor=8),
        8,
        Reason.SCHEDULE,
        spec=replace(SPEC, scale_up=ScaleUp(max_factor=2)),
    ),
    Case(
        "nobody is added while the service fails",
        replace(IDLE, current=3, queue=queue(2000), circuit_open=True),
        3,
        Reason.CIRCUIT_OPEN,
        Limit.CIRCUIT_OPEN,
    ),
    Case(
        "while the service fails, going down goes on",
        replace(IDLE, current=3, queue=queue(100), circuit_open=True),
        1,
        Reason.BACKLOG_BELOW_TARGET,
    ),
    Case(
        "with nobody there, one starts to find out whether the service is back",
        replace(IDLE, queue=queue(2000), circuit_open=True),
        1,
        Reason.BACKLOG_ABOVE_TARGET,
        Limit.CIRCUIT_OPEN,
    ),
    Case(
        "the minimum is kept while the service fails",
        replace(IDLE, current=1, queue=queue(2000), circuit_open=True),
        2,
        Reason.BACKLOG_ABOVE_TARGET,
        Limit.CIRCUIT_OPEN,
        spec=replace(SPEC, min_replicas=2),
    ),
]


@pytest.mark.parametrize("case", [*WANTED, *LIMITS], ids=row_id)
def test_rule(case: Case) -> None:
    check(case)
