"""The conditions of a JobQueue's status. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobqueue_operator.scaling import Suspend

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobqueue_operator.scaling import Decision

READY = "Ready"
QUEUE_REACHABLE = "QueueReachable"
SCALING_ACTIVE = "ScalingActive"
SCALING_LIMITED = "ScalingLimited"
SUSPENDED = "Suspended"
_MESSAGE_MAX = 1024


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps a JobQueue from being looked after, and what to do about it.

    Attributes:
        reason: Stable code.
        message: A sentence for people that names what to do.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition before its times are known; `status` True, False or Unknown (None)."""

    type: str
    status: bool | None
    reason: str
    message: str


def conditions_of(
    problem: Problem | None, unread: Problem | None, decision: Decision | None, suspend: Suspend
) -> tuple[Condition, ...]:
    """Return every condition, always all five, so that `kubectl wait` works on each.

    Args:
        problem: What is wrong with the JobQueue itself or its target.
        unread: Why queue or store cannot be read.
        decision: The newest.
        suspend: From the spec.
    """
    return (
        _ready(problem, unread),
        _queue_reachable(unread, decision),
        _scaling_active(problem or unread, decision, suspend),
        _scaling_limited(decision),
        _suspended(suspend),
    )


def ready_problem(problem: Problem | None, unread: Problem | None) -> Problem | None:
    """Return what makes a JobQueue not ready, as its condition Ready says it."""
    if problem is not None:
        return problem
    return None if unread is None else Problem("QueueUnreachable", unread.message)


def _ready(problem: Problem | None, unread: Problem | None) -> Condition:
    why = ready_problem(problem, unread)
    if why is not None:
        return Condition(READY, status=False, reason=why.reason, message=why.message)
    message = "queue and workers are as the spec says"
    return Condition(READY, status=True, reason="Reconciled", message=message)


def _queue_reachable(unread: Problem | None, decision: Decision | None) -> Condition:
    if unread is not None:
        return Condition(QUEUE_REACHABLE, status=False, reason=unread.reason, message=unread.message)
    if decision is None:
        message = "it has not been read yet"
        return Condition(QUEUE_REACHABLE, status=None, reason="NotRead", message=message)
    message = "queue and store are read at every poll"
    return Condition(QUEUE_REACHABLE, status=True, reason="Reachable", message=message)


def _scaling_active(problem: Problem | None, decision: Decision | None, suspend: Suspend) -> Condition:
    if suspend is not Suspend.NONE:
        return Condition(SCALING_ACTIVE, status=False, reason="Suspended", message=f"suspend is {suspend}")
    if problem is not None:
        message = f"the workers are held as they are: {problem.message}"
        return Condition(SCALING_ACTIVE, status=False, reason=problem.reason, message=message)
    if decision is None:
        return Condition(SCALING_ACTIVE, status=None, reason="NotRead", message="nothing is decided yet")
    return Condition(SCALING_ACTIVE, status=True, reason=str(decision.reason), message=decision.message)


def _scaling_limited(decision: Decision | None) -> Condition:
    if decision is None or decision.limited_by is None:
        message = "the workers are as many as are wanted"
        return Condition(SCALING_LIMITED, status=False, reason="NotLimited", message=message)
    message = f"{decision.wanted} wanted, {decision.to} by {decision.limited_by}: {decision.message}"
    reason = decision.limited_by.name.title().replace("_", "")
    return Condition(SCALING_LIMITED, status=True, reason=reason, message=message)


def _suspended(suspend: Suspend) -> Condition:
    if suspend is Suspend.NONE:
        return Condition(SUSPENDED, status=False, reason="NotSuspended", message="the queue is scaled")
    message = {
        Suspend.HOLD: "the workers are kept as they are; set suspend to None to scale again",
        Suspend.HOLD_AND_DRAIN: "the workers finish what they hold, then go; set suspend to None to scale",
    }[suspend]
    return Condition(SUSPENDED, status=True, reason=str(suspend), message=message)


def stamped(
    conditions: Iterable[Condition], before: Iterable[Mapping[str, Any]], *, generation: int, now: str
) -> list[dict[str, Any]]:
    """Return conditions as the API knows them; `lastTransitionTime` moves only with the status."""
    old = {condition["type"]: condition for condition in before}
    return [_stamp(condition, old.get(condition.type), generation, now) for condition in conditions]


def _stamp(condition: Condition, old: Mapping[str, Any] | None, generation: int, now: str) -> dict[str, Any]:
    status = {True: "True", False: "False", None: "Unknown"}[condition.status]
    same = old is not None and old.get("status") == status
    return {
        "type": condition.type,
        "status": status,
        "reason": condition.reason,
        "message": condition.message[:_MESSAGE_MAX],
        "observedGeneration": generation,
        "lastTransitionTime": old["lastTransitionTime"] if old is not None and same else now,
    }
