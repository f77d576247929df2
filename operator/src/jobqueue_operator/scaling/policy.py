"""The scaling decision."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from jobqueue_operator.scaling.decision import Decision, Limit, Reason
from jobqueue_operator.scaling.demand import demand_of
from jobqueue_operator.scaling.observation import Unknown
from jobqueue_operator.scaling.spec import Fallback, Suspend
from jobqueue_operator.scaling.wording import explain

if TYPE_CHECKING:
    from datetime import datetime

    from jobqueue_operator.scaling.demand import Demand
    from jobqueue_operator.scaling.memory import Memory
    from jobqueue_operator.scaling.observation import Observation, QueueCounts
    from jobqueue_operator.scaling.spec import ScalingSpec

_HELD_BY: dict[Limit | None, Reason] = {
    None: Reason.ON_TARGET,
    Limit.MIN_REPLICAS: Reason.MIN_REPLICAS,
    Limit.MAX_REPLICAS: Reason.MAX_REPLICAS,
    Limit.CIRCUIT_OPEN: Reason.CIRCUIT_OPEN,
    Limit.STABILIZATION: Reason.STABILIZING,
    Limit.PROTECT_BUSY: Reason.WORKERS_BUSY,
    Limit.ZERO_AFTER: Reason.ZERO_PENDING,
}


def decide(spec: ScalingSpec, observation: Observation, memory: Memory, now: datetime) -> Decision:
    """Decide how many replicas a queue should have.

    In this order: an unknown reading holds; a suspended queue holds or drains; the target and the
    schedule say what is wanted; minimum, maximum, step and back-pressure limit it; going down is
    stabilised, spares busy workers, and reaches zero only after queue and store have agreed for
    `zero_after_seconds` that nothing is left. Pure: the same arguments give the same decision.

    Args:
        spec: What the user asks for.
        observation: What was seen just now.
        memory: That of the previous decision; `Memory()` after a start.
        now: Aware time of the observation.
    """
    queue, store_waiting = observation.queue, observation.store_waiting
    if isinstance(queue, Unknown) or isinstance(store_waiting, Unknown):
        decision = _decide_blindly(spec, observation, memory, now)
    elif spec.suspend is not Suspend.NONE:
        decision = _decide_suspended(spec, observation, memory)
    else:
        decision = _decide_knowingly(spec, observation, (queue, store_waiting), memory, now)
    return replace(decision, memory=decision.memory.scaled(now)) if decision.changed else decision


def _decide_blindly(spec: ScalingSpec, seen: Observation, memory: Memory, now: datetime) -> Decision:
    """Never down. Up to what needs no reading: the minimum, the schedule, the user's fallback."""
    current = seen.current
    to, limit, reason = current, None, Reason.READING_UNKNOWN
    if spec.suspend is Suspend.NONE:
        fallback = spec.on_unknown.replicas if isinstance(spec.on_unknown, Fallback) else 0
        scheduled = min(seen.schedule_floor, spec.max_replicas)
        to = max(current, fallback, scheduled, spec.min_replicas)
        if to > current:
            if to == fallback:
                reason = Reason.FALLBACK
            elif to == spec.min_replicas:
                reason, limit = Reason.MIN_REPLICAS, Limit.MIN_REPLICAS
            else:
                reason = Reason.SCHEDULE
    # What is held counts as wanted: once readings are back, going down waits a whole window.
    window = spec.scale_down.stabilization_seconds
    memory = memory.recommend(now, to, window_seconds=window).see_empty(now, empty=False)
    because = f"the reading is unknown ({seen.unknown_reason})"
    return _decision(seen, to, to, limit, reason, because, memory)


def _decide_suspended(spec: ScalingSpec, seen: Observation, memory: Memory) -> Decision:
    memory = memory.restarted()
    if spec.suspend is Suspend.HOLD:
        because = "the queue is suspended"
        return _decision(seen, seen.current, seen.current, None, Reason.SUSPENDED, because, memory)
    to, limit = _spare_busy(spec, seen, 0, None)
    reason = Reason.DRAINING if seen.current else Reason.SUSPENDED
    because = "the queue is suspended and drains"
    if limit is not None:
        because += f"; {seen.busy_workers} workers are busy"
    return _decision(seen, to, 0, limit, reason, because, memory)


