"""The queue goes away and comes back, under a client that stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.domain.message import Message
from jobqueue_testsupport.observers import CountedRequests
from jobqueue_testsupport.server import EmbeddedSqs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLAN = QueuePlan(
    name="jobs", dead_letter_name="jobs-dead", visibility_timeout_seconds=30, max_receive_count=9, create=True
)


async def test_a_queue_that_goes_away_is_an_error_until_it_is_back(
    tmp_path: Path, use_aws: Callable[[str], None]
) -> None:
    with EmbeddedSqs(tmp_path) as server:
        use_aws(server.url)
        async with SqsConnection(CountedRequests()) as connection:
            queue = SqsQueue(connection, PLAN)
            await queue.prepare()
            assert await queue.send([Message("before")]) == [None]
            server.stop()
            for call in (
                queue.send([Message("lost")]),
                queue.receive(1, 0),
                queue.counts(),
                queue.dead_letters(),
            ):
                with pytest.raises(QueueUnavailableError):
                    await call
            server.start()
            assert await queue.send([Message("after")]) == [None]
            assert (await queue.counts()).total == 2
