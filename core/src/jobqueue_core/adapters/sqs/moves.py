"""SQS's own way of moving dead letters back: a message move task."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from jobqueue_core.adapters.sqs.faults import fault_behind
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.ports.queue_admin import QueueFault

if TYPE_CHECKING:
    from jobqueue_core.adapters.sqs.client import SqsConnection

_log = structlog.get_logger(__name__)


async def can_move(connection: SqsConnection, dead_letter_url: str) -> bool:
    """Tell whether the server knows move tasks and these credentials may use them.

    Raises:
        QueueUnavailableError: it does not answer.

    """
    arn = await _arn(connection, dead_letter_url)
    call = connection.client.list_message_move_tasks(SourceArn=arn, MaxResults=1)
    try:
        await connection.call("list_message_move_tasks", call)
    except QueueUnavailableError as error:
        _raise_unless_refused(error)
        return False
    return True


async def start_move(connection: SqsConnection, dead_letter_url: str, url: str) -> bool:
    """Start a task that moves every dead letter back to its queue; tell whether it was started.

    SQS runs one task a queue at a time (StartMessageMoveTask): another one under way is a refusal.

    Raises:
        QueueUnavailableError: it does not answer.

    """
    call = connection.client.start_message_move_task(
        SourceArn=await _arn(connection, dead_letter_url),
        # Named, for SQS knows where a message came from only if it moved it here by itself.
        DestinationArn=await _arn(connection, url),
    )
    try:
        await connection.call("start_message_move_task", call)
    except QueueUnavailableError as error:
        _raise_unless_refused(error)
        _log.warning("SQS does not move the dead letters", error=str(error))
        return False
    return True


async def _arn(connection: SqsConnection, url: str) -> str:
    call = connection.client.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return (await connection.call("get_queue_attributes", call))["Attributes"]["QueueArn"]


def _raise_unless_refused(error: QueueUnavailableError) -> None:
    if fault_behind(error) is QueueFault.UNREACHABLE:
        raise error
