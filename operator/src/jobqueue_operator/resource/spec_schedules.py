"""`spec.schedules`: recurring jobs of the queue.

(`spec.scaling.schedules` is another thing: floors of workers at certain times.)
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from jobqueue_core.domain.message import GROUP_ID
from jobqueue_core.settings.schedules import LABELS_MAX
from jobqueue_operator.resource.cron import Cron, TimeZone
from jobqueue_operator.resource.part import PRESERVE, Part
from jobqueue_operator.resource.rule import matches

SCHEDULES_MAX = 50
_LABEL_MAX = 63
_LABEL = r"[A-Za-z0-9._/-]{1,63}"
_LABELS = "keys and values must be 1 to 63 of the characters A-Z a-z 0-9 . _ / -"

Name = Annotated[
    str,
    Field(max_length=63),
    matches(r"[A-Za-z0-9_-]{1,63}", "must be 1 to 63 letters, digits, - and _"),
]
OrderingKey = Annotated[
    str,
    Field(max_length=128),
    matches(GROUP_ID.pattern, "must be 1 to 128 letters, digits or ASCII punctuation characters"),
]
Label = Annotated[str, Field(max_length=_LABEL_MAX), matches(_LABEL, _LABELS)]
Payload = Annotated[dict[str, Any], WithJsonSchema({"type": "object", PRESERVE: True})]


class RecurringSpec(Part):
    """One schedule: at each time of `cron` a job is submitted to the queue."""

    name: Name = Field(
        description="Tells it from the queue's other schedules; each of its jobs has it as the label "
        "`schedule`."
    )
    cron: Cron = Field(
        description="When a job is due: minute, hour, day of month, month, day of week, as `0 8 * * 1-5`."
    )
    time_zone: TimeZone = Field(
        default="UTC", description="Time zone of `cron`, from the IANA database, as `Europe/Berlin`."
    )
    payload: Payload = Field(
        default={}, description="What the external service gets with each job: any JSON object."
    )
    missed: Literal["skip", "latest", "all"] = Field(
        default="latest",
        description="What becomes of due times at which no relay ran, or the database was away, for a minute "
        "or longer: `skip` passes them over, `latest` submits the newest of them, `all` each of them.",
    )
    max_attempts: int | None = Field(
        default=None, ge=1, le=100, description="Attempts of each job. Unset: `retry.maxAttempts`."
    )
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=36_000,
        description="Longest wait for one answer of the external service. Unset: as for every job of the "
        "queue.",
    )
    ordering_key: OrderingKey | None = Field(default=None, description="`orderingKey` of each job.")
    labels: dict[str, Label] = Field(
        default={}, max_length=LABELS_MAX, description="At most 15 labels of each job, beside `schedule`."
    )
    suspended: bool = Field(
        default=False, description="Let due times pass; they are not made up for afterwards."
    )
