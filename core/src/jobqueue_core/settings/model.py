"""All settings: one immutable tree, and the effective settings of each queue."""

from __future__ import annotations

from pydantic import Field

from jobqueue_core.settings.fields import QueueName, Section
from jobqueue_core.settings.operator_section import OperatorSettings
from jobqueue_core.settings.queue import (
    QueueOverrides,
    QueueSettings,
    UnknownQueueError,
    overlay,
    resolve_sqs,
)
from jobqueue_core.settings.queue_sections import (
    ProcessorSettings,
    QueueWorkerSettings,
    RetentionSettings,
    RetrySettings,
    SqsSettings,
)
from jobqueue_core.settings.schedules import RecurringSettings, ScheduleName
from jobqueue_core.settings.service_sections import (
    ApiSettings,
    LoggingSettings,
    MongodbSettings,
    RelaySettings,
    ScalingSettings,
    SecretRefSettings,
    WorkerSettings,
)

DEFAULT_SQS_QUEUE_NAME = "jobs"


class Settings(Section):
    """The settings of every part of the product."""

    mongodb: MongodbSettings = Field(description="The database, which holds the truth about every job.")
    sqs: SqsSettings = Field(default=SqsSettings(), description="The SQS queue that carries the jobs.")
    processor: ProcessorSettings = Field(
        default=ProcessorSettings(), description="The external HTTP service that does the work."
    )
    retry: RetrySettings = Field(
        default=RetrySettings(), description="How often a job is attempted, and when again."
    )
    worker: WorkerSettings = Field(default=WorkerSettings(), description="One worker process.")
    retention: RetentionSettings = Field(
        default=RetentionSettings(), description="How long finished jobs are kept in the database."
    )
    api: ApiSettings = Field(default=ApiSettings(), description="The REST API.")
    relay: RelaySettings = Field(
        default=RelaySettings(), description="The relay sends what a crash or an outage of SQS left unsent."
    )
    scaling: ScalingSettings = Field(
        default=ScalingSettings(),
        description="How many workers run, where the product itself starts them (`jobqueue up`). "
        "On Kubernetes the JobQueue says it, in the same names.",
    )
    operator: OperatorSettings = Field(
        default=OperatorSettings(), description="The operator, in a Kubernetes cluster."
    )
    logging: LoggingSettings = Field(default=LoggingSettings(), description="What is logged, and how.")
    default_queue: QueueName = Field(
        default="default", description="Queue of a job that names none; always exists, made of the top level."
    )
    schedules: dict[ScheduleName, RecurringSettings] = Field(
        default={}, description="Recurring jobs of the default queue, name to schedule."
    )
    queues: dict[QueueName, QueueOverrides] = Field(
        default={},
        description="More queues: name to what it has otherwise than the top level.",
    )
    secrets: dict[str, SecretRefSettings] = Field(
        default={},
        description="Settings whose values are in AWS Secrets Manager: dotted setting to secret.",
    )

    @property
    def queue_names(self) -> tuple[str, ...]:
        """The names of all queues, the default queue first."""
        return (self.default_queue, *(name for name in self.queues if name != self.default_queue))

    def queue(self, name: str | None = None) -> QueueSettings:
        """Return the effective settings of a queue (of the default queue when no name is given).

        Raises:
            UnknownQueueError: No such queue is configured.
        """
        name = self.default_queue if name is None else name
        if name not in self.queue_names:
            raise UnknownQueueError(name, self.queue_names)
        own = self.queues.get(name, QueueOverrides())
        sqs = overlay(self.sqs, own.sqs)
        is_default = name == self.default_queue
        return QueueSettings(
            name=name,
            sqs=resolve_sqs(
                sqs,
                named_by=sqs if is_default else own.sqs,
                default_queue_name=DEFAULT_SQS_QUEUE_NAME if is_default else name,
            ),
            processor=overlay(self.processor, own.processor),
            retry=overlay(self.retry, own.retry),
            concurrency=overlay(
                QueueWorkerSettings(concurrency=self.worker.concurrency), own.worker
            ).concurrency,
            retention=overlay(self.retention, own.retention),
            schedules={**self.schedules, **own.schedules} if is_default else own.schedules,
        )
