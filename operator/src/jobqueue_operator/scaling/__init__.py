"""The scaling policy: a pure function from (spec, observation, memory, now) to a decision.

Nothing here does I/O, reads a clock or imports anything beyond the standard library (and cronsim, which
is as pure), so that the same policy runs on a laptop, in a cluster and in a simulation.
"""

from jobqueue_operator.scaling.decision import Decision, Direction, Limit, Reason
from jobqueue_operator.scaling.estimate import drain_seconds
from jobqueue_operator.scaling.memory import Memory, Recommendation
from jobqueue_operator.scaling.observation import Observation, QueueCounts, Unknown
from jobqueue_operator.scaling.policy import decide
from jobqueue_operator.scaling.schedule import Schedule, schedule_floor
from jobqueue_operator.scaling.spec import (
    BacklogPerReplica,
    DrainSeconds,
    Fallback,
    Hold,
    InvalidScalingSpecError,
    ScaleDown,
    ScaleUp,
    ScalingSpec,
    Suspend,
)

__all__ = [
    "BacklogPerReplica",
    "Decision",
    "Direction",
    "DrainSeconds",
    "Fallback",
    "Hold",
    "InvalidScalingSpecError",
    "Limit",
    "Memory",
    "Observation",
    "QueueCounts",
    "Reason",
    "Recommendation",
    "ScaleDown",
    "ScaleUp",
    "ScalingSpec",
    "Schedule",
    "Suspend",
    "Unknown",
    "decide",
    "drain_seconds",
    "schedule_floor",
]
