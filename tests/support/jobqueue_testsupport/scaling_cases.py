"""What the rows of the scaling policy's tables are made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from jobqueue_operator.scaling import (
    BacklogPerReplica,
    DrainSeconds,
    Limit,
    Memory,
    Observation,
    QueueCounts,
    Reason,
    Recommendation,
    ScaleDown,
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


STABLE = replace(SPEC, scale_down=ScaleDown(stabilization_seconds=60))
WAITS = replace(SPEC, zero_after_seconds=120)
EMPTY_LONG = Memory(recommendations=(Recommendation(ago(5), 0),), empty_since=ago(120))
NO_QUEUE = replace(IDLE, current=5, queue=Unknown("queue: timed out"))
NO_STORE = replace(IDLE, current=5, store_waiting=Unknown("store: no primary"))
HELD = replace(SPEC, suspend=Suspend.HOLD)
DRAINED = replace(SPEC, suspend=Suspend.HOLD_AND_DRAIN, min_replicas=2)


def check(case: Case) -> None:
    """Hold the policy's decision against a row."""
    decision = decide(case.spec, case.seen, case.memory, NOW)
    assert (decision.to, decision.reason, decision.limited_by) == (case.to, case.reason, case.limited_by)
    assert decision.from_ == case.seen.current
    assert decision.changed is (case.to != case.seen.current)


def row_id(case: Case) -> str:
    """Return a row's name as pytest shows it."""
    return case.name.replace(" ", "_")
