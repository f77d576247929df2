"""What the operator sees of one JobQueue."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_operator.observing.workload import STALE_HEARTBEATS, Workload
from jobqueue_operator.scaling import QueueCounts, Unknown

if TYPE_CHECKING:
    from jobqueue_core.domain.errors import StoreUnavailableError
    from jobqueue_core.domain.heartbeat import Heartbeat
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue_admin import QueueAdmin, QueuePlan, QueueReading, QueueSettings
    from jobqueue_operator.observing.store_reader import StoreReader
    from jobqueue_operator.scaling import Observation

DEAD_LETTER_SECONDS = 30.0
"""Dead letters are counted no more often: nothing is decided by them, and a request costs money."""
SPREAD_SECONDS = 60.0
"""SQS: a change of attributes may take so long until every reading shows it."""
_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at a JobQueue.

    Attributes:
        observation: What to decide on; the control loop fills in its replicas and the schedule.
        dead_letters: Messages in the dead-letter queue, up to half a minute old; None when unknown.
        drifted: The queue's settings are not as planned: it is time to converge.
        queue_error: Why SQS could not be read; None when it could.
        store_error: Why the store could not be read; None when it could.
        heartbeats: Workers that were heard of lately; empty when unknown.
    """

    observation: Observation
    dead_letters: int | None = None
    drifted: bool = False
    queue_error: QueueUnavailableError | None = None
    store_error: StoreUnavailableError | None = None
    heartbeats: tuple[Heartbeat, ...] = ()

    @property
    def backlog(self) -> QueueCounts | None:
        """The queue's counts; None when unknown."""
        queue = self.observation.queue
        return queue if isinstance(queue, QueueCounts) else None


class ClusterObserver:
    """Reads queue, dead letters and store side by side; what cannot be read is unknown, never zero.

    Args:
        jobs: Name by which jobs name the queue.
        url: Its SQS queue.
        dead_letter_url: That one's dead-letter queue; None where there is none to count.
        plan: How the queue shall be; settings that differ are seen where it is provisioned (`create`).
        admin: Reads queues.
        reader: Reads the store.
        clock: Time.
        heartbeat_seconds: How often workers write one.
        max_attempts: Attempts that a job has.
    """

    def __init__(  # noqa: PLR0913 -- all but the first by keyword
        self,
        jobs: str,
        *,
        url: str,
        dead_letter_url: str | None,
        plan: QueuePlan,
        admin: QueueAdmin,
        reader: StoreReader,
        clock: Clock,
        heartbeat_seconds: float,
        max_attempts: int = 3,
    ) -> None:
        self._jobs = jobs
        self._url = url
        self._plan = plan
        self._admin = admin
        self._reader = reader
        self._clock = clock
        self._fresh = timedelta(seconds=STALE_HEARTBEATS * heartbeat_seconds)
        self._workload = Workload(clock, max_attempts=max_attempts)
        self._drift = _Drift(clock)
        self._dead_letters = _DeadLetters(admin, dead_letter_url, clock)

    def expect(self, plan: QueuePlan, *, max_attempts: int | None = None) -> None:
        """Take the spec to which the queues have just been brought."""
        self._plan = plan
        self._dead_letters.forget()
        if max_attempts is not None:
            self._workload.max_attempts = max_attempts

    async def observe(self) -> Seen:
        """Read everything once; no failure of SQS or store is an exception."""
        queue, dead_letters, store = await asyncio.gather(
            self._read_queue(),
            self._dead_letters.read(),
            self._reader.read(self._jobs, self._clock.now() - self._fresh),
        )
        if isinstance(queue, QueueUnavailableError):
            counts: QueueCounts | Unknown = Unknown(str(queue))
            queue_error: QueueUnavailableError | None = queue
            drifted = False
            self._dead_letters.pause()
        else:
            counts = QueueCounts(queue.counts.visible, queue.counts.in_flight, queue.counts.delayed)
            queue_error = self._dead_letters.error
            self._dead_letters.go_on()
            drifted = self._drift.seen(self._plan, queue.settings)
        heartbeats = () if isinstance(store.heartbeats, Unknown) else store.heartbeats
        return Seen(
            observation=self._workload.observation(
                counts, store.backlog, store.heartbeats, is_stopped=store.is_stopped
            ),
            dead_letters=dead_letters,
            drifted=drifted,
            queue_error=queue_error,
            store_error=store.error,
            heartbeats=heartbeats,
        )

    async def _read_queue(self) -> QueueReading | QueueUnavailableError:
        try:
            return await self._admin.read(self._url, with_settings=self._plan.create)
        except QueueUnavailableError as error:
            return error


class _DeadLetters:
    """Counts dead letters now and then, and keeps the count and the error until the next time.

    After a failure the next time is soon. While the queue itself cannot be read, they are not known either.
    """

    def __init__(self, admin: QueueAdmin, url: str | None, clock: Clock) -> None:
        self._admin = admin
        self._url = url
        self._clock = clock
        self._due = -math.inf
        self._paused = False
        self._count: int | None = None
        self.error: QueueUnavailableError | None = None

    async def read(self) -> int | None:
        now = self._clock.monotonic()
        if self._url is None or self._paused or now < self._due:
            return self._count
        self._due = now + DEAD_LETTER_SECONDS
        try:
            self._count, self.error = await self._admin.dead_letters(self._url), None
        except QueueUnavailableError as error:
            self._count, self.error = None, error
            self._due = now + _RETRY_SECONDS
        return self._count

    def forget(self) -> None:
        """Count anew the next time."""
        self._due, self.error = -math.inf, None

    def pause(self) -> None:
        """Count no more until told to go on; what was counted is not known any more."""
        self._paused = True
        self._count, self.error, self._due = None, None, -math.inf

    def go_on(self) -> None:
        """Count again when it is time."""
        self._paused = False


class _Drift:
    """Tells of settings that are not as planned, of the same ones once until a correction has spread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: QueueSettings | None = None
        self._told_at = -math.inf

    def seen(self, plan: QueuePlan, found: QueueSettings | None) -> bool:
        if found is None or plan.fits(found):
            self._told = None
            return False
        now = self._clock.monotonic()
        if found == self._told and now - self._told_at < SPREAD_SECONDS:
            return False
        self._told, self._told_at = found, now
        return True
