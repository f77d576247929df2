"""`spec` of a JobQueue."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from jobqueue_core.settings.rules import RECEIVES_PER_ATTEMPT
from jobqueue_operator.resource.part import Part, keyed_by, one_each
from jobqueue_operator.resource.rule import Rule
from jobqueue_operator.resource.spec_processor import ProcessorSpec, RetrySpec
from jobqueue_operator.resource.spec_queue import QueueSpec
from jobqueue_operator.resource.spec_scaling import ScalingSection
from jobqueue_operator.resource.spec_schedules import SCHEDULES_MAX, RecurringSpec
from jobqueue_operator.resource.spec_worker import WorkerSpec

_RULES: tuple[Rule[JobQueueSpec], ...] = (
    Rule(
        cel="!has(self.worker.template) || has(self.processor)",
        message="must be given where worker.template is: the workers that are made need a service to call",
        holds=lambda spec: spec.worker.template is None or spec.processor is not None,
        field=".processor",
    ),
    Rule(
        cel="!has(self.processor) || "
        "double(self.queue.visibilityTimeoutSeconds) > double(self.processor.timeoutSeconds)",
        message="must be longer than processor.timeoutSeconds, "
        "or the message appears again while its job still runs",
        holds=lambda spec: (
            spec.processor is None or spec.queue.visibility_timeout_seconds > spec.processor.timeout_seconds
        ),
        field=".queue.visibilityTimeoutSeconds",
    ),
    Rule(
        cel=f"self.queue.deadLetter.maxReceiveCount >= {RECEIVES_PER_ATTEMPT} * self.retry.maxAttempts",
        message=f"must be at least {RECEIVES_PER_ATTEMPT} × retry.maxAttempts: "
        "shutdowns of workers consume receives too",
        holds=lambda spec: (
            spec.queue.dead_letter.max_receive_count >= RECEIVES_PER_ATTEMPT * spec.retry.max_attempts
        ),
        field=".queue.deadLetter.maxReceiveCount",
    ),
    Rule(
        # The API server tells the names apart by the type of the list.
        cel=None,
        message="must have one entry a name",
        holds=lambda spec: one_each(tuple(schedule.name for schedule in spec.schedules)),
        field=".schedules",
    ),
)


class JobQueueSpec(Part):
    """What the user asks for: a queue, who works for it, and how many."""

    RULES: ClassVar[tuple[Rule[Any], ...]] = _RULES

    queue: QueueSpec = Field(
        description="The SQS queue that carries the jobs. Which queue it is cannot be changed."
    )
    processor: ProcessorSpec | None = Field(
        default=None,
        description="The external HTTP service that does the work. Required with `worker.template`; "
        "workers of an existing Deployment may have their own.",
    )
    retry: RetrySpec = Field(default=RetrySpec(), description="How often a job is attempted, and when again.")
    worker: WorkerSpec = Field(
        description="Who works for the queue: exactly one of `scaleTargetRef` and `template`."
    )
    scaling: ScalingSection = Field(default=ScalingSection(), description="How many workers run.")
    schedules: tuple[RecurringSpec, ...] = Field(
        default=(),
        max_length=SCHEDULES_MAX,
        json_schema_extra=keyed_by("name"),
        description="Recurring jobs: at each time of its `cron` a job is submitted. "
        "(`scaling.schedules` is another thing: floors of workers.)",
    )
    suspend: Literal["None", "Hold", "HoldAndDrain"] = Field(
        default="None",
        description="`Hold` keeps the number of workers as it is. `HoldAndDrain` goes to zero, whatever "
        "`minReplicas` is; busy workers finish first.",
    )
