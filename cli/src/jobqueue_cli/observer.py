"""What the local operator sees of one queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.ports.store import Backlog
from jobqueue_operator.observing.workload import STALE_HEARTBEATS, UNFINISHED_LIMIT, Workload
from jobqueue_operator.scaling import Observation, QueueCounts, Unknown

if TYPE_CHECKING:
    from jobqueue_core.domain.heartbeat import Heartbeat
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.flow import FlowStore
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore
    from jobqueue_operator.observing.tally import Tally

WAKE_SECONDS = 0.2


class QueueObserver:
    """Implements the operator's port `Observer`: reads queue, store and heartbeats side by side.

    Args:
        name: The queue.
        queue: Its SQS queue.
        store: The job store.
        flows: What the workers know of the external service.
        clock: Time.
        heartbeat_seconds: How often workers write one.
        max_attempts: Attempts that a job has.
    """

    def __init__(
        self,
        name: str,
        *,
        queue: MessageQueue,
        store: JobStore,
        flows: FlowStore,
        clock: Clock,
        heartbeat_seconds: float,
        max_attempts: int,
    ) -> None:
        self._name = name
        self._queue = queue
        self._store = store
        self._flows = flows
        self._clock = clock
        self._fresh = timedelta(seconds=STALE_HEARTBEATS * heartbeat_seconds)
        self._workload = Workload(clock, max_attempts=max_attempts)

    @property
    def tally(self) -> Tally:
        """What the workers have done."""
        return self._workload.tally

    async def observe(self) -> Observation:
        """Read everything once; what cannot be read is unknown, never zero."""
        counts, backlog, heartbeats, is_stopped = await asyncio.gather(
            self._counts(), self._backlog(), self._heartbeats(), self._is_stopped()
        )
        return self._workload.observation(counts, backlog, heartbeats, is_stopped=is_stopped)

    async def read_heartbeats(self) -> list[Heartbeat]:
        """Read the workers that are there, for the tally as well.

        Raises:
            StoreUnavailableError: They cannot be read.
        """
        alive = await self._store.workers(self._name, self._clock.now() - self._fresh)
        self.tally.read(alive)
        return alive

    async def wait_for_work(self) -> None:
        """Return when the store has an unfinished job.

        To be awaited while there is no worker. The store is asked, and not the queue: it knows of a job
        first, also while the queue is away; the count goes by an index and ends at the first match; and a
        request to SQS costs money where the queue is a real one.
        """
        while True:
            try:
                if await self._store.unfinished(self._name, 1):
                    return
            except JobQueueError:
                pass  # the control loop's own reading says so
            await self._clock.sleep(WAKE_SECONDS)

    async def _counts(self) -> QueueCounts | Unknown:
        try:
            counts = await self._queue.counts()
        except JobQueueError as error:
            return Unknown(str(error))
        return QueueCounts(counts.visible, counts.in_flight, counts.delayed)

    async def _backlog(self) -> Backlog | Unknown:
        try:
            unfinished, oldest = await asyncio.gather(
                self._store.unfinished(self._name, UNFINISHED_LIMIT), self._store.oldest_waiting(self._name)
            )
        except JobQueueError as error:
            return Unknown(str(error))
        return Backlog(unfinished, oldest)

    async def _is_stopped(self) -> bool | None:
        try:
            state = await self._flows.load(self._name)
        except JobQueueError:
            return None
        return None if state is None else state.is_stopped(self._clock.now().timestamp())

    async def _heartbeats(self) -> list[Heartbeat] | Unknown:
        try:
            return await self.read_heartbeats()
        except JobQueueError as error:
            return Unknown(str(error))
