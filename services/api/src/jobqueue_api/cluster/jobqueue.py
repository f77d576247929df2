"""What the API needs to know of a JobQueue, read from the object of the API server. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from jobqueue_api.wake import JobQueueRef
from jobqueue_core.settings.fields import FIFO_SUFFIX, QueueName, QueueUrl, SqsQueueName
from jobqueue_core.settings.queue import QueueSettings, overlay, resolve_sqs
from jobqueue_core.settings.queue_sections import (
    BackoffSettings,
    DeadLetterSettings,
    RetrySettings,
    SqsSettings,
)
from jobqueue_core.settings.schedules import RecurringSettings, ScheduleName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.settings.fields import Section
    from jobqueue_core.settings.model import Settings

GROUP: Final = "jobqueue.dev"
VERSION: Final = "v1alpha1"
PLURAL: Final = "jobqueues"
WAKE: Final = f"{GROUP}/wake"
"""Annotation: when a job last came for a queue without workers (RFC 3339, UTC, with milliseconds)."""

_NAME: Final = TypeAdapter(ScheduleName)


class _Part(BaseModel):
    """A part of the object. What the API does not need is left to the operator, and to later versions."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", frozen=True, validate_by_alias=True, validate_by_name=True
    )


class _Metadata(_Part):
    namespace: str
    name: str
    uid: str
    creation_timestamp: str
    deletion_timestamp: str | None = None


class _DeadLetter(_Part):
    name: SqsQueueName | None = None


class _Queue(_Part):
    name: SqsQueueName | None = None
    url: QueueUrl | None = None
    jobs: QueueName | None = None
    dead_letter: _DeadLetter = _DeadLetter()


class _Spec(_Part):
    queue: _Queue
    retry: Mapping[str, Any] = {}
    schedules: tuple[Mapping[str, Any], ...] = ()
    suspend: str = "None"


class _Object(_Part):
    metadata: _Metadata
    spec: _Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class JobQueue:
    """A JobQueue, as far as the API is concerned.

    Attributes:
        ref: where it is.
        age: when it was made, and its uid, which decides between two of the same second.
        jobs: name by which jobs name its queue, unless the settings have the same queue.
        sqs: the names of its queues in SQS.
        retry: what it says of retries; what it leaves out is not set.
        schedules: its recurring jobs, by name; those that are not to be understood left out.
        faults: what is wrong with those; the operator tells the owner, too.
        deleting: it is on its way out.
        suspended: nobody is to work for it now.

    """

    ref: JobQueueRef
    age: tuple[str, str]
    jobs: str
    sqs: SqsSettings
    retry: RetrySettings
    schedules: Mapping[str, RecurringSettings] = field(default_factory=dict)
    faults: tuple[str, ...] = ()
    deleting: bool = False
    suspended: bool = False

    @property
    def identity(self) -> str:
        """Tells its SQS queue from others: its URL where that is given, else its name."""
        return self.sqs.queue_url or self.sqs.queue_name or ""


def ref_of(content: Mapping[str, Any]) -> JobQueueRef:
    """Return where an object is."""
    metadata = content["metadata"]
    return JobQueueRef(metadata["namespace"], metadata["name"])


def version_of(content: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what changes whenever an object has to be read anew: not with its status or annotations."""
    metadata = content["metadata"]
    return (metadata.get("uid"), metadata.get("generation"), metadata.get("deletionTimestamp"))


def read_jobqueue(content: Mapping[str, Any]) -> JobQueue:
    """Read an object of the API server.

    Raises:
        ValueError: it is not to be understood; the text says where.

    """
    known = _Object.model_validate(content)
    metadata, queue = known.metadata, known.spec.queue
    name = queue.name or (queue.url or "").rsplit("/", 1)[-1]
    if not name:
        message = "spec.queue has neither name nor url"
        raise ValueError(message)
    backoff = known.spec.retry.get("backoff")
    retry = _given(RetrySettings, known.spec.retry)
    schedules, faults = _schedules(known.spec.schedules)
    if isinstance(backoff, Mapping):
        retry["backoff"] = BackoffSettings.model_validate(_given(BackoffSettings, backoff))
    return JobQueue(
        ref=JobQueueRef(metadata.namespace, metadata.name),
        age=(metadata.creation_timestamp, metadata.uid),
        jobs=queue.jobs or name.removesuffix(FIFO_SUFFIX),
        sqs=SqsSettings(
            queue_name=queue.name,
            queue_url=queue.url,
            dead_letter=DeadLetterSettings(queue_name=queue.dead_letter.name),
            create=False,
        ),
        retry=RetrySettings.model_validate(retry),
        schedules=schedules,
        faults=faults,
        deleting=metadata.deletion_timestamp is not None,
        suspended=known.spec.suspend != "None",
    )


def _schedules(
    items: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, RecurringSettings], tuple[str, ...]]:
    """Return the schedules by name; one that is not to be understood costs the queue nothing else."""
    schedules: dict[str, RecurringSettings] = {}
    faults: list[str] = []
    for position, item in enumerate(items):
        try:
            name = _NAME.validate_python(item.get("name"))
            schedules[name] = RecurringSettings.model_validate(_given(RecurringSettings, item))
        except ValidationError as error:
            faults += [
                ".".join((f"spec.schedules[{position}]", *map(str, detail["loc"]))) + f": {detail['msg']}"
                for detail in error.errors(include_url=False)
            ]
    return schedules, tuple(faults)


def _given(section: type[Section], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return those values, in camel case, that the section has a setting for."""
    found = ((name, values.get(to_camel(name))) for name in section.model_fields)
    return {name: value for name, value in found if value is not None}


def queue_settings(settings: Settings, jobqueue: JobQueue) -> QueueSettings:
    """Return the settings of a JobQueue's queue: the top level with what the JobQueue says laid over it."""
    return QueueSettings(
        name=jobqueue.jobs,
        sqs=resolve_sqs(
            overlay(settings.sqs, jobqueue.sqs), named_by=jobqueue.sqs, default_queue_name=jobqueue.jobs
        ),
        processor=settings.processor,
        retry=overlay(settings.retry, jobqueue.retry),
        concurrency=settings.worker.concurrency,
        retention=settings.retention,
    )
