"""`spec.scaling`: how many workers run."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, WithJsonSchema

from jobqueue_operator.resource.cron import Cron, TimeZone
from jobqueue_operator.resource.part import PRESERVE, Part
from jobqueue_operator.resource.rule import Rule

REPLICAS_MAX = 10_000
DEFAULT_BACKLOG_PER_REPLICA = 100
_MONTH_SECONDS = 31 * 86_400

_TARGET_RULES: tuple[Rule[ScalingTarget], ...] = (
    Rule(
        cel="has(self.backlogPerReplica) != has(self.drainSeconds)",
        message="must have exactly one of backlogPerReplica and drainSeconds",
        holds=lambda target: (target.backlog_per_replica is None) != (target.drain_seconds is None),
    ),
)


class ScalingTarget(Part):
    """What to scale by: exactly one of the two."""

    RULES: ClassVar[tuple[Rule[Any], ...]] = _TARGET_RULES

    backlog_per_replica: int | None = Field(
        default=None, ge=1, le=1_000_000_000, description="Jobs waiting for each worker."
    )
    drain_seconds: float | None = Field(
        default=None,
        gt=0,
        le=31_536_000,
        description="Time in which what is waiting shall be done, from measured service times.",
    )


class ScaleUpSpec(Part):
    """How fast to grow."""

    max_factor: float = Field(
        default=10.0,
        gt=1,
        le=1000,
        description="Grow at most to this many times the present workers at once; from zero, any number.",
    )


class ScaleDownSpec(Part):
    """How fast to shrink."""

    stabilization_seconds: float = Field(
        default=60.0, ge=0, le=86_400, description="Shrink only to the most that was wanted in this time."
    )
    protect_busy: bool = Field(default=True, description="Never shrink below the number of busy workers.")


class Fallback(Part):
    """What to run while the backlog cannot be read."""

    replicas: int = Field(
        ge=0, le=REPLICAS_MAX, description="At least so many workers; at most `maxReplicas`."
    )


def _form(value: object) -> str | None:
    """The form that a value of `onUnknown` has; None: neither."""
    if isinstance(value, (dict, Fallback)):
        return "(object)"
    return "(text)" if value == "Hold" else None


# A structural schema has no union of a text and an object. This has no type, and each keyword speaks of the
# values of one type only: a text must be `Hold`, an object must have `replicas` and nothing else, and no
# number, list or boolean passes.
OnUnknown = Annotated[
    Annotated[Literal["Hold"], Tag("(text)")] | Annotated[Fallback, Tag("(object)")],
    Discriminator(
        _form,
        custom_error_type="form",
        custom_error_message="must be Hold, or an object with replicas",
    ),
    WithJsonSchema(
        {
            PRESERVE: True,
            "pattern": "^Hold$",
            "properties": {
                "replicas": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": REPLICAS_MAX,
                    "description": "At least so many workers; at most `maxReplicas`.",
                }
            },
            "required": ["replicas"],
            "maxProperties": 1,
            "minimum": 1,
            "maximum": 0,
            "minItems": 1,
            "maxItems": 0,
            "not": {"enum": [True, False]},
        }
    ),
]


class ScheduleSpec(Part):
    """A floor of workers at certain times."""

    cron: Cron = Field(
        description="When it begins: minute, hour, day of month, month, day of week, as `0 8 * * 1-5`."
    )
    time_zone: TimeZone = Field(
        default="UTC", description="Time zone of `cron`, from the IANA database, as `Europe/Berlin`."
    )
    duration_seconds: int = Field(
        ge=60, le=_MONTH_SECONDS, description="How long it lasts from each beginning, in elapsed time."
    )
    min_replicas: int = Field(
        ge=0, le=REPLICAS_MAX, description="Fewest workers while it lasts; at most `maxReplicas`."
    )


_RULES: tuple[Rule[ScalingSection], ...] = (
    Rule(
        cel="self.minReplicas <= self.maxReplicas",
        message="must be at most maxReplicas",
        holds=lambda scaling: scaling.min_replicas <= scaling.max_replicas,
        field=".minReplicas",
    ),
    Rule(
        # CEL does not see a value whose schema has no type.
        cel=None,
        message="must be at most maxReplicas",
        holds=lambda scaling: (
            scaling.fallback_replicas is None or scaling.fallback_replicas <= scaling.max_replicas
        ),
        field=".onUnknown.replicas",
    ),
    Rule(
        cel="!has(self.schedules) || self.schedules.all(each, each.minReplicas <= self.maxReplicas)",
        message="must have minReplicas of at most maxReplicas",
        holds=lambda scaling: all(each.min_replicas <= scaling.max_replicas for each in scaling.schedules),
        field=".schedules",
    ),
)


class ScalingSection(Part):
    """How many workers run."""

    RULES: ClassVar[tuple[Rule[Any], ...]] = _RULES

    min_replicas: int = Field(
        default=0,
        ge=0,
        le=REPLICAS_MAX,
        description="Fewest workers; at most `maxReplicas`. `kubectl scale` sets it.",
    )
    max_replicas: int = Field(default=20, ge=1, le=REPLICAS_MAX, description="Most workers.")
    # No default in the schema: one that the API server had written would stand beside the other target as
    # soon as a later `kubectl apply` adds that, and both together are refused.
    target: ScalingTarget | None = Field(
        default=None, description="What to scale by. Unset: `backlogPerReplica: 100`."
    )
    poll_seconds: float = Field(default=5.0, ge=1, le=3600, description="How often the backlog is read.")
    scale_up: ScaleUpSpec = Field(default=ScaleUpSpec(), description="How fast to grow.")
    scale_down: ScaleDownSpec = Field(default=ScaleDownSpec(), description="How fast to shrink.")
    zero_after_seconds: float = Field(
        default=120.0,
        ge=0,
        le=86_400,
        description="Idle time, seen by SQS and database alike, before zero workers.",
    )
    on_unknown: OnUnknown = Field(
        default="Hold",
        description="While the backlog cannot be read: `Hold` keeps the workers, `replicas: n` runs at least "
        "n and never fewer than there are.",
    )
    schedules: tuple[ScheduleSpec, ...] = Field(
        default=(),
        max_length=20,
        description="Floors of workers at certain times; of those that overlap the highest counts.",
    )

    @property
    def fallback_replicas(self) -> int | None:
        """The floor while the backlog cannot be read; None: hold."""
        return self.on_unknown.replicas if isinstance(self.on_unknown, Fallback) else None
