"""The effective settings of one queue: the top level with the queue's own settings laid over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, Field

from jobqueue_core.settings.errors import SettingProblem, SettingsError
from jobqueue_core.settings.fields import FIFO_SUFFIX, Section
from jobqueue_core.settings.queue_sections import (
    ProcessorSettings,
    QueueWorkerSettings,
    RetentionSettings,
    RetrySettings,
    SqsSettings,
)
from jobqueue_core.settings.schedules import RecurringSettings, ScheduleName

if TYPE_CHECKING:
    from collections.abc import Mapping

DEAD_LETTER_SUFFIX = "-dead-letter"
# A call ends with its time-out; its outcome is still to be written.
DRAIN_SLACK_SECONDS = 5.0

M = TypeVar("M", bound=BaseModel)


class QueueOverrides(Section):
    """What one queue has otherwise than the top level; only the keys that are set count."""

    sqs: SqsSettings = Field(default=SqsSettings(), description="As the section `sqs`.")
    processor: ProcessorSettings = Field(
        default=ProcessorSettings(), description="As the section `processor`."
    )
    retry: RetrySettings = Field(default=RetrySettings(), description="As the section `retry`.")
    worker: QueueWorkerSettings = Field(default=QueueWorkerSettings(), description="As the section `worker`.")
    retention: RetentionSettings = Field(
        default=RetentionSettings(), description="As the section `retention`."
    )
    schedules: dict[ScheduleName, RecurringSettings] = Field(
        default={}, description="Recurring jobs of this queue; those of the top level are not inherited."
    )


class UnknownQueueError(KeyError):
    """A queue was asked for that is not configured."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(name)
        self.name = name
        self.known = known

    def __str__(self) -> str:
        return f"queue {self.name!r} is not configured; known queues: {', '.join(self.known)}"


@dataclass(frozen=True, slots=True)
class QueueSqs:
    """The SQS queue of one queue, every name known.

    Attributes:
        queue_name: Name in SQS; the last part of `queue_url` where that is set.
        queue_url: The URL, where it was configured in place of a name.
        dead_letter_queue_name: Name of the dead-letter queue in SQS.
        max_receive_count: Receives before SQS itself moves a message there.
        create: Whether missing queues are created at start.
    """

    queue_name: str
    queue_url: str | None
    dead_letter_queue_name: str
    max_receive_count: int
    create: bool
    visibility_timeout_seconds: int
    receive_wait_seconds: int

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue (SQS demands the suffix)."""
        return self.queue_name.endswith(FIFO_SUFFIX)


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """Everything that holds for one queue."""

    name: str
    sqs: QueueSqs
    processor: ProcessorSettings
    retry: RetrySettings
    concurrency: int
    retention: RetentionSettings
    schedules: Mapping[str, RecurringSettings] = field(default_factory=dict)


def drain_seconds(configured: float | None, queue: QueueSettings) -> float:
    """Return how long a worker of the queue lets what it has begun go on after SIGTERM.

    Args:
        configured: `worker.drain_seconds`; None: enough for a call and for a receive that have just begun.
        queue: the worker's.
    """
    if configured is not None:
        return configured
    return max(queue.processor.timeout_seconds, queue.sqs.receive_wait_seconds) + DRAIN_SLACK_SECONDS


def overlay(base: M, over: BaseModel) -> M:
    """Return `base` with the keys that were set in `over`; mappings and sections merge, the rest replaces."""
    updates: dict[str, object] = {}
    for name in over.model_fields_set:
        value: object = getattr(over, name)
        current: object = getattr(base, name)
        if isinstance(value, BaseModel) and isinstance(current, BaseModel):
            updates[name] = overlay(current, value)
        elif isinstance(value, dict) and isinstance(current, dict):
            updates[name] = {**current, **value}
        else:
            updates[name] = value
    return base.model_copy(update=updates)


def dead_letter_name(queue_name: str) -> str:
    """Return the default name of a queue's dead-letter queue; FIFO for a FIFO queue (rule of SQS)."""
    stem = queue_name.removesuffix(FIFO_SUFFIX)
    return stem + DEAD_LETTER_SUFFIX + queue_name.removeprefix(stem)


def resolve_sqs(merged: SqsSettings, *, named_by: SqsSettings, default_queue_name: str) -> QueueSqs:
    """Return the SQS queue of one queue.

    Args:
        merged: The settings after inheritance.
        named_by: The settings in which this queue is named: names are not inherited.
        default_queue_name: Its name where neither name nor URL is set.
    """
    name = (
        named_by.queue_url.rsplit("/", 1)[-1]
        if named_by.queue_url
        else named_by.queue_name or default_queue_name
    )
    return QueueSqs(
        queue_name=name,
        queue_url=named_by.queue_url,
        dead_letter_queue_name=named_by.dead_letter.queue_name or dead_letter_name(name),
        max_receive_count=merged.dead_letter.max_receive_count,
        create=merged.create,
        visibility_timeout_seconds=merged.visibility_timeout_seconds,
        receive_wait_seconds=merged.receive_wait_seconds,
    )


def request_headers(queue: QueueSettings, env: Mapping[str, str]) -> dict[str, str]:
    """Return the configured headers of a queue's requests, with the values of `headers_from` read from `env`.

    Names are compared without case (RFC 9110); a later layer wins, and `headers_from` over `headers`.

    Raises:
        SettingsError: A variable that `headers_from` names is not set, or is not one line of text.
    """
    headers = {
        name.lower(): (name, value.get_secret_value()) for name, value in queue.processor.headers.items()
    }
    problems: list[SettingProblem] = []
    for source in queue.processor.headers_from:
        value = env.get(source.env, "")
        if value and value.isprintable():
            headers[source.name.lower()] = (source.name, value)
        else:
            path = f"processor.headers_from (queue {queue.name})"
            rule = (
                f"variable {source.env} must be set, to one line of text: the value of header {source.name}"
            )
            problems.append(SettingProblem(path, rule, source=f"env {source.env}"))
    if problems:
        raise SettingsError(tuple(problems))
    return dict(headers.values())


def require_processor_url(queue: QueueSettings) -> str:
    """Return the URL of the queue's external service, which a worker cannot do without.

    Raises:
        SettingsError: It is not set.
    """
    if queue.processor.url is None:
        path = f"processor.url (queue {queue.name})"
        raise SettingsError((SettingProblem(path, "a worker needs it: set it, or JOBQUEUE_PROCESSOR__URL"),))
    return queue.processor.url
