"""What the target and the schedule ask for, before any limit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_operator.scaling.decision import Reason
from jobqueue_operator.scaling.spec import BacklogPerReplica

if TYPE_CHECKING:
    from jobqueue_operator.scaling.observation import Observation, QueueCounts
    from jobqueue_operator.scaling.spec import ScalingSpec

ASSUMED_SERVICE_SECONDS = 1.0
"""Service time until one is measured.

Not the processor's time-out, which is many times what calls really take and would start many times
the replicas. Guessing low is put right at the next reading, a moment after the first job is done;
guessing high stays for the whole stabilisation window.
"""

_FLOAT_NOISE_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Demand:
    """The number wanted, what makes it so, and the sum that led to it in words."""

    wanted: int
    driver: Reason
    sentence: str


def demand_of(spec: ScalingSpec, seen: Observation, queue: QueueCounts, store_waiting: int) -> Demand:
    """Turn readings into a number of replicas.

    Work that nobody does (`waiting`) adds replicas. Work in hand (`running`, the busy slots) keeps
    replicas that exist but adds none: more workers would not make it finish sooner.

    `waiting` is the larger of the visible messages and of what the store knows to be due and not
    running. The queue's counts are approximate and late, and a job that was accepted while the
    queue was away is in the store alone. In-flight messages are not counted: on this queue a retry
    in its backoff is one. Delayed messages are not due. Both keep the last replica (see `policy`).
    """
    waiting = max(queue.visible, store_waiting - seen.busy_slots)
    for_waiting = _replicas_for(spec, seen, waiting)
    for_all = _replicas_for(spec, seen, waiting + seen.busy_slots)
    wanted = max(for_waiting, min(for_all, seen.current))
    driver = Reason.BACKLOG_ABOVE_TARGET
    sentence = f"{_describe(spec, seen, waiting)} want {_replicas(wanted)}"

    arriving = _replicas_for_arrivals(spec, seen)
    if arriving > wanted:
        wanted, driver = arriving, Reason.ARRIVAL_RATE
        sentence += f", {seen.arrival_per_second:.3g} arriving a second want {arriving}"
    if seen.schedule_floor > wanted:
        wanted, driver = seen.schedule_floor, Reason.SCHEDULE
        sentence += f", the schedule wants {wanted}"
    return Demand(wanted, driver, sentence)


def _replicas_for(spec: ScalingSpec, seen: Observation, jobs: int) -> int:
    if jobs <= 0:
        return 0
    if isinstance(spec.target, BacklogPerReplica):
        return -(-jobs // spec.target.jobs)
    busy_seconds = jobs * _service_seconds(seen) / spec.concurrency
    return max(1, _ceil(busy_seconds / spec.target.seconds))


def _replicas_for_arrivals(spec: ScalingSpec, seen: Observation) -> int:
    """Replicas that keep up with new jobs; a floor, for the drain target, from measurements only."""
    if isinstance(spec.target, BacklogPerReplica):
        return 0
    if seen.service_seconds is None or seen.arrival_per_second is None:
        return 0
    load = seen.arrival_per_second * seen.service_seconds / spec.concurrency
    # The long tail of an averaged rate must not keep the last replica for ever.
    if load < 1 and seen.arrival_per_second * spec.zero_after_seconds < 1:
        return 0
    return _ceil(load)


def _service_seconds(seen: Observation) -> float:
    return ASSUMED_SERVICE_SECONDS if seen.service_seconds is None else seen.service_seconds


def _ceil(value: float) -> int:
    """Round up, but not for the noise in the last digits of a float."""
    return math.ceil(round(value, _FLOAT_NOISE_DIGITS))


def _describe(spec: ScalingSpec, seen: Observation, waiting: int) -> str:
    jobs = f"{waiting} waiting and {seen.busy_slots} running jobs"
    if isinstance(spec.target, BacklogPerReplica):
        return f"{jobs} at {spec.target.jobs} waiting a replica"
    assumed = " (assumed)" if seen.service_seconds is None else ""
    return (
        f"{jobs} of {_service_seconds(seen):.3g} s{assumed} with {spec.concurrency} at once a replica, "
        f"to be done in {spec.target.seconds:g} s,"
    )


def _replicas(number: int) -> str:
    return f"{number} replica" if number == 1 else f"{number} replicas"
