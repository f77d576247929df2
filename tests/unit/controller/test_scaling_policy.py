"""What a decision says and remembers."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from jobqueue_operator.scaling import (
    Direction,
    Limit,
    Memory,
    Reason,
    Recommendation,
    Unknown,
    decide,
)
from jobqueue_testsupport.scaling_cases import (
    DRAIN,
    EMPTY_LONG,
    HELD,
    IDLE,
    NO_QUEUE,
    NOW,
    SPEC,
    STABLE,
    WAITS,
    ago,
    queue,
)


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
