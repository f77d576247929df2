"""SQS's own move task: no server for tests has it, so its requests are looked at."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_testsupport.observers import CountedRequests
from jobqueue_testsupport.sqs_stub import SqsStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ARN = "arn:aws:sqs:eu-central-1:000000000000:"
PLAN = QueuePlan(
    name="jobs", dead_letter_name="jobs-dead", visibility_timeout_seconds=30, max_receive_count=9
)
REFUSALS = [
    (400, "UnsupportedOperation"),
    (400, "InvalidAction"),
    (403, "AccessDeniedException"),
    (404, "ResourceNotFoundException"),
]


@asynccontextmanager
async def opened(stub: SqsStub) -> AsyncIterator[SqsQueue]:
    async with SqsConnection(CountedRequests()) as connection:
        queue = SqsQueue(connection, PLAN)
        await queue.prepare()
        stub.asked.clear()
        yield queue


@pytest.fixture
async def stub(use_aws: Callable[[str], None]) -> AsyncIterator[SqsStub]:
    """An SQS that knows move tasks."""
    async with SqsStub() as server:
        use_aws(server.url)
        yield server


async def test_every_letter_is_moved_to_the_queue_by_name(stub: SqsStub) -> None:
    async with opened(stub) as queue:
        assert await queue.move_dead_letters()
    (request,) = [asked for operation, asked in stub.asked if operation == "StartMessageMoveTask"]
    assert request == {"SourceArn": f"{ARN}jobs-dead", "DestinationArn": f"{ARN}jobs"}


async def test_whether_it_can_is_asked_once(stub: SqsStub) -> None:
    async with opened(stub) as queue:
        assert await queue.can_move_dead_letters()
        assert await queue.can_move_dead_letters()
    asked = [asked for operation, asked in stub.asked if operation == "ListMessageMoveTasks"]
    assert asked == [{"SourceArn": f"{ARN}jobs-dead", "MaxResults": 1}]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
async def test_a_refusal_leaves_it_to_us(stub: SqsStub, status: int, code: str) -> None:
    stub.errors = dict.fromkeys(("ListMessageMoveTasks", "StartMessageMoveTask"), (status, code))
    async with opened(stub) as queue:
        assert not await queue.can_move_dead_letters()
        assert not await queue.move_dead_letters()


async def test_an_sqs_that_does_not_stand_by_its_answer_is_asked_again(stub: SqsStub) -> None:
    stub.errors = {"ListMessageMoveTasks": (500, "InternalError")}
    async with opened(stub) as queue:
        with pytest.raises(QueueUnavailableError):
            await queue.can_move_dead_letters()
        stub.errors = {}
        assert await queue.can_move_dead_letters()
