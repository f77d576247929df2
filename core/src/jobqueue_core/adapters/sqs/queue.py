"""One SQS queue with its dead-letter queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar, cast

from jobqueue_core.adapters.sqs import moves
from jobqueue_core.adapters.sqs.attributes import COUNTS, counts_from
from jobqueue_core.adapters.sqs.provision import QueuePlan, find, provision
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.ports.queue import EntryError, Received

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from types_aiobotocore_sqs.type_defs import (
        BatchResultErrorEntryTypeDef,
        MessageTypeDef,
        SendMessageBatchRequestEntryTypeDef,
    )

    from jobqueue_core.adapters.sqs.client import SqsConnection
    from jobqueue_core.domain.message import Message
    from jobqueue_core.ports.queue import QueueCounts

# SQS: entries in one batch request.
BATCH_MAX = 10
# SQS: a message and a whole batch are at most 1 MiB; ten of our messages are under one percent of it.
_WAIT_SLACK_SECONDS = 5.0

Entry = TypeVar("Entry")


class SqsQueue:
    """Implements the port `MessageQueue`."""

    def __init__(self, connection: SqsConnection, plan: QueuePlan) -> None:
        """Use an open connection; `prepare` finds or makes the queues of the plan."""
        self._connection = connection
        self._plan = plan
        self._url = ""
        self._dead_letter_url = ""
        self._can_move: bool | None = None

    @property
    def name(self) -> str:
        """Name of the queue."""
        return self._plan.name

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue (SQS: the name ends in `.fifo`)."""
        return self._plan.name.endswith(".fifo")

    async def prepare(self) -> None:
        """Find both queues, or create them where the plan says so."""
        if self._plan.create:
            urls = await provision(self._connection, self._plan)
        else:
            urls = await find(self._connection, self._plan)
        self._url, self._dead_letter_url = urls

    async def send(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Send in batches of ten."""
        return await self._send("send_message_batch", self._url, messages)

    async def dead_letter(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Send to the dead-letter queue in batches of ten."""
        return await self._send("send_dead_letter_batch", self._dead_letter_url, messages)

    async def _send(self, operation: str, url: str, messages: Sequence[Message]) -> list[EntryError | None]:
        async def send_ten(chunk: Sequence[Message]) -> list[BatchResultErrorEntryTypeDef]:
            entries = [_send_entry(position, message) for position, message in enumerate(chunk)]
            call = self._connection.client.send_message_batch(QueueUrl=url, Entries=entries)
            return (await self._connection.call(operation, call)).get("Failed", [])

        return await self._in_tens(messages, send_ten, in_order=self.fifo)

    async def receive(self, max_messages: int, wait_seconds: int) -> list[Received]:
        """Long-poll once."""
        call = self._connection.client.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(max_messages, BATCH_MAX),
            WaitTimeSeconds=wait_seconds,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["ApproximateReceiveCount", "MessageGroupId"],
        )
        answer = await self._connection.call("receive_message", call, wait_seconds + _WAIT_SLACK_SECONDS)
        return [_received(message) for message in answer.get("Messages", [])]

    async def delete(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Delete in batches of ten."""
        return await self._delete("delete_message_batch", self._url, receipts)

    async def _delete(self, operation: str, url: str, receipts: Sequence[str]) -> list[EntryError | None]:
        async def delete_ten(chunk: Sequence[str]) -> list[BatchResultErrorEntryTypeDef]:
            call = self._connection.client.delete_message_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(position), "ReceiptHandle": receipt} for position, receipt in enumerate(chunk)
                ],
            )
            return (await self._connection.call(operation, call)).get("Failed", [])

        return await self._in_tens(receipts, delete_ten)

    async def change_visibility(self, changes: Sequence[tuple[str, int]]) -> list[EntryError | None]:
        """Change visibility in batches of ten."""
        return await self._hide("change_message_visibility_batch", self._url, changes)

    async def _hide(
        self, operation: str, url: str, changes: Sequence[tuple[str, int]]
    ) -> list[EntryError | None]:
        async def change_ten(chunk: Sequence[tuple[str, int]]) -> list[BatchResultErrorEntryTypeDef]:
            call = self._connection.client.change_message_visibility_batch(
                QueueUrl=url,
                Entries=[
                    {"Id": str(position), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                    for position, (receipt, seconds) in enumerate(chunk)
                ],
            )
            return (await self._connection.call(operation, call)).get("Failed", [])

        return await self._in_tens(changes, change_ten)

    async def counts(self) -> QueueCounts:
        """Read the three counts."""
        call = self._connection.client.get_queue_attributes(QueueUrl=self._url, AttributeNames=COUNTS)
        return counts_from((await self._connection.call("get_queue_attributes", call))["Attributes"])

    async def dead_letters(self) -> int:
        """Read the dead-letter queue's counts: those that somebody looks at are there as well."""
        call = self._connection.client.get_queue_attributes(
            QueueUrl=self._dead_letter_url, AttributeNames=COUNTS
        )
        return counts_from((await self._connection.call("get_queue_attributes", call))["Attributes"]).total

    async def receive_dead_letters(
        self, max_messages: int, visibility_seconds: int, wait_seconds: int = 0
    ) -> list[Received]:
        """Receive from the dead-letter queue once."""
        call = self._connection.client.receive_message(
            QueueUrl=self._dead_letter_url,
            MaxNumberOfMessages=min(max_messages, BATCH_MAX),
            VisibilityTimeout=visibility_seconds,
            WaitTimeSeconds=wait_seconds,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=[
                "ApproximateReceiveCount",
                "MessageGroupId",
                "DeadLetterQueueSourceArn",
            ],
        )
        answer = await self._connection.call("receive_dead_letters", call, wait_seconds + _WAIT_SLACK_SECONDS)
        return [_received(message) for message in answer.get("Messages", [])]

    async def delete_dead_letters(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Delete from the dead-letter queue in batches of ten."""
        return await self._delete("delete_dead_letter_batch", self._dead_letter_url, receipts)

    async def show_dead_letters(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Change visibility in the dead-letter queue in batches of ten."""
        changes = [(receipt, 0) for receipt in receipts]
        return await self._hide("show_dead_letter_batch", self._dead_letter_url, changes)

    async def can_move_dead_letters(self) -> bool:
        """Ask the server, once."""
        if self._can_move is None:
            self._can_move = await moves.can_move(self._connection, self._dead_letter_url)
        return self._can_move

    async def move_dead_letters(self) -> bool:
        """Start a message move task."""
        return await moves.start_move(self._connection, self._dead_letter_url, self._url)

    async def _in_tens(
        self,
        items: Sequence[Entry],
        call: Callable[[Sequence[Entry]], Awaitable[list[BatchResultErrorEntryTypeDef]]],
        *,
        in_order: bool = False,
    ) -> list[EntryError | None]:
        """Call once for every ten items, at once or `in_order`; answer for each item in order."""
        chunks = [items[start : start + BATCH_MAX] for start in range(0, len(items), BATCH_MAX)]
        turns = asyncio.Semaphore(1 if in_order else max(1, len(chunks)))

        async def call_in_turn(chunk: Sequence[Entry]) -> list[BatchResultErrorEntryTypeDef]:
            async with turns:
                return await call(chunk)

        results = await asyncio.gather(*(call_in_turn(chunk) for chunk in chunks), return_exceptions=True)
        answers: list[EntryError | None] = []
        for chunk, result in zip(chunks, results, strict=True):
            if isinstance(result, QueueUnavailableError):
                if len(chunks) == 1:
                    raise result
                answers += [EntryError("RequestFailed", str(result), sender_fault=False)] * len(chunk)
            elif isinstance(result, BaseException):
                raise result
            else:
                answers += _answers(len(chunk), result)
        return answers


def _answers(size: int, failed: Sequence[BatchResultErrorEntryTypeDef]) -> list[EntryError | None]:
    """Spread the failed entries of a 200 over the batch (SQS: batch actions can partly fail)."""
    answers: list[EntryError | None] = [None] * size
    for entry in failed:
        answers[int(entry["Id"])] = EntryError(
            entry["Code"], entry.get("Message", ""), sender_fault=entry["SenderFault"]
        )
    return answers


def _send_entry(position: int, message: Message) -> SendMessageBatchRequestEntryTypeDef:
    entry: SendMessageBatchRequestEntryTypeDef = {
        "Id": str(position),
        "MessageBody": message.body,
        "MessageAttributes": {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        },
    }
    if message.group_id is not None:
        entry["MessageGroupId"] = message.group_id
    if message.deduplication_id is not None:
        entry["MessageDeduplicationId"] = message.deduplication_id
    if message.delay_seconds:
        entry["DelaySeconds"] = message.delay_seconds
    return entry


def _received(message: MessageTypeDef) -> Received:
    system = cast("dict[str, str]", message.get("Attributes", {}))
    return Received(
        id=message.get("MessageId", ""),
        body=message.get("Body", ""),
        receipt=message.get("ReceiptHandle", ""),
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        attributes={
            name: value.get("StringValue", "") for name, value in message.get("MessageAttributes", {}).items()
        },
        group_id=system.get("MessageGroupId"),
        moved_from=system.get("DeadLetterQueueSourceArn"),
    )
