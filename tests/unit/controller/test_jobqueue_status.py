from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from jobqueue_operator.cluster.conditions import Problem
from jobqueue_operator.cluster.status import Facts, status_of, worth_writing
from jobqueue_operator.scaling import Memory, Observation, ScaleDown, Suspend, Unknown, decide
from jobqueue_testsupport.scaling_cases import IDLE, NOW, SPEC, queue

BASE = Facts(
    generation=3,
    suspend=Suspend.NONE,
    concurrency=10,
    problem=None,
    queue_url="https://sqs/q",
    dead_letter_url="https://sqs/d",
    jobs="emails",
    selector="app=worker",
)


def facts(seen: Observation, memory: Memory | None = None, **more: Any) -> Facts:  # noqa: ANN401 -- fields of Facts
    decision = decide(SPEC, seen, memory or Memory(), NOW)
    return replace(BASE, decision=decision, seen=seen, replicas=decision.to, ready=seen.ready, **more)


def test_a_scale_up_is_told_with_its_reason() -> None:
    seen = replace(IDLE, queue=queue(950, 3, 7), store_waiting=950, oldest_age_seconds=12.4)
    status = status_of(facts(seen, dead_letters=2), {}, NOW)
    assert status["observedGeneration"] == 3
    assert status["desiredReplicas"] == status["replicas"] == 10
    assert status["backlog"] == {"visible": 950, "inFlight": 3, "delayed": 7}
    assert (status["deadLetters"], status["oldestAgeSeconds"]) == (2, 12)
    assert status["lastScaleTime"] == "2026-03-01T12:00:00Z"
    last = status["lastDecision"]
    assert (last["from"], last["to"], last["wanted"], last["reason"]) == (0, 10, 10, "BacklogAboveTarget")
    assert "950 waiting" in last["message"]


def test_a_kept_number_does_not_hide_why_it_became_what_it_is() -> None:
    first = status_of(facts(replace(IDLE, queue=queue(950))), {}, NOW)
    later = status_of(facts(replace(IDLE, current=10, queue=queue(940))), first, NOW + timedelta(seconds=5))
    assert later["lastDecision"] == first["lastDecision"]
    assert later["lastScaleTime"] == first["lastScaleTime"]


def test_what_cannot_be_read_is_not_shown_as_it_was() -> None:
    first = status_of(facts(replace(IDLE, queue=queue(950))), {}, NOW)
    seen = replace(IDLE, current=10, queue=Unknown("away"), oldest_age_seconds=None)
    away = status_of(facts(seen, unread=Problem("Unreachable", "away")), first, NOW)
    assert away["backlog"] is None
    assert away["drainSeconds"] is None
    assert away["desiredReplicas"] == 10


def test_the_drain_estimate_is_from_measured_service_time() -> None:
    seen = replace(IDLE, current=2, ready=2, queue=queue(100), service_seconds=0.5)
    assert status_of(facts(seen), {}, NOW)["drainSeconds"] == 2  # 100 jobs x 0.5 s over 20 slots, rounded


def test_at_rest_nothing_is_written() -> None:
    spec = replace(SPEC, zero_after_seconds=120, scale_down=ScaleDown(stabilization_seconds=0))
    seen = replace(IDLE, current=1, ready=1)
    decision = decide(spec, seen, Memory(), NOW)
    first = status_of(replace(BASE, decision=decision, seen=seen, replicas=1, ready=1), {}, NOW)
    later = NOW + timedelta(seconds=30)
    again = decide(spec, seen, decision.memory, later)
    assert again.message != decision.message  # "empty for 30 s"
    second = status_of(replace(BASE, decision=again, seen=seen, replicas=1, ready=1), first, later)
    assert not worth_writing(second, first)


def test_the_stored_status_has_no_nulls_and_is_the_same_for_all_that() -> None:
    status = status_of(facts(IDLE), {}, NOW)
    stored = {key: value for key, value in status.items() if value is not None}
    stored["lastDecision"] = {key: v for key, v in status["lastDecision"].items() if v is not None}
    assert not worth_writing(status, stored)


def test_a_changed_reading_is_worth_writing() -> None:
    old = status_of(facts(replace(IDLE, queue=queue(0, 1))), {}, NOW)
    assert worth_writing(status_of(facts(replace(IDLE, queue=queue(0, 2))), old, NOW), old)
