"""One row a rule: what the policy decides for a given spec, observation and past."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from jobqueue_operator.scaling import (
    BacklogPerReplica,
    Direction,
    DrainSeconds,
    Fallback,
    Limit,
    Memory,
    Observation,
    QueueCounts,
    Reason,
    Recommendation,
    ScaleDown,
    ScaleUp,
    ScalingSpec,
    Suspend,
    Unknown,
    decide,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

SPEC = ScalingSpec(
    target=BacklogPerReplica(100),
    max_replicas=20,
    concurrency=10,
    scale_down=ScaleDown(stabilization_seconds=0),
    zero_after_seconds=0,
)
DRAIN = replace(SPEC, target=DrainSeconds(60))
IDLE = Observation(current=0, queue=QueueCounts(0), store_waiting=0)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def queue(visible: int = 0, in_flight: int = 0, delayed: int = 0) -> QueueCounts:
    return QueueCounts(visible, in_flight, delayed)


def busy(workers: int) -> frozenset[str]:
    return frozenset(f"w{number}" for number in range(workers))


@dataclass(frozen=True)
class Case:
    name: str
    seen: Observation
    to: int
    reason: Reason
    limited_by: Limit | None = None
    spec: ScalingSpec = SPEC
    memory: Memory = field(default_factory=Memory)


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

STABLE = replace(SPEC, scale_down=ScaleDown(stabilization_seconds=60))
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

WAITS = replace(SPEC, zero_after_seconds=120)
EMPTY_LONG = Memory(recommendations=(Recommendation(ago(5), 0),), empty_since=ago(120))
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

NO_QUEUE = replace(IDLE, current=5, queue=Unknown("queue: timed out"))
NO_STORE = replace(IDLE, current=5, store_waiting=Unknown("store: no primary"))
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

HELD = replace(SPEC, suspend=Suspend.HOLD)
DRAINED = replace(SPEC, suspend=Suspend.HOLD_AND_DRAIN, min_replicas=2)
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

CASES = [*WANTED, *LIMITS, *DOWN, *ZERO, *UNKNOWN, *SUSPENDED]


@pytest.mark.parametrize("case", CASES, ids=[case.name.replace(" ", "_") for case in CASES])
def test_rule(case: Case) -> None:
    decision = decide(case.spec, case.seen, case.memory, NOW)

    assert (decision.to, decision.reason, decision.limited_by) == (case.to, case.reason, case.limited_by)
    assert decision.from_ == case.seen.current
    assert decision.changed is (case.to != case.seen.current)


def test_the_message_shows_the_sum() -> None:
    seen = replace(IDLE, current=2, queue=queue(5000), service_seconds=0.25)

    per_replica = decide(SPEC, seen, Memory(), NOW)
    drain = decide(DRAIN, seen, Memory(), NOW)

    assert per_replica.message == (
        "from 2 to 20: 5000 waiting and 0 running jobs at 100 waiting a replica want 50 replicas; "
        "maxReplicas is 20"
    )
    assert drain.message == (
        "from 2 to 3: 5000 waiting and 0 running jobs of 0.25 s with 10 at once a replica, "
        "to be done in 60 s, want 3 replicas"
    )


def test_the_message_of_an_unknown_reading_says_why() -> None:
    seen = replace(NO_QUEUE, store_waiting=Unknown("store: no primary"))

    decision = decide(SPEC, seen, Memory(), NOW)

    assert decision.message == "stays at 5: the reading is unknown (queue: timed out; store: no primary)"


def test_direction_follows_the_change() -> None:
    directions = [
        decide(SPEC, replace(IDLE, current=current, queue=queue(300)), Memory(), NOW).direction
        for current in (1, 3, 5)
    ]

    assert directions == [Direction.UP, Direction.NONE, Direction.DOWN]


def test_a_change_is_remembered_with_its_time() -> None:
    up = decide(SPEC, replace(IDLE, queue=queue(300)), Memory(), NOW)
    same = decide(SPEC, replace(IDLE, current=3, queue=queue(300)), up.memory, NOW + timedelta(seconds=5))

    assert up.memory.last_scale_time == NOW
    assert same.memory.last_scale_time == NOW


def test_an_unknown_reading_breaks_the_agreement_that_the_queue_is_empty() -> None:
    unknown = decide(WAITS, NO_QUEUE, EMPTY_LONG, NOW)
    back = decide(WAITS, replace(IDLE, current=5), unknown.memory, NOW + timedelta(seconds=5))

    assert back.to == 1
    assert back.limited_by is Limit.ZERO_AFTER


def test_after_an_outage_going_down_waits_a_whole_window() -> None:
    memory = Memory(recommendations=(Recommendation(ago(5), 1),))
    for seconds in range(0, 600, 5):
        memory = decide(STABLE, NO_QUEUE, memory, NOW + timedelta(seconds=seconds)).memory
    back = NOW + timedelta(seconds=600)

    first = decide(STABLE, replace(IDLE, current=5, queue=queue(100)), memory, back)
    later = decide(
        STABLE, replace(IDLE, current=5, queue=queue(100)), first.memory, back + timedelta(seconds=60)
    )

    assert (first.to, first.reason) == (5, Reason.STABILIZING)
    assert later.to == 1


def test_suspending_forgets_what_was_wanted_but_not_when_it_scaled() -> None:
    memory = replace(EMPTY_LONG, last_scale_time=ago(500))

    held = decide(HELD, replace(IDLE, current=5), memory, NOW)

    assert held.memory == Memory(last_scale_time=ago(500))
