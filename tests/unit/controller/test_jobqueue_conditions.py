from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobqueue_operator.cluster.conditions import Problem, conditions_of, stamped
from jobqueue_operator.scaling import Memory, Observation, Suspend, Unknown, decide
from jobqueue_testsupport.scaling_cases import IDLE, NOW, SPEC, queue

if TYPE_CHECKING:
    from jobqueue_operator.scaling import Decision

CONFLICT = Problem("Conflict", "queue q belongs to another")
AWAY = Problem("Unreachable", "SQS did not answer")


def decided(seen: Observation = IDLE) -> Decision:
    return decide(SPEC, seen, Memory(), NOW)


def by_type(
    problem: Problem | None = None,
    unread: Problem | None = None,
    decision: Decision | None = None,
    suspend: Suspend = Suspend.NONE,
) -> dict[str, tuple[bool | None, str]]:
    found = conditions_of(problem, unread, decision, suspend)
    return {condition.type: (condition.status, condition.reason) for condition in found}


def test_a_healthy_queue_is_ready_and_scaled() -> None:
    assert by_type(decision=decided()) == {
        "Ready": (True, "Reconciled"),
        "QueueReachable": (True, "Reachable"),
        "ScalingActive": (True, "OnTarget"),
        "ScalingLimited": (False, "NotLimited"),
        "Suspended": (False, "NotSuspended"),
    }


def test_an_unreadable_queue_says_so_in_three_places() -> None:
    seen = replace(IDLE, current=10, queue=Unknown("SQS did not answer"))
    told = by_type(unread=AWAY, decision=decided(seen))
    assert told["Ready"] == (False, "QueueUnreachable")
    assert told["QueueReachable"] == (False, "Unreachable")
    assert told["ScalingActive"] == (False, "Unreachable")


def test_a_conflict_says_nothing_about_the_queue() -> None:
    told = by_type(problem=CONFLICT)
    assert told["Ready"] == (False, "Conflict")
    assert told["QueueReachable"] == (None, "NotRead")
    assert told["ScalingActive"] == (False, "Conflict")


def test_a_limit_is_named_by_its_field() -> None:
    seen = replace(IDLE, queue=queue(5000))
    told = {item.type: item for item in conditions_of(None, None, decided(seen), Suspend.NONE)}
    assert (told["ScalingLimited"].status, told["ScalingLimited"].reason) == (True, "MaxReplicas")
    assert told["ScalingLimited"].message.startswith("50 wanted, 20 by maxReplicas")


@pytest.mark.parametrize("suspend", [Suspend.HOLD, Suspend.HOLD_AND_DRAIN])
def test_a_suspended_queue_is_ready_and_not_scaled(suspend: Suspend) -> None:
    told = by_type(decision=decided(), suspend=suspend)
    assert told["Ready"] == (True, "Reconciled")
    assert told["Suspended"] == (True, str(suspend))
    assert told["ScalingActive"] == (False, "Suspended")


def times(conditions: list[dict[str, Any]]) -> dict[str, str]:
    return {condition["type"]: condition["lastTransitionTime"] for condition in conditions}


def test_the_transition_time_moves_with_the_status_alone() -> None:
    first = stamped(conditions_of(None, None, decided(), Suspend.NONE), [], generation=1, now="T1")
    busier = decided(replace(IDLE, queue=queue(50)))
    same = stamped(conditions_of(None, None, busier, Suspend.NONE), first, generation=2, now="T2")
    assert set(times(same).values()) == {"T1"}
    assert {condition["observedGeneration"] for condition in same} == {2}
    broken = stamped(conditions_of(CONFLICT, None, busier, Suspend.NONE), same, generation=2, now="T3")
    assert times(broken)["Ready"] == times(broken)["ScalingActive"] == "T3"
    assert times(broken)["Suspended"] == "T1"
