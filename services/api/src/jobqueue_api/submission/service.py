"""Accepting jobs: stored first, handed to the queue behind the answer."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from jobqueue_core import failpoints
from jobqueue_core.batching import Batcher
from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.job import Job, Phase
from jobqueue_core.domain.submission import new_job

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jobqueue_api.directory import QueueDirectory
    from jobqueue_api.upstream import WatchedStore
    from jobqueue_core.domain.ids import JobIds
    from jobqueue_core.domain.submission import Submission
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.store import Inserted, JobStore

# Small enough that the database works on one batch while the next is read from its clients: in one big batch
# all of them would wait for it together. 64 clients: 2,290/s in batches of 64, 2,900/s in batches of 32.
_BATCH = 32
_IN_FLIGHT = 2
# Each failed call may have waited for the driver's time-out: whoever has gathered meanwhile is told at once,
# and so is everybody until the next try.
_PAUSE_SECONDS = 0.5
_WAITING_MAX = 5000


class Submissions:
    """Stores jobs, many clients' in one write, and hands them over."""

    def __init__(
        self,
        *,
        store: JobStore,
        watch: WatchedStore,
        directory: QueueDirectory,
        clock: Clock,
        ids: JobIds,
        new_token: Callable[[], str],
    ) -> None:
        """Take the store, and every queue."""
        self._store = store
        self._watch = watch
        self._directory = directory
        self._queues = directory.entries
        self._clock = clock
        self._ids = ids
        self._new_token = new_token
        self._paused_until = 0.0
        self._inserts: Batcher[Job, Inserted] = Batcher(
            self._insert_or_pause, max_size=_BATCH, max_in_flight=_IN_FLIGHT
        )

    async def submit(self, submission: Submission) -> Inserted:
        """Return when the job is stored on a majority.

        Raises:
            StoreUnavailableError: it is not known to be stored.

        """
        self._check()
        if self._inserts.depth >= _WAITING_MAX:
            msg = "too many submissions wait for the database"
            raise StoreUnavailableError(msg)
        return await self._inserts.submit(self._job(submission))

    async def submit_all(self, submissions: Sequence[Submission]) -> list[Inserted]:
        """Return when all jobs are stored; answers in order.

        Raises:
            StoreUnavailableError: not all are known to be stored.

        """
        self._check()
        return await self._insert([self._job(submission) for submission in submissions])

    def hand_over(self, jobs: Sequence[Job]) -> None:
        """Give stored jobs to their queues' senders; those that are scheduled are the relay's."""
        of_queue: dict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            if job.phase is Phase.QUEUED:
                of_queue[job.queue].append(job)
        for name, queued in of_queue.items():
            self._queues[name].sender.hand_over(queued)

    async def close(self) -> None:
        """Store what waits, and send it."""
        await self._inserts.close()
        await self._directory.close()

    def _check(self) -> None:
        if not self._watch.prepared:
            msg = "the database has not been prepared yet"
            raise StoreUnavailableError(msg)

    def _job(self, submission: Submission) -> Job:
        now = self._clock.now()
        return new_job(
            submission,
            job_id=self._ids.new(now),
            token=self._new_token(),
            rules=self._queues[submission.queue].rules,
            now=now,
        )

    async def _insert_or_pause(self, jobs: list[Job]) -> list[Inserted]:
        if self._clock.monotonic() < self._paused_until:
            msg = "the database did not answer a moment ago"
            raise StoreUnavailableError(msg)
        try:
            return await self._insert(jobs)
        except StoreUnavailableError:
            self._paused_until = self._clock.monotonic() + _PAUSE_SECONDS
            raise

    async def _insert(self, jobs: list[Job]) -> list[Inserted]:
        failpoints.hit("api.before_insert")
        answers = await self._store.insert(jobs)
        failpoints.hit("api.after_insert")
        created = [answer.job for answer in answers if answer.created]
        for job in created:
            self._queues[job.queue].count_submitted()
        self.hand_over(created)
        return answers
