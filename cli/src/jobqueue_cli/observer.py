"""What the local operator sees of one queue."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from jobqueue_cli.arrival import ArrivalMeter
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_operator.scaling import Observation, QueueCounts, Unknown

if TYPE_CHECKING:
    from jobqueue_cli.tally import Tally
    from jobqueue_core.domain.heartbeat import Heartbeat
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore

UNFINISHED_LIMIT = 100_000
"""The store counts unfinished jobs up to here; the queue's own count knows no limit."""
STALE_HEARTBEATS = 3
"""A worker that has missed this many heartbeats is no longer counted as one."""
WAKE_SECONDS = 0.2


class QueueObserver:
    """Implements the operator's port `Observer`: reads queue, store and heartbeats side by side.

    Args:
        name: The queue.
        queue: Its SQS queue.
        store: The job store.
        clock: Time.
        tally: Is given every heartbeat.
        heartbeat_seconds: How often workers write one.
    """

    def __init__(
        self,
        name: str,
        *,
        queue: MessageQueue,
        store: JobStore,
        clock: Clock,
        tally: Tally,
        heartbeat_seconds: float,
    ) -> None:
        self._name = name
        self._queue = queue
        self._store = store
        self._clock = clock
        self._tally = tally
        self._fresh = timedelta(seconds=STALE_HEARTBEATS * heartbeat_seconds)
        self._arrival = ArrivalMeter()

    async def observe(self) -> Observation:
        """Read everything once; what cannot be read is unknown, never zero.

        Raises:
            StoreUnavailableError: The heartbeats cannot be read.
        """
        now = self._clock.now()
        counts, waiting, oldest, alive = await asyncio.gather(
            self._counts(),
            self._unfinished(),
            self._store.oldest_waiting(self._name),
            self.read_heartbeats(),
        )
        if isinstance(waiting, int) and waiting < UNFINISHED_LIMIT:
            at = self._clock.monotonic()
            self._arrival = self._arrival.read(at, unfinished=waiting, finished=self._tally.finished)
        return Observation(
            current=0,  # the control loop knows
            queue=counts,
            store_waiting=waiting,
            busy_worker_ids=_busy(alive),
            busy_slots=sum(beat.busy for beat in alive),
            oldest_age_seconds=None if oldest is None else max(0.0, (now - oldest).total_seconds()),
            service_seconds=self._tally.service_seconds,
            arrival_per_second=self._arrival.per_second,
        )

    async def read_heartbeats(self) -> list[Heartbeat]:
        """Read the workers that are there, for the tally as well.

        Raises:
            StoreUnavailableError: They cannot be read.
        """
        alive = await self._store.workers(self._name, self._clock.now() - self._fresh)
        self._tally.read(alive)
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

    async def _unfinished(self) -> int | Unknown:
        try:
            return await self._store.unfinished(self._name, UNFINISHED_LIMIT)
        except JobQueueError as error:
            return Unknown(str(error))


def _busy(alive: list[Heartbeat]) -> frozenset[str]:
    return frozenset(beat.worker for beat in alive if beat.busy and not beat.draining)
