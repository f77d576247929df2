"""What is known of a queue now; what cannot be read is None, never zero."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

import structlog

from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.domain.flow import FlowState
from jobqueue_core.domain.times import later, seconds_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from jobqueue_core.domain.circuit import CircuitState
    from jobqueue_core.domain.heartbeat import Heartbeat, PhaseCounts
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.flow import FlowStore
    from jobqueue_core.ports.queue import MessageQueue, QueueCounts
    from jobqueue_core.ports.store import JobStore

Answer = TypeVar("Answer")

# However many look on, SQS is paid for, and the store counts, once in this time.
_KEPT_SECONDS = 2.0
# A worker that has missed this many heartbeats is taken for gone.
_HEARTBEATS_MISSED = 3

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """One look at a queue.

    Attributes:
        at: when it was taken.
        messages: SQS's three counts.
        dead_letters: messages in the dead-letter queue.
        jobs: the store's jobs by phase.
        oldest_age_seconds: age of the job that has waited longest; 0 when none waits.
        workers: those heard of lately.
        circuit: whether the workers call the external service.
        paused_until: when they do so again, where it asked to be left alone.

    """

    at: datetime
    messages: QueueCounts | None
    dead_letters: int | None
    jobs: PhaseCounts | None
    oldest_age_seconds: float | None
    workers: tuple[Heartbeat, ...] | None
    circuit: CircuitState | None = None
    paused_until: datetime | None = None

    @property
    def slots(self) -> int | None:
        """Jobs that the workers can run at once, those that are told to stop left out."""
        if self.workers is None:
            return None
        return sum(worker.slots for worker in self.workers if not worker.draining)

    @property
    def busy(self) -> int | None:
        """Jobs that the workers are running."""
        return None if self.workers is None else sum(worker.busy for worker in self.workers)

    @property
    def service_seconds(self) -> float | None:
        """Mean length of one attempt lately, over the workers that know theirs."""
        return None if self.workers is None else mean_service_seconds(self.workers)

    @property
    def drain_seconds(self) -> float | None:
        """When the queue will be empty, in seconds from now, at the present rate and nothing new coming."""
        if self.jobs is None:
            return None
        backlog = self.jobs.waiting + self.jobs.running
        return estimate_drain_seconds(backlog, self.service_seconds, self.slots)


def mean_service_seconds(workers: Sequence[Heartbeat]) -> float | None:
    """Return the mean of what the workers measured, each weighted by its slots; None: nobody has yet."""
    known = [
        (worker.service_seconds, worker.slots) for worker in workers if worker.service_seconds is not None
    ]
    slots = sum(weight for _, weight in known)
    return sum(seconds * weight for seconds, weight in known) / slots if slots else None


def estimate_drain_seconds(backlog: int, service_seconds: float | None, slots: int | None) -> float | None:
    """Return `backlog × service time ÷ slots`; None where it cannot be told (nobody works)."""
    if backlog == 0:
        return 0.0
    if service_seconds is None or not slots:
        return None
    return backlog * service_seconds / slots


class QueueReader:
    """Reads queues, each at most once in two seconds."""

    def __init__(
        self,
        *,
        store: JobStore,
        flows: FlowStore,
        queues: Mapping[str, MessageQueue],
        clock: Clock,
        heartbeat_seconds: float,
    ) -> None:
        """Take the stores, the queues by name, and how often workers write their heartbeat."""
        self._store = store
        self._flows = flows
        self._queues = queues
        self._clock = clock
        self._silence_seconds = heartbeat_seconds * _HEARTBEATS_MISSED
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._kept: dict[str, tuple[float, Reading]] = {}

    async def read(self, name: str) -> Reading:
        """Return a reading of a configured queue, at most two seconds old."""
        async with self._locks[name]:
            kept = self._kept.get(name)
            if kept is None or self._clock.monotonic() - kept[0] >= _KEPT_SECONDS:
                kept = (self._clock.monotonic(), await self._take(name))
                self._kept[name] = kept
        return kept[1]

    async def _take(self, name: str) -> Reading:
        queue, now = self._queues[name], self._clock.now()
        messages, dead_letters, jobs, age, workers, flow = await asyncio.gather(
            _or_none(queue.counts(), "messages", name),
            _or_none(queue.dead_letters(), "dead letters", name),
            _or_none(self._store.counts(name), "jobs", name),
            _or_none(self._oldest_age(name, now), "oldest job", name),
            _or_none(self._store.workers(name, later(now, -self._silence_seconds)), "workers", name),
            _or_none(self._flow(name), "flow", name),
        )
        seconds = now.timestamp()
        is_paused = flow is not None and flow.paused_until > seconds
        return Reading(
            now,
            messages,
            dead_letters,
            jobs,
            age,
            None if workers is None else tuple(workers),
            None if flow is None else flow.circuit.state(seconds),
            later(now, flow.paused_until - seconds) if flow is not None and is_paused else None,
        )

    async def _flow(self, name: str) -> FlowState:
        return await self._flows.load(name) or FlowState(name)

    async def _oldest_age(self, name: str, now: datetime) -> float:
        oldest = await self._store.oldest_waiting(name)
        return 0.0 if oldest is None else seconds_until(now, oldest)


async def _or_none(reading: Awaitable[Answer], what: str, queue: str) -> Answer | None:
    try:
        return await reading
    except JobQueueError as error:
        _log.warning("reading failed", what=what, queue=queue, error=str(error))
        return None
