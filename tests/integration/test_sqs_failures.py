"""What the SQS adapter makes of calls that fail, whole or in part."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.sqs.client import SqsConnection, error_code
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.domain.message import Message
from jobqueue_core.ports.queue import EntryError
from jobqueue_testsupport.observers import CountedRequests
from jobqueue_testsupport.server import HOST, free_port
from jobqueue_testsupport.sqs_stub import SqsStub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

REFUSED = EntryError("InternalError", "made to fail", sender_fault=False)


def plan(name: str = "jobs", *, create: bool = False) -> QueuePlan:
    suffix = ".fifo" if name.endswith(".fifo") else ""
    return QueuePlan(
        name=name,
        dead_letter_name=f"{name.removesuffix('.fifo')}-dead{suffix}",
        visibility_timeout_seconds=30,
        max_receive_count=9,
        create=create,
    )


def messages(number: int) -> list[Message]:
    return [Message(f"m{index}") for index in range(number)]


@pytest.fixture
async def stub(use_aws: Callable[[str], None]) -> AsyncIterator[SqsStub]:
    async with SqsStub() as stub:
        use_aws(stub.url)
        yield stub


@pytest.fixture
def requests() -> CountedRequests:
    return CountedRequests()


@pytest.fixture
async def connection(stub: SqsStub, requests: CountedRequests) -> AsyncIterator[SqsConnection]:
    assert stub.url
    async with SqsConnection(requests) as connection:
        yield connection


@pytest.fixture
async def queue(connection: SqsConnection) -> SqsQueue:
    queue = SqsQueue(connection, plan())
    await queue.prepare()
    return queue


async def test_entries_refused_within_a_200_are_told_in_their_places(queue: SqsQueue, stub: SqsStub) -> None:
    stub.refused = {"m3", "m11", "m24"}
    answers = await queue.send(messages(25))
    assert answers == [REFUSED if index in (3, 11, 24) else None for index in range(25)]
    assert sorted(len(entries) for operation, entries in stub.calls if operation == "SendMessageBatch") == [
        5,
        10,
        10,
    ]


@pytest.mark.parametrize("operation", ["delete", "change_visibility", "dead_letter"])
async def test_every_batch_tells_its_refused_entries(queue: SqsQueue, stub: SqsStub, operation: str) -> None:
    stub.refused = {"m1"}
    names = [f"m{index}" for index in range(12)]
    answers = {
        "delete": lambda: queue.delete(names),
        "change_visibility": lambda: queue.change_visibility([(name, 5) for name in names]),
        "dead_letter": lambda: queue.dead_letter(messages(12)),
    }
    assert await answers[operation]() == [None, REFUSED, *[None] * 10]


async def test_a_call_that_fails_as_a_whole_is_an_error(
    queue: SqsQueue, stub: SqsStub, requests: CountedRequests
) -> None:
    stub.broken = {"SendMessageBatch": {1}}
    with pytest.raises(
        QueueUnavailableError, match=r"SQS refused send_message_batch.*made to fail"
    ) as failed:
        await queue.send(messages(10))
    assert error_code(failed.value) == "InvalidSecurity"
    assert requests["send_message_batch", "error"] == 1
    assert await queue.send(messages(10)) == [None] * 10
    assert requests["send_message_batch", "ok"] == 1


async def test_of_several_calls_the_one_that_fails_takes_only_its_own_along(
    queue: SqsQueue, stub: SqsStub
) -> None:
    stub.broken = {"SendMessageBatch": {2}}
    answers = await queue.send(messages(25))
    failed = [index for index, answer in enumerate(answers) if answer is not None]
    sent = [entry["MessageBody"] for _, entries in stub.calls[2:] for entry in entries]
    assert sorted(sent) == sorted(f"m{index}" for index in range(25))
    assert len(failed) in (5, 10)
    assert {answer.code for answer in answers if answer is not None} == {"RequestFailed"}


async def test_a_standard_queue_is_called_several_times_at_once(queue: SqsQueue, stub: SqsStub) -> None:
    await queue.send(messages(40))
    assert stub.most_under_way > 1


async def test_a_fifo_queue_is_sent_to_one_call_after_another(
    connection: SqsConnection, stub: SqsStub
) -> None:
    queue = SqsQueue(connection, plan("jobs.fifo"))
    await queue.prepare()
    await queue.send([Message(f"m{index}", {}, "g", f"d{index}") for index in range(40)])
    assert stub.most_under_way == 1
    sent = [entry["MessageBody"] for _, entries in stub.calls[2:] for entry in entries]
    assert sent == [f"m{index}" for index in range(40)]


async def test_an_endpoint_that_is_not_there(use_aws: Callable[[str], None]) -> None:
    use_aws(f"http://{HOST}:{free_port()}")
    requests = CountedRequests()
    async with SqsConnection(requests) as connection:
        queue = SqsQueue(connection, plan())
        with pytest.raises(QueueUnavailableError, match="SQS refused get_queue_url"):
            await queue.prepare()
    assert requests == {("get_queue_url", "error"): 1}


@pytest.mark.parametrize("suffix", ["", ".fifo"])
async def test_a_missing_queue_is_named_with_what_to_do(aws_env: str, queue_name: str, suffix: str) -> None:
    assert aws_env
    async with SqsConnection(CountedRequests()) as connection:
        wanted = plan(f"{queue_name}{suffix}")
        with pytest.raises(QueueUnavailableError) as missing:
            await SqsQueue(connection, wanted).prepare()
        assert str(missing.value) == (
            f"the queue '{queue_name}{suffix}' does not exist; create it, or set sqs.create to true"
        )


async def test_what_exists_is_found_and_left_as_it_is(aws_env: str, queue_name: str) -> None:
    assert aws_env
    async with SqsConnection(CountedRequests()) as connection:
        await SqsQueue(connection, plan(queue_name, create=True)).prepare()
        again = SqsQueue(connection, plan(queue_name, create=True))
        await again.prepare()
        found = SqsQueue(connection, plan(queue_name))
        await found.prepare()
        await found.send(messages(1))
        assert [received.body for received in await again.receive(1, 5)] == ["m0"]


async def test_a_queue_is_created_as_planned(aws_env: str, queue_name: str) -> None:
    assert aws_env
    async with SqsConnection(CountedRequests()) as connection:
        await SqsQueue(connection, plan(f"{queue_name}.fifo", create=True)).prepare()
        client = connection.client
        url = (await client.get_queue_url(QueueName=f"{queue_name}.fifo"))["QueueUrl"]
        found = (await client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"]))["Attributes"]
    assert (found["VisibilityTimeout"], found["MessageRetentionPeriod"], found["FifoQueue"]) == (
        "30",
        "1209600",
        "true",
    )
    assert f'{queue_name}-dead.fifo"' in found["RedrivePolicy"]
    assert '"maxReceiveCount"' in found["RedrivePolicy"]


async def test_a_connection_that_is_not_open_says_so() -> None:
    with pytest.raises(RuntimeError, match="the SQS connection is not open"):
        await SqsQueue(SqsConnection(CountedRequests()), plan()).prepare()
