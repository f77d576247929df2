"""Every queue of this process, and what belongs to each: the one place that all parts look them up in.

What is looked up are plain mappings that live as long as the directory. The directory changes them between
two turns of the event loop, so whoever goes through one while awaiting something takes a copy first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from jobqueue_api.upstream import WatchedQueue
from jobqueue_core.sender import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jobqueue_core.domain.recurrence import Recurrence
    from jobqueue_core.domain.transitions import JobRules
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore
    from jobqueue_core.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """A queue and what belongs to it.

    Attributes:
        queue: where its messages go.
        rules: what the steps of its jobs depend on.
        sender: carries its jobs to the queue.
        count_submitted: counts one job stored for it.

    """

    queue: WatchedQueue
    rules: JobRules
    sender: Sender
    count_submitted: Callable[[], None]


class QueueDirectory:
    """Knows queues by the name that jobs give.

    A queue that is retired takes no new jobs but stays known: jobs of it that are stored can be looked at and
    cancelled, and are still sent.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        clock: Clock,
        metrics: Metrics,
        arrived: Callable[[str], None] | None = None,
    ) -> None:
        """Take what every sender needs, and who is told of each send (by the queue's name)."""
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._arrived = arrived
        self._entries: dict[str, QueueEntry] = {}
        self._queues: dict[str, WatchedQueue] = {}
        self._rules: dict[str, JobRules] = {}
        self._accepted: dict[str, WatchedQueue] = {}
        self._schedules: dict[str, tuple[Recurrence, ...]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def entries(self) -> Mapping[str, QueueEntry]:
        """Every known queue, retired ones too."""
        return self._entries

    @property
    def queues(self) -> Mapping[str, WatchedQueue]:
        """The same: where the messages go."""
        return self._queues

    @property
    def rules(self) -> Mapping[str, JobRules]:
        """The same: the rules of the jobs."""
        return self._rules

    @property
    def accepted(self) -> Mapping[str, WatchedQueue]:
        """The queues that new jobs may name."""
        return self._accepted

    @property
    def schedules(self) -> Mapping[str, tuple[Recurrence, ...]]:
        """The recurring jobs of accepted queues, those without any left out."""
        return self._schedules

    def add(self, name: str, queue: MessageQueue, rules: JobRules) -> WatchedQueue:
        """Accept jobs for a queue; another one of this name sends what it has, and is gone."""
        before = self._entries.get(name)
        if before is not None:
            task = asyncio.get_running_loop().create_task(before.sender.close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
        watched = WatchedQueue(queue, None if self._arrived is None else partial(self._arrived, name))
        self._put(
            name,
            QueueEntry(
                queue=watched,
                rules=rules,
                sender=Sender(watched, self._store, self._clock),
                count_submitted=self._metrics.submitted.labels(name).inc,
            ),
        )
        return watched

    def accept(self, name: str, rules: JobRules) -> WatchedQueue:
        """Accept jobs for a known queue by these rules."""
        entry = replace(self._entries[name], rules=rules)
        self._put(name, entry)
        return entry.queue

    def schedule(self, name: str, recurrences: tuple[Recurrence, ...]) -> None:
        """Take these for the recurring jobs of an accepted queue, in place of those before."""
        if not recurrences:
            self._schedules.pop(name, None)
        elif self._schedules.get(name) != recurrences:
            self._schedules[name] = recurrences

    def retire(self, name: str) -> None:
        """Accept no more jobs for a queue, recurring ones neither."""
        self._accepted.pop(name, None)
        self._schedules.pop(name, None)

    async def close(self) -> None:
        """Send what waits."""
        await asyncio.gather(*(entry.sender.close() for entry in self._entries.values()), *self._closing)

    def _put(self, name: str, entry: QueueEntry) -> None:
        self._entries[name] = entry
        self._queues[name] = entry.queue
        self._rules[name] = entry.rules
        self._accepted[name] = entry.queue
