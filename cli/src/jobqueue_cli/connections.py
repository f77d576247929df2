"""The connections of the local operator. Its imports are the heavy ones: loaded while the servers boot."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from jobqueue_core.adapters.sqs.client import SqsConnection
from jobqueue_core.adapters.sqs.queue import SqsQueue
from jobqueue_core.assembly import flow_store, job_store, open_database, queue_plan
from jobqueue_core.domain.errors import JobQueueError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_core.ports.flow import FlowStore
    from jobqueue_core.ports.store import JobStore
    from jobqueue_core.settings.model import Settings

_SQS_CONNECTIONS = 10


class Connections:
    """The job store and every queue.

    Attributes:
        store: The job store.
        flows: What the workers know of the external services.
        queues: The queues by name.
    """

    def __init__(
        self, store: JobStore, flows: FlowStore, queues: Mapping[str, SqsQueue], stack: AsyncExitStack
    ) -> None:
        self.store = store
        self.flows = flows
        self.queues = queues
        self._stack = stack

    async def database_answers(self) -> bool:
        """Whether the database takes writes."""
        try:
            await self.store.ping()
        except StoreUnavailableError:
            return False
        return True

    async def queue_answers(self) -> bool:
        """Whether the queue service answers; finds or makes every queue."""
        try:
            for queue in self.queues.values():
                await queue.prepare()
        except JobQueueError:
            return False
        return True

    async def close(self) -> None:
        """Close everything."""
        await self._stack.aclose()


async def connect(settings: Settings, env: Mapping[str, str]) -> Connections:
    """Open the connections; nothing is asked yet.

    AWS's client reads its variables from this process alone, so they are set here as for the children.
    """
    for name in {name for name in (*os.environ, *env) if name.startswith("AWS_")}:
        if name in env:
            os.environ[name] = env[name]
        else:
            del os.environ[name]
    stack = AsyncExitStack()
    database = open_database(settings)
    store = job_store(settings, database)
    stack.push_async_callback(store.close)
    sqs = await stack.enter_async_context(SqsConnection(_Unwatched(), max_connections=_SQS_CONNECTIONS))
    queues = {name: SqsQueue(sqs, queue_plan(settings.queue(name))) for name in settings.queue_names}
    return Connections(store, flow_store(database), queues, stack)


class _Unwatched:
    """Counts no requests: this process has no metrics of its own."""

    def sqs_request(self, operation: str, outcome: str) -> None:
        """Do nothing."""
