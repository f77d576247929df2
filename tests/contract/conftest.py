"""Every implementation of the ports, each on its own fresh data."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.ports.clock import SystemClock
from jobqueue_core.testing.queue import MemoryQueue
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_testsupport.observers import CountedRequests

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore

VISIBILITY_SECONDS = 30
MAX_RECEIVES = 20


@pytest.fixture(params=["memory", "pymongo", "motor"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[JobStore]:
    """An empty, prepared job store."""
    if request.param == "memory":
        opened: JobStore = MemoryJobStore()
    else:
        driver = open_driver(
            request.param,
            request.getfixturevalue("embedded_mongo_uri"),
            request.getfixturevalue("mongo_database"),
        )
        opened = MongoJobStore(driver, guard_index=request.getfixturevalue("mongo_is_embedded"))
    await opened.prepare()
    yield opened
    await opened.close()


@pytest.fixture(params=["memory", "ministack", "moto"])
def queue_kind(request: pytest.FixtureRequest, use_aws: Callable[[str], None]) -> str:
    """Which implementation of the queue is tested; the process is pointed at its server."""
    endpoints = {"ministack": "embedded_sqs_endpoint", "moto": "moto_endpoint"}
    if request.param in endpoints:
        use_aws(request.getfixturevalue(endpoints[request.param]))
    return str(request.param)


async def _open(stack: AsyncExitStack, kind: str, name: str) -> MessageQueue:
    if kind == "memory":
        return MemoryQueue(
            name,
            SystemClock(),
            visibility_timeout_seconds=VISIBILITY_SECONDS,
            max_receive_count=MAX_RECEIVES,
        )
    connection = await stack.enter_async_context(SqsConnection(CountedRequests()))
    suffix = ".fifo" if name.endswith(".fifo") else ""
    plan = QueuePlan(
        name=name,
        dead_letter_name=f"{name.removesuffix('.fifo')}-dead{suffix}",
        visibility_timeout_seconds=VISIBILITY_SECONDS,
        max_receive_count=MAX_RECEIVES,
        create=True,
    )
    queue = SqsQueue(connection, plan)
    await queue.prepare()
    return queue


@pytest.fixture
async def queue(queue_kind: str, queue_name: str) -> AsyncIterator[MessageQueue]:
    """An empty standard queue."""
    async with AsyncExitStack() as stack:
        yield await _open(stack, queue_kind, queue_name)


@pytest.fixture
async def fifo_queue(queue_kind: str, queue_name: str) -> AsyncIterator[MessageQueue]:
    """An empty FIFO queue."""
    async with AsyncExitStack() as stack:
        yield await _open(stack, queue_kind, f"{queue_name}.fifo")
