"""Finding a queue and its dead-letter queue, or making them as a plan says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_core.adapters.sqs.client import error_code
from jobqueue_core.domain.errors import QueueUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_aiobotocore_sqs.literals import QueueAttributeNameType

    from jobqueue_core.adapters.sqs.client import SqsConnection

# SQS: MessageRetentionPeriod is at most 14 days. The database is the truth: nothing is gained by less.
_RETENTION_SECONDS = 1_209_600
_MISSING = frozenset({"NonExistentQueue", "QueueDoesNotExist"})


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePlan:
    """What the queues of one job queue shall be.

    `url` names an existing queue where it is given; `create` makes what is missing.
    """

    name: str
    dead_letter_name: str
    visibility_timeout_seconds: int
    max_receive_count: int
    create: bool = False
    url: str | None = None

    @property
    def fifo(self) -> bool:
        """SQS: a FIFO queue's name ends in `.fifo`, and so does its dead-letter queue's."""
        return self.name.endswith(".fifo")

    def attributes(self, dead_letter_arn: str | None) -> dict[QueueAttributeNameType, str]:
        """Return the attributes of the queue, or of its dead-letter queue when no ARN is given."""
        attributes: dict[QueueAttributeNameType, str] = {
            "MessageRetentionPeriod": str(_RETENTION_SECONDS),
            "VisibilityTimeout": str(self.visibility_timeout_seconds),
        }
        if dead_letter_arn is not None:
            policy = {"deadLetterTargetArn": dead_letter_arn, "maxReceiveCount": str(self.max_receive_count)}
            attributes["RedrivePolicy"] = json.dumps(policy)
        if self.fifo:
            attributes["FifoQueue"] = "true"
        return attributes


async def find(connection: SqsConnection, plan: QueuePlan) -> tuple[str, str]:
    """Return the URLs of the queue and its dead-letter queue.

    Raises:
        QueueUnavailableError: one of them does not exist, or SQS does not answer.

    """
    url = plan.url or await _url(connection, plan.name)
    dead_letter_url = await _url(connection, plan.dead_letter_name)
    for name, found in ((plan.name, url), (plan.dead_letter_name, dead_letter_url)):
        if found is None:
            msg = f"the queue {name!r} does not exist; create it, or set sqs.create to true"
            raise QueueUnavailableError(msg)
    return url or "", dead_letter_url or ""


async def provision(connection: SqsConnection, plan: QueuePlan) -> tuple[str, str]:
    """Create what is missing and return both URLs; what exists is left as it is."""
    dead_letter_url = await _url(connection, plan.dead_letter_name) or await _create(
        connection, plan.dead_letter_name, plan.attributes(None)
    )
    url = plan.url or await _url(connection, plan.name)
    if url is None:
        call = connection.client.get_queue_attributes(QueueUrl=dead_letter_url, AttributeNames=["QueueArn"])
        answer = await connection.call("get_queue_attributes", call)
        url = await _create(connection, plan.name, plan.attributes(answer["Attributes"]["QueueArn"]))
    return url, dead_letter_url


async def _url(connection: SqsConnection, name: str) -> str | None:
    try:
        answer = await connection.call("get_queue_url", connection.client.get_queue_url(QueueName=name))
    except QueueUnavailableError as error:
        if error_code(error) in _MISSING:
            return None
        raise
    return answer["QueueUrl"]


async def _create(
    connection: SqsConnection, name: str, attributes: Mapping[QueueAttributeNameType, str]
) -> str:
    call = connection.client.create_queue(QueueName=name, Attributes=dict(attributes))
    return (await connection.call("create_queue", call))["QueueUrl"]
