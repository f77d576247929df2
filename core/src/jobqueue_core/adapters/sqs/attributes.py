"""A queue's settings as SQS spells them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from jobqueue_core.ports.queue import QueueCounts
from jobqueue_core.ports.queue_admin import Correction, QueueSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_aiobotocore_sqs.literals import QueueAttributeNameType

COUNTS: tuple[QueueAttributeNameType, ...] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
SETTINGS: tuple[QueueAttributeNameType, ...] = (
    "VisibilityTimeout",
    "MessageRetentionPeriod",
    "RedrivePolicy",
)


def counts_from(attributes: Mapping[QueueAttributeNameType, str]) -> QueueCounts:
    """Return the three counts of an answer."""
    visible, in_flight, delayed = (int(attributes[name]) for name in COUNTS)
    return QueueCounts(visible, in_flight, delayed)


def settings_from(attributes: Mapping[QueueAttributeNameType, str]) -> QueueSettings:
    """Return the settings of an answer."""
    policy = json.loads(attributes.get("RedrivePolicy") or "{}")
    receives = policy.get("maxReceiveCount")
    return QueueSettings(
        visibility_timeout_seconds=int(attributes["VisibilityTimeout"]),
        retention_seconds=int(attributes["MessageRetentionPeriod"]),
        dead_letter_arn=policy.get("deadLetterTargetArn"),
        max_receive_count=None if receives is None else int(receives),
    )


def attributes_of(settings: QueueSettings) -> dict[QueueAttributeNameType, str]:
    """Return the attributes to be set."""
    attributes: dict[QueueAttributeNameType, str] = {
        "MessageRetentionPeriod": str(settings.retention_seconds),
        "VisibilityTimeout": str(settings.visibility_timeout_seconds),
    }
    if settings.dead_letter_arn is not None:
        policy = {
            "deadLetterTargetArn": settings.dead_letter_arn,
            "maxReceiveCount": str(settings.max_receive_count),
        }
        attributes["RedrivePolicy"] = json.dumps(policy)
    return attributes


def creation_attributes(settings: QueueSettings, *, fifo: bool) -> dict[QueueAttributeNameType, str]:
    """Return the attributes of a new queue."""
    attributes = attributes_of(settings)
    if fifo:
        attributes["FifoQueue"] = "true"
    return attributes


def corrections(
    queue: str, wanted: QueueSettings, found: Mapping[QueueAttributeNameType, str]
) -> tuple[Correction, ...]:
    """Return what must be set on a queue.

    Compared by meaning: SQS gives a redrive policy back in its own spelling. A dead-letter queue may
    have a redrive policy of its own, which is nobody's business here.
    """
    is_now = attributes_of(settings_from(found))
    return tuple(
        Correction(queue, name, found.get(name), value)
        for name, value in attributes_of(wanted).items()
        if is_now.get(name) != value
    )
