"""Replaces messages that are nearly used up by fresh ones.

A message has two budgets in SQS: `maxReceiveCount` receives, after which SQS itself moves it to the
dead-letter queue, and 12 hours of invisibility from its receipt (SQS quotas). Returns at shutdowns and
waits for a lease consume receives, too, so a healthy job would sooner or later end among the dead ones.
A copy with the same body begins both budgets anew. The job it names decides, not the message: should
this process die between copy and delete, the second message has no effect.

On a FIFO queue the copy goes behind its group. That changes no order: a worker runs the first job of a
key, whichever of its messages comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.domain.message import DELAY_MAX_SECONDS, Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.ports.queue import MessageQueue, Received

_log = structlog.get_logger(__name__)

# Deaths of a worker consume receives as well, and nobody is there to renew the message: this many stay
# in hand, one more than isolate a job by default.
_KEPT_FOR_DEATHS = 4
# A message has to be received at least this often before it is replaced.
_LEAST_RECEIVES = 2


class Renewer:
    """Sends a copy, then deletes the original."""

    def __init__(self, queue: MessageQueue, max_receive_count: int) -> None:
        """Take the queue and how often it lets a message be received."""
        self._queue = queue
        self._renew_at = max(_LEAST_RECEIVES, max_receive_count - _KEPT_FOR_DEATHS)

    def is_due(self, message: Received) -> bool:
        """Tell whether the message has been received so often that it should not just be shown again."""
        return message.receive_count >= self._renew_at

    async def renew(self, messages: Sequence[tuple[Received, int]]) -> list[bool]:
        """Replace messages; their copies show in so many seconds (at most 900).

        Returns:
            Which have been replaced, in order. The others are as they were.

        """
        copies = [_copy(message, seconds, fifo=self._queue.fifo) for message, seconds in messages]
        try:
            answers = await self._queue.send(copies)
        except JobQueueError as error:
            _log.warning("messages not renewed", queue=self._queue.name, error=str(error))
            return [False] * len(messages)
        renewed = [answer is None for answer in answers]
        receipts = [message.receipt for (message, _), done in zip(messages, renewed, strict=True) if done]
        if receipts:
            try:
                await self._queue.delete(receipts)
            except JobQueueError as error:
                _log.warning("renewed messages not deleted", queue=self._queue.name, error=str(error))
        return renewed


def _copy(message: Received, seconds: int, *, fifo: bool) -> Message:
    return Message(
        body=message.body,
        attributes=message.attributes,
        group_id=message.group_id,
        # Of this receive alone, or the queue would take the copy for the original sent twice.
        deduplication_id=f"{message.id}-{message.receive_count}" if fifo else None,
        # A FIFO queue takes no delay of a single message (SQS: SendMessage).
        delay_seconds=0 if fifo else min(seconds, DELAY_MAX_SECONDS),
    )
