"""What looking after queues costs in requests, and what is told when they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.sqs.admin import SqsQueueAdmin
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.ports.queue_admin import OWNER_TAG, QueueAdminError, QueueFault, QueuePlan
from jobqueue_testsupport.observers import CountedRequests
from jobqueue_testsupport.server import HOST, free_port
from jobqueue_testsupport.sqs_stub import SqsStub

if TYPE_CHECKING:
    from collections.abc import Callable

TAGS = {OWNER_TAG: "default/jobs"}


def plan(name: str) -> QueuePlan:
    return QueuePlan(
        name=name,
        dead_letter_name=f"{name}-dead",
        visibility_timeout_seconds=30,
        max_receive_count=9,
        create=True,
    )


async def test_at_rest_nothing_is_written_and_a_poll_is_one_request(aws_env: str, queue_name: str) -> None:
    assert aws_env
    requests = CountedRequests()
    async with SqsConnection(requests) as connection:
        admin = SqsQueueAdmin(connection)
        made = await admin.converge(plan(queue_name), TAGS)
        # The two that miss are errors to the client.
        assert requests == {
            ("get_queue_url", "error"): 2,
            ("create_queue", "ok"): 2,
            ("get_queue_attributes", "ok"): 1,
        }
        requests.clear()
        await admin.converge(plan(queue_name), TAGS)
        assert requests == {
            ("get_queue_url", "ok"): 2,
            ("get_queue_attributes", "ok"): 2,
            ("list_queue_tags", "ok"): 2,
        }
        requests.clear()
        reading = await admin.read(made.url, with_settings=True)
        assert reading.settings is not None
        assert plan(queue_name).fits(reading.settings)
        assert requests == {("get_queue_attributes", "ok"): 1}


async def test_an_endpoint_that_is_not_there_is_unreachable(use_aws: Callable[[str], None]) -> None:
    use_aws(f"http://{HOST}:{free_port()}")
    async with SqsConnection(CountedRequests()) as connection:
        admin = SqsQueueAdmin(connection)
        with pytest.raises(QueueAdminError) as failed:
            await admin.converge(plan("jobs"), TAGS)
        assert failed.value.fault is QueueFault.UNREACHABLE
        with pytest.raises(QueueAdminError, match="the queue 'jobs'") as failed:
            await admin.read("http://x/0/jobs")
        assert (failed.value.fault, failed.value.queue) == (QueueFault.UNREACHABLE, "jobs")


async def test_credentials_that_are_refused_are_told_as_such(use_aws: Callable[[str], None]) -> None:
    async with SqsStub() as stub:
        use_aws(stub.url)
        stub.broken = {"GetQueueAttributes": {1}}
        async with SqsConnection(CountedRequests()) as connection:
            with pytest.raises(QueueAdminError, match="check credentials and policy") as failed:
                await SqsQueueAdmin(connection).dead_letters(f"{stub.url}/0/jobs-dead")
            assert failed.value.fault is QueueFault.ACCESS_DENIED
