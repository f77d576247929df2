"""Learns the queues of the cluster's JobQueues, and forgets them when these are gone."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from jobqueue_api.cluster.assignment import assign, configured_queues
from jobqueue_api.cluster.jobqueue import queue_settings, read_jobqueue, ref_of, version_of
from jobqueue_api.upstream import until_done
from jobqueue_core.assembly import job_rules, recurrences
from jobqueue_core.ports.cluster import Gone, Listed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from jobqueue_api.cluster.jobqueue import JobQueue
    from jobqueue_api.directory import QueueDirectory
    from jobqueue_api.upstream import WatchedQueue
    from jobqueue_api.wake import JobQueueRef, Waker
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.cluster import Sight
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.settings.model import Settings
    from jobqueue_core.settings.queue import QueueSettings, QueueSqs

# The operator may take a moment to make the queue of a new JobQueue; one that is never made costs little.
_LAST_PAUSE_SECONDS = 5.0
# Many JobQueues may be learnt at once, at start: their queues are looked up a few at a time.
_PREPARED_AT_ONCE = 8

_log = structlog.get_logger(__name__)


class JobQueueSource(Protocol):
    """Shows the JobQueues of a cluster."""

    def jobqueues(self, namespace: str) -> AsyncGenerator[Sight, None]:
        """Give all JobQueues of a namespace, then each change, for ever."""
        ...


class QueueLearner:
    """Keeps directory and waker as the JobQueues say."""

    def __init__(
        self,
        *,
        settings: Settings,
        source: JobQueueSource,
        namespaces: Sequence[str],
        directory: QueueDirectory,
        waker: Waker,
        open_queue: Callable[[QueueSettings], MessageQueue],
        clock: Clock,
    ) -> None:
        """Take where the JobQueues are, and how the SQS queue of one is opened."""
        self.namespaces = tuple(namespaces)
        self._settings = settings
        self._configured = configured_queues(settings)
        self._scheduled = {name: settings.queue(name).schedules for name in settings.queue_names}
        self._source = source
        self._directory = directory
        self._waker = waker
        self._open_queue = open_queue
        self._clock = clock
        self._jobqueues: dict[JobQueueRef, JobQueue] = {}
        self._versions: dict[JobQueueRef, tuple[object, ...]] = {}
        self._learnt: dict[str, JobQueue] = {}
        self._opened: dict[str, QueueSqs] = {}
        self._refused: Mapping[JobQueueRef, str] = {}
        self._unlisted = set(self.namespaces)
        self._listed = asyncio.Event()
        self._preparing: dict[str, asyncio.Task[None]] = {}
        self._prepared_at_once = asyncio.Semaphore(_PREPARED_AT_ONCE)

    def is_complete(self) -> bool:
        """Tell whether every JobQueue has been seen, at least once."""
        return self._listed.is_set()

    async def wait(self, seconds: float) -> None:
        """Return when every JobQueue has been seen, or that much later."""
        waits = [
            asyncio.ensure_future(self._listed.wait()),
            asyncio.ensure_future(self._clock.sleep(seconds)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def follow(self, namespace: str) -> None:
        """Learn from one namespace until cancelled."""
        async with contextlib.aclosing(self._source.jobqueues(namespace)) as sights:
            async for sight in sights:
                self._see(namespace, sight)

    async def close(self) -> None:
        """Stop looking for queues."""
        for task in self._preparing.values():
            task.cancel()
        await asyncio.gather(*self._preparing.values(), return_exceptions=True)

    def _see(self, namespace: str, sight: Sight) -> None:
        if isinstance(sight, Listed):
            listed = {ref_of(content) for content in sight.objects}
            gone = [ref for ref in self._versions if ref.namespace == namespace and ref not in listed]
            changes = [self._forget(ref) for ref in gone] + [self._take(content) for content in sight.objects]
            is_changed = any(changes)
        elif isinstance(sight, Gone):
            is_changed = self._forget(ref_of(sight.object))
        else:
            is_changed = self._take(sight.object)
        if is_changed:
            self._converge()
        if isinstance(sight, Listed):
            self._unlisted.discard(namespace)
            if not self._unlisted:
                self._listed.set()

    def _take(self, content: Mapping[str, Any]) -> bool:
        """Note a JobQueue; tell whether it says anything new."""
        ref, version = ref_of(content), version_of(content)
        if self._versions.get(ref) == version:
            return False
        self._versions[ref] = version
        try:
            self._jobqueues[ref] = read_jobqueue(content)
        except ValueError as error:
            # The operator tells its owner; here an older reading of it still holds.
            _log.warning("JobQueue not understood", jobqueue=str(ref), error=str(error)[:500])
            return False
        if faults := self._jobqueues[ref].faults:
            _log.warning("schedules not understood", jobqueue=str(ref), faults=faults)
        return True

    def _forget(self, ref: JobQueueRef) -> bool:
        self._versions.pop(ref, None)
        return self._jobqueues.pop(ref, None) is not None

    def _converge(self) -> None:
        """Make directory and waker what the JobQueues come to now."""
        found = assign(self._jobqueues.values(), self._configured, self._settings.queue_names)
        for name in self._learnt.keys() - found.learnt.keys():
            self._directory.retire(name)
            _log.info("queue forgotten", queue=name, jobqueue=str(self._learnt.pop(name).ref))
        for name, jobqueue in found.learnt.items():
            if self._learnt.get(name) != jobqueue:
                self._learn(name, jobqueue)
        for name in self._directory.accepted:
            self._schedule(name, found.owners.get(name))
        self._waker.aim(found.targets)
        for ref, why in found.refused.items():
            if self._refused.get(ref) != why:
                _log.warning("JobQueue without a queue", jobqueue=str(ref), why=why)
        self._refused = found.refused

    def _learn(self, name: str, jobqueue: JobQueue) -> None:
        queue = queue_settings(self._settings, jobqueue)
        rules = job_rules(self._settings, queue)
        if self._opened.get(name) == queue.sqs:
            self._directory.accept(name, rules)
        else:
            self._opened[name] = queue.sqs
            self._prepare(name, self._directory.add(name, self._open_queue(queue), rules))
        self._learnt[name] = jobqueue
        _log.info("queue learnt", queue=name, jobqueue=str(jobqueue.ref), sqs_name=queue.sqs.queue_name)

    def _schedule(self, name: str, owner: JobQueue | None) -> None:
        """Give a queue its JobQueue's schedules beside those of the settings, which win."""
        schedules = {**({} if owner is None else owner.schedules), **self._scheduled.get(name, {})}
        self._directory.schedule(name, recurrences(name, schedules))

    def _prepare(self, name: str, queue: WatchedQueue) -> None:
        before = self._preparing.pop(name, None)
        if before is not None:
            before.cancel()

        async def step() -> None:
            async with self._prepared_at_once:
                await queue.prepare()

        self._preparing[name] = asyncio.create_task(
            until_done(f"queue {name}", step, self._clock, last_pause_seconds=_LAST_PAUSE_SECONDS)
        )
