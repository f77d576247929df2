"""What the user asks of the scaling of one queue."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class InvalidScalingSpecError(ValueError):
    """The scaling spec breaks its rules; every problem is `field: rule`."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Suspend(StrEnum):
    """Whether scaling is suspended, and what becomes of the running workers."""

    NONE = "None"
    HOLD = "Hold"
    """Keep the workers that run; change nothing."""
    HOLD_AND_DRAIN = "HoldAndDrain"
    """Go to zero, whatever the minimum is; busy workers finish first."""


@dataclass(frozen=True, slots=True)
class BacklogPerReplica:
    """Enough replicas that each has at most this many jobs waiting."""

    jobs: int

    def __post_init__(self) -> None:
        """Check the rule of the field."""
        if self.jobs < 1:
            raise InvalidScalingSpecError(
                (f"target.backlog_per_replica: must be at least 1, is {self.jobs}",)
            )


@dataclass(frozen=True, slots=True)
class DrainSeconds:
    """Enough replicas that what waits is done within this many seconds."""

    seconds: float

    def __post_init__(self) -> None:
        """Check the rule of the field."""
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            problem = f"target.drain_seconds: must be above 0, is {self.seconds}"
            raise InvalidScalingSpecError((problem,))


@dataclass(frozen=True, slots=True)
class Hold:
    """While a reading is unknown, keep the replicas there are."""


@dataclass(frozen=True, slots=True)
class Fallback:
    """While a reading is unknown, have at least this many replicas; never fewer than there are."""

    replicas: int


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """How fast replicas are added.

    `max_factor` bounds one step to `current x max_factor`; from zero, any number goes in one step.
    """

    max_factor: float = 10.0


@dataclass(frozen=True, slots=True)
class ScaleDown:
    """How carefully replicas are taken away.

    `stabilization_seconds`: never below the highest number wanted within this time.
    `protect_busy`: never below the number of workers with a job in hand.
    """

    stabilization_seconds: float = 60.0
    protect_busy: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingSpec:
    """The scaling part of a queue's spec, its names in snake case.

    Attributes:
        concurrency: Jobs that one replica runs at once.
        zero_after_seconds: How long queue and store must agree that there is nothing to do before
            the last replica goes.

    Raises:
        InvalidScalingSpecError: Naming every field that breaks its rule.
    """

    target: BacklogPerReplica | DrainSeconds
    max_replicas: int
    min_replicas: int = 0
    concurrency: int = 10
    scale_up: ScaleUp = field(default_factory=ScaleUp)
    scale_down: ScaleDown = field(default_factory=ScaleDown)
    zero_after_seconds: float = 120.0
    on_unknown: Hold | Fallback = field(default_factory=Hold)
    suspend: Suspend = Suspend.NONE

    def __post_init__(self) -> None:
        """Check the rules of each field and between fields."""
        problems = tuple(self._problems())
        if problems:
            raise InvalidScalingSpecError(problems)

    def _problems(self) -> Iterator[str]:
        if self.min_replicas < 0:
            yield f"min_replicas: must be at least 0, is {self.min_replicas}"
        if self.max_replicas < 1:
            yield f"max_replicas: must be at least 1, is {self.max_replicas}"
        if self.min_replicas > self.max_replicas:
            yield f"min_replicas: must be at most max_replicas ({self.max_replicas}), is {self.min_replicas}"
        if self.concurrency < 1:
            yield f"concurrency: must be at least 1, is {self.concurrency}"
        factor = self.scale_up.max_factor
        if not (math.isfinite(factor) and factor > 1):
            yield f"scale_up.max_factor: must be above 1, is {factor}"
        window = self.scale_down.stabilization_seconds
        if not (math.isfinite(window) and window >= 0):
            yield f"scale_down.stabilization_seconds: must be at least 0, is {window}"
        if not (math.isfinite(self.zero_after_seconds) and self.zero_after_seconds >= 0):
            yield f"zero_after_seconds: must be at least 0, is {self.zero_after_seconds}"
        if isinstance(self.on_unknown, Fallback) and not 0 <= self.on_unknown.replicas <= self.max_replicas:
            yield (
                f"on_unknown.replicas: must be from 0 to max_replicas ({self.max_replicas}), "
                f"is {self.on_unknown.replicas}"
            )
