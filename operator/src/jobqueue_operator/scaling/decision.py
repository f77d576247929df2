"""What the policy answers: a number of replicas and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobqueue_operator.scaling.memory import Memory


class Direction(StrEnum):
    """Which way a decision goes."""

    UP = "up"
    DOWN = "down"
    NONE = "none"


class Reason(StrEnum):
    """Why the number is what it is. Stable: used in the status, events, metrics and the log."""

    BACKLOG_ABOVE_TARGET = "BacklogAboveTarget"
    BACKLOG_BELOW_TARGET = "BacklogBelowTarget"
    ARRIVAL_RATE = "ArrivalRate"
    SCHEDULE = "Schedule"
    QUEUE_EMPTY = "QueueEmpty"
    ON_TARGET = "OnTarget"
    MIN_REPLICAS = "MinReplicas"
    MAX_REPLICAS = "MaxReplicas"
    CIRCUIT_OPEN = "CircuitOpen"
    STABILIZING = "Stabilizing"
    WORKERS_BUSY = "WorkersBusy"
    ZERO_PENDING = "ZeroPending"
    READING_UNKNOWN = "ReadingUnknown"
    FALLBACK = "Fallback"
    SUSPENDED = "Suspended"
    DRAINING = "Draining"


class Limit(StrEnum):
    """The rule of the spec that kept the number from what was wanted, by the name of its field."""

    MIN_REPLICAS = "minReplicas"
    MAX_REPLICAS = "maxReplicas"
    MAX_FACTOR = "scaleUp.maxFactor"
    CIRCUIT_OPEN = "circuitOpen"
    STABILIZATION = "scaleDown.stabilizationSeconds"
    PROTECT_BUSY = "scaleDown.protectBusy"
    ZERO_AFTER = "zeroAfterSeconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One answer of the policy.

    Attributes:
        from_: Replicas asked for before.
        to: Replicas to ask for now.
        wanted: What target and schedule ask for before any limit.
        limited_by: The limit that set `to`, the last one to act; None when none did.
        reason: Stable code: the cause of a change, or what holds the number where it is.
        message: A sentence for people, with the numbers.
        memory: To be passed to the next decision.
    """

    from_: int
    to: int
    wanted: int
    limited_by: Limit | None
    reason: Reason
    message: str
    memory: Memory

    @property
    def changed(self) -> bool:
        """Whether the number of replicas is to be changed."""
        return self.to != self.from_

    @property
    def direction(self) -> Direction:
        """Which way the number of replicas goes."""
        if self.to == self.from_:
            return Direction.NONE
        return Direction.UP if self.to > self.from_ else Direction.DOWN

    def for_log(self) -> dict[str, object]:
        """Return what a log line says of it, the same wherever it was decided."""
        return {
            "replicas_from": self.from_,
            "replicas_to": self.to,
            "wanted": self.wanted,
            "limited_by": self.limited_by,
            "reason": self.reason,
            "detail": self.message,
        }
