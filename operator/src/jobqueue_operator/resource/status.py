"""`status` of a JobQueue: what the operator saw, did and thinks. Only the operator writes it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from jobqueue_operator.resource.part import Part, keyed_by

Count = Annotated[int, Field(ge=0)]


class QueueStatus(Part):
    """The queue that is looked after."""

    url: str | None = Field(default=None, description="URL of the queue.")
    dead_letter_url: str | None = Field(default=None, description="URL of its dead-letter queue.")
    jobs: str | None = Field(default=None, description="Name by which jobs name the queue.")


class BacklogStatus(Part):
    """The approximate counts of SQS; absent while they cannot be read."""

    visible: Count = Field(description="Messages that are ready to be received.")
    in_flight: Count = Field(
        description="Messages that were received and are neither deleted nor timed out: running jobs, and "
        "retries that wait for their backoff."
    )
    delayed: Count = Field(description="Messages that are not due yet.")


class LastDecision(Part):
    """The newest change of the number of workers, and why."""

    time: datetime = Field(description="When it was decided.")
    from_: Count = Field(alias="from", description="Workers asked for before.")
    to: Count = Field(description="Workers asked for since.")
    wanted: Count = Field(description="What target and schedules ask for before any limit.")
    limited_by: str | None = Field(
        default=None, description="Field that kept the number from the wanted one; absent: none did."
    )
    reason: str = Field(description="Stable code of the cause, as `BacklogAboveTarget`.")
    message: str | None = Field(default=None, description="The decision in a sentence, with its numbers.")


class ConditionStatus(Part):
    """A condition, as Kubernetes writes them (`metav1.Condition`)."""

    type: str = Field(
        max_length=316,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9_./-]*[A-Za-z0-9])?$",
        description="`Ready`, `QueueReachable`, `ScalingActive`, `ScalingLimited` or `Suspended`.",
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that it was found for."
    )
    last_transition_time: datetime = Field(description="When `status` last changed.")
    reason: str = Field(
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
        description="Stable code of the cause.",
    )
    message: str = Field(max_length=32_768, description="A sentence for people, with what to do.")


class JobQueueStatus(Part):
    """What the operator saw, did and thinks."""

    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that the status is about."
    )
    replicas: Count | None = Field(default=None, description="Workers that the target asks for.")
    ready_replicas: Count | None = Field(default=None, description="Of those, ready.")
    desired_replicas: Count | None = Field(default=None, description="Workers that were decided on last.")
    selector: str | None = Field(
        default=None, description="Label selector of the workers' pods, for the scale subresource."
    )
    queue: QueueStatus | None = Field(default=None, description="The queue that is looked after.")
    backlog: BacklogStatus | None = Field(
        default=None, description="The approximate counts of SQS; absent while they cannot be read."
    )
    dead_letters: Count | None = Field(default=None, description="Messages in the dead-letter queue.")
    oldest_age_seconds: Count | None = Field(
        default=None, description="Age of the oldest job that is due and waits, in whole seconds."
    )
    arrival_per_second: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Measured rate of new jobs."
    )
    service_seconds: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="Measured mean duration of one attempt."
    )
    drain_seconds: Count | None = Field(
        default=None,
        description="Estimated time until what is waiting is done, in whole seconds, at the present workers.",
    )
    last_scale_time: datetime | None = Field(
        default=None, description="When the number of workers was last changed."
    )
    last_decision: LastDecision | None = Field(
        default=None, description="The newest change of the number of workers, and why."
    )
    conditions: tuple[ConditionStatus, ...] = Field(
        default=(),
        max_length=20,
        json_schema_extra=keyed_by("type"),
        description="How things stand: `Ready`, `QueueReachable`, `ScalingActive`, `ScalingLimited`, "
        "`Suspended`.",
    )
