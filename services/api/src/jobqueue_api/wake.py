"""Waking the operator when a job comes for a queue that nobody works for.

Whenever messages are sent to a queue its workers are looked at, at most once a second: at once after a quiet
time, else when the second is over. So every message is followed by a look that began after it, and a busy
queue costs one small read a second.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import structlog

from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.domain.times import later

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from jobqueue_core.domain.heartbeat import Heartbeat
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.store import JobStore

INTERVAL_SECONDS: Final = 1.0
"""Between two looks at the workers of one queue, and so between two wakes of it, at least."""
# A worker that has missed this many heartbeats is taken for gone.
_HEARTBEATS_MISSED = 3
# At the end of the process: how long a wake under way may take.
_LAST_SECONDS = 1.5

_log = structlog.get_logger(__name__)


class JobQueueRef(NamedTuple):
    """A JobQueue in the cluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class WakeWriter(Protocol):
    """Tells the operator of a job."""

    async def wake(self, jobqueue: JobQueueRef, at: datetime) -> None:
        """Note on the JobQueue that a job came then.

        Raises:
            JobQueueError: it could not be written.

        """
        ...


class WakeObserver(Protocol):
    """Is told of every wake."""

    def wake(self, queue: str, outcome: str) -> None:
        """Count one wake: `written` or `failed`."""
        ...


def pause_seconds(looked_at: float | None, now: float) -> float:
    """Return how long to wait before the workers of a queue may be looked at again.

    Args:
        looked_at: when they were looked at last; None: never.
        now: on the same clock, in seconds.

    """
    return 0.0 if looked_at is None else max(0.0, looked_at + INTERVAL_SECONDS - now)


def needs_wake(workers: Iterable[Heartbeat]) -> bool:
    """Tell whether a job waits in vain, given who was heard of lately: who is to stop takes no more."""
    return all(worker.draining for worker in workers)


class Waker:
    """Wakes the operator, behind everything else; what fails is told and left to the operator's own poll."""

    def __init__(
        self,
        *,
        store: JobStore,
        writer: WakeWriter,
        clock: Clock,
        observer: WakeObserver,
        heartbeat_seconds: float,
    ) -> None:
        """Take the store with the workers' heartbeats, and how often these are written."""
        self._store = store
        self._writer = writer
        self._clock = clock
        self._observer = observer
        self._silence_seconds = heartbeat_seconds * _HEARTBEATS_MISSED
        self._targets: Mapping[str, JobQueueRef] = {}
        self._looked_at: dict[str, float] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pausing: set[str] = set()
        self._again: set[str] = set()
        self._failing: set[str] = set()

    def aim(self, targets: Mapping[str, JobQueueRef]) -> None:
        """Wake these JobQueues from now on, by the names of their queues, and no others."""
        self._targets = targets

    def arrived(self, queue: str) -> None:
        """Take note that jobs are being sent to a queue; returns at once."""
        if queue in self._tasks:
            self._again.add(queue)
        elif queue in self._targets:
            self._tasks[queue] = asyncio.create_task(self._run(queue))

    async def close(self) -> None:
        """Let looks and wakes under way end, within a bounded time; a second one is left to the poll."""
        for queue in self._pausing:
            self._tasks[queue].cancel()
        tasks = list(self._tasks.values())
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_LAST_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, queue: str) -> None:
        """Look now or when the second is over, and again while jobs came during a look."""
        try:
            while True:
                pause = pause_seconds(self._looked_at.get(queue), self._clock.monotonic())
                if pause > 0:
                    self._pausing.add(queue)
                    await self._clock.sleep(pause)
                    self._pausing.discard(queue)
                # Those that came until here are covered by this look.
                self._again.discard(queue)
                self._looked_at[queue] = self._clock.monotonic()
                await self._look(queue)
                if queue not in self._again:
                    return
        finally:
            del self._tasks[queue]
            self._pausing.discard(queue)
            self._again.discard(queue)

    async def _look(self, queue: str) -> None:
        target = self._targets.get(queue)
        if target is None:
            return
        try:
            since = later(self._clock.now(), -self._silence_seconds)
            if needs_wake(await self._store.workers(queue, since)):
                await self._writer.wake(target, self._clock.now())
                self._observer.wake(queue, "written")
        except JobQueueError as error:
            self._fail(queue, target, str(error))
        except Exception:  # noqa: BLE001 - logged; nobody waits for this task
            self._observer.wake(queue, "failed")
            _log.exception("the operator was not woken", queue=queue, jobqueue=str(target))
        else:
            if queue in self._failing:
                self._failing.discard(queue)
                _log.info("the operator can be woken again", queue=queue, jobqueue=str(target))

    def _fail(self, queue: str, target: JobQueueRef, error: str) -> None:
        self._observer.wake(queue, "failed")
        if queue not in self._failing:
            self._failing.add(queue)
            _log.warning("the operator was not woken", queue=queue, jobqueue=str(target), error=error)
