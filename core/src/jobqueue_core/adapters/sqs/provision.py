"""Finding a queue and its dead-letter queue, or making them as a plan says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_core.adapters.sqs.attributes import creation_attributes
from jobqueue_core.adapters.sqs.client import error_code
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.ports.queue_admin import QueuePlan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_aiobotocore_sqs.literals import QueueAttributeNameType

    from jobqueue_core.adapters.sqs.client import SqsConnection

__all__ = ["QueuePlan", "find", "provision"]

_MISSING = frozenset({"NonExistentQueue", "QueueDoesNotExist"})


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
        connection, plan.dead_letter_name, creation_attributes(plan.settings(None), fifo=plan.fifo)
    )
    url = plan.url or await _url(connection, plan.name)
    if url is None:
        call = connection.client.get_queue_attributes(QueueUrl=dead_letter_url, AttributeNames=["QueueArn"])
        answer = await connection.call("get_queue_attributes", call)
        settings = plan.settings(answer["Attributes"]["QueueArn"])
        url = await _create(connection, plan.name, creation_attributes(settings, fifo=plan.fifo))
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
