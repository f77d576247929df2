"""The limits in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_operator.scaling.decision import Limit

if TYPE_CHECKING:
    from datetime import datetime

    from jobqueue_operator.scaling.memory import Memory
    from jobqueue_operator.scaling.observation import Observation
    from jobqueue_operator.scaling.spec import ScalingSpec


def explain(limit: Limit | None, spec: ScalingSpec, seen: Observation, memory: Memory, now: datetime) -> str:
    """The end of a decision's message: what the limit did, with its numbers; empty without a limit."""
    match limit:
        case None:
            return ""
        case Limit.MIN_REPLICAS:
            text = f"minReplicas is {spec.min_replicas}"
        case Limit.MAX_REPLICAS:
            text = f"maxReplicas is {spec.max_replicas}"
        case Limit.MAX_FACTOR:
            text = f"one step is at most {spec.scale_up.max_factor:g} times {seen.current}"
        case Limit.CIRCUIT_OPEN:
            text = "the external service is failing, so none are added"
        case Limit.STABILIZATION:
            window = spec.scale_down.stabilization_seconds
            text = f"up to {memory.highest()} were wanted within the last {window:g} s"
        case Limit.PROTECT_BUSY:
            text = f"{seen.busy_workers} workers are busy"
        case _:  # Limit.ZERO_AFTER
            text = _why_not_zero(spec, memory.empty_for(now))
    return f"; {text}"


def _why_not_zero(spec: ScalingSpec, empty_for: float | None) -> str:
    if empty_for is None:
        return "the last one stays while a message is in flight or delayed, or a job unfinished"
    return f"empty for {empty_for:.0f} s, the last one goes after {spec.zero_after_seconds:g} s"