def _decide_knowingly(
    spec: ScalingSpec, seen: Observation, counts: tuple[QueueCounts, int], memory: Memory, now: datetime
) -> Decision:
    queue, store_waiting = counts
    demand = demand_of(spec, seen, queue, store_waiting)
    to, limit = _within_bounds(spec, demand.wanted)

    window = spec.scale_down.stabilization_seconds
    if not memory.recommendations:
        # After a start nothing is known of the past: what runs was wanted.
        memory = memory.recommend(now, seen.current, window_seconds=window)
    messages = queue.visible + queue.in_flight + queue.delayed
    empty = messages + store_waiting + seen.busy_workers + seen.busy_slots == 0
    memory = memory.recommend(now, to, window_seconds=window).see_empty(now, empty=empty)

    if to > seen.current:
        to, limit = _grow(spec, seen, to, limit)
    elif to < seen.current:
        to, limit = _shrink(spec, seen, to, limit, memory, now)

    because = demand.sentence + explain(limit, spec, seen, memory, now)
    reason = _reason(spec, seen.current, to, limit, demand)
    return _decision(seen, to, demand.wanted, limit, reason, because, memory)


def _within_bounds(spec: ScalingSpec, wanted: int) -> tuple[int, Limit | None]:
    if wanted > spec.max_replicas:
        return spec.max_replicas, Limit.MAX_REPLICAS
    if wanted < spec.min_replicas:
        return spec.min_replicas, Limit.MIN_REPLICAS
    return wanted, None


def _grow(spec: ScalingSpec, seen: Observation, to: int, limit: Limit | None) -> tuple[int, Limit | None]:
    """Bound one step up. Minimum and schedule are no guess from readings: they pass at once."""
    promised = min(max(spec.min_replicas, seen.schedule_floor), spec.max_replicas)
    if seen.current > 0:
        step = max(seen.current + 1, math.floor(seen.current * spec.scale_up.max_factor), promised)
        if step < to:
            to, limit = step, Limit.MAX_FACTOR
    if seen.circuit_open:
        # With no worker at all nobody would ever find out that the service is back: one may start.
        allowed = max(seen.current, promised, 1)
        if allowed < to:
            to, limit = allowed, Limit.CIRCUIT_OPEN
    return to, limit


def _shrink(
    spec: ScalingSpec, seen: Observation, to: int, limit: Limit | None, memory: Memory, now: datetime
) -> tuple[int, Limit | None]:
    stable = min(memory.highest(), spec.max_replicas, seen.current)
    if stable > to:
        to, limit = stable, Limit.STABILIZATION
    to, limit = _spare_busy(spec, seen, to, limit)
    if to == 0:
        empty_for = memory.empty_for(now)
        if empty_for is None or empty_for < spec.zero_after_seconds:
            to, limit = 1, Limit.ZERO_AFTER
    return to, limit


def _spare_busy(
    spec: ScalingSpec, seen: Observation, to: int, limit: Limit | None
) -> tuple[int, Limit | None]:
    """Never below the busy workers, not even for a lowered maximum: they end when they are done."""
    spared = min(seen.busy_workers, seen.current) if spec.scale_down.protect_busy else 0
    return (spared, Limit.PROTECT_BUSY) if spared > to else (to, limit)


def _reason(spec: ScalingSpec, current: int, to: int, limit: Limit | None, demand: Demand) -> Reason:
    if to > current:
        return Reason.MIN_REPLICAS if limit is Limit.MIN_REPLICAS else demand.driver
    if to == current:
        return _HELD_BY.get(limit, Reason.ON_TARGET)
    if to == 0:
        return Reason.QUEUE_EMPTY
    return Reason.MAX_REPLICAS if demand.wanted > spec.max_replicas else Reason.BACKLOG_BELOW_TARGET


def _decision(
    seen: Observation, to: int, wanted: int, limit: Limit | None, reason: Reason, because: str, memory: Memory
) -> Decision:
    head = f"stays at {to}" if to == seen.current else f"from {seen.current} to {to}"
    return Decision(
        from_=seen.current,
        to=to,
        wanted=wanted,
        limited_by=limit,
        reason=reason,
        message=f"{head}: {because}",
        memory=memory,
    )
