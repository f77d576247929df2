"""Reads the job store for many queues at once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from jobqueue_core.batching import Batcher
from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.ports.store import Backlog
from jobqueue_operator.observing.workload import UNFINISHED_LIMIT
from jobqueue_operator.scaling import Unknown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jobqueue_core.domain.heartbeat import Heartbeat
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.flow import FlowStore
    from jobqueue_core.ports.store import JobStore

WINDOW_SECONDS = 0.02
"""Reads asked for within this time are made together."""
DEEP = 10_000
"""A queue with so many unfinished jobs is counted by itself: its count ends at a limit."""
_QUEUES_AT_ONCE = 1_000
_FLUSHES_AT_ONCE = 2
_DEEP_AT_ONCE = 4

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class StoreReading:
    """What the store knows of one queue.

    Attributes:
        backlog: What is left to do.
        heartbeats: The workers that were heard of lately.
        error: Why one of them is unknown.
        is_stopped: Whether the workers begin no calls: the circuit of the external service is not closed, or
            it asked for a pause; None when the workers have told nothing, or it cannot be read.
    """

    backlog: Backlog | Unknown
    heartbeats: tuple[Heartbeat, ...] | Unknown
    error: StoreUnavailableError | None = None
    is_stopped: bool | None = None


@dataclass(frozen=True, slots=True)
class _Ask:
    queue: str
    seen_after: datetime


class StoreReader:
    """Answers reads of single queues by queries for many; never raises.

    Reads that come in while as many queries are under way as may be wait for the next, so that a slow
    database is asked for more queues at once, not more often.

    Args:
        store: The job store.
        flows: Where the workers share what they know of the external services.
        clock: Time and waiting.
    """

    def __init__(self, store: JobStore, flows: FlowStore, clock: Clock) -> None:
        self._store = store
        self._flows = flows
        self._clock = clock
        self._deep: set[str] = set()
        self._deep_turns = asyncio.Semaphore(_DEEP_AT_ONCE)
        self._workers: Batcher[_Ask, tuple[Heartbeat, ...] | StoreUnavailableError] = Batcher(
            self._read_workers,
            max_size=_QUEUES_AT_ONCE,
            max_in_flight=_FLUSHES_AT_ONCE,
            linger_seconds=WINDOW_SECONDS,
            sleep=clock.sleep,
        )
        self._backlogs: Batcher[str, Backlog | StoreUnavailableError] = Batcher(
            self._read_backlogs,
            max_size=_QUEUES_AT_ONCE,
            max_in_flight=_FLUSHES_AT_ONCE,
            linger_seconds=WINDOW_SECONDS,
            sleep=clock.sleep,
        )
        self._stops: Batcher[str, bool | None] = Batcher(
            self._read_stops,
            max_size=_QUEUES_AT_ONCE,
            max_in_flight=_FLUSHES_AT_ONCE,
            linger_seconds=WINDOW_SECONDS,
            sleep=clock.sleep,
        )

    async def read(self, queue: str, seen_after: datetime) -> StoreReading:
        """Read what is left to do and who works.

        Args:
            queue: Name by which jobs name the queue.
            seen_after: Workers that were not heard of since then are left out.
        """
        asked = self._workers.submit(_Ask(queue, seen_after))
        is_stopped = self._stops.submit(queue)
        if queue in self._deep:
            backlog: Backlog | StoreUnavailableError = await self._read_deep(queue)
        else:
            backlog = await self._backlogs.submit(queue)
        heartbeats = await asked
        self._note(queue, backlog)
        errors = [each for each in (backlog, heartbeats) if isinstance(each, StoreUnavailableError)]
        return StoreReading(
            _known(backlog), _known(heartbeats), errors[0] if errors else None, await is_stopped
        )

    async def close(self) -> None:
        """Make the reads that wait, and return when they are done."""
        await asyncio.gather(self._workers.close(), self._backlogs.close(), self._stops.close())

    def _note(self, queue: str, backlog: Backlog | StoreUnavailableError) -> None:
        if isinstance(backlog, Backlog):
            if backlog.unfinished >= DEEP:
                self._deep.add(queue)
            else:
                self._deep.discard(queue)

    async def _read_workers(
        self, asked: Sequence[_Ask]
    ) -> Sequence[tuple[Heartbeat, ...] | StoreUnavailableError]:
        queues = {each.queue for each in asked}
        try:
            found = await self._store.workers_of(queues, min(each.seen_after for each in asked))
        except StoreUnavailableError as error:
            return [error] * len(asked)
        by_queue: dict[str, list[Heartbeat]] = {queue: [] for queue in queues}
        for beat in found:
            by_queue[beat.queue].append(beat)
        return [
            tuple(beat for beat in by_queue[each.queue] if beat.seen_at > each.seen_after) for each in asked
        ]

    async def _read_backlogs(self, queues: Sequence[str]) -> Sequence[Backlog | StoreUnavailableError]:
        try:
            found = await self._store.backlogs(set(queues))
        except StoreUnavailableError as error:
            return [error] * len(queues)
        return [found[queue] for queue in queues]

    async def _read_stops(self, queues: Sequence[str]) -> Sequence[bool | None]:
        try:
            found = await self._flows.load_many(set(queues))
        except StoreUnavailableError:
            return [None] * len(queues)
        now = self._clock.now().timestamp()
        return [found[queue].is_stopped(now) if queue in found else None for queue in queues]

    async def _read_deep(self, queue: str) -> Backlog | StoreUnavailableError:
        try:
            async with self._deep_turns:
                unfinished, oldest = await asyncio.gather(
                    self._store.unfinished(queue, UNFINISHED_LIMIT), self._store.oldest_waiting(queue)
                )
        except StoreUnavailableError as error:
            return error
        return Backlog(unfinished, oldest)


def _known(answer: Answer | StoreUnavailableError) -> Answer | Unknown:
    return Unknown(str(answer)) if isinstance(answer, StoreUnavailableError) else answer
