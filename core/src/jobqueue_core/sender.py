"""Carries stored jobs to their queue, behind the answer to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from jobqueue_core import failpoints
from jobqueue_core.batching import Batcher
from jobqueue_core.domain.errors import JobQueueError, QueueUnavailableError, StoreUnavailableError
from jobqueue_core.domain.message import encode
from jobqueue_core.domain.transitions import note_sent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.job import Job
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import EntryError, MessageQueue
    from jobqueue_core.ports.store import JobStore

_log = structlog.get_logger(__name__)

_BATCH = 10
_IN_FLIGHT = 4
# Jobs that wait here for a batch; past it they are left to the relay, memory is not its store.
_WAITING_MAX = 5000
# After a failed call the queue is left alone this long: the relay has what was not sent.
_PAUSE_SECONDS = 1.0
# A worker that is free claims the job within this, and its claim notes the send by itself.
_NOTE_LINGER_SECONDS = 0.25
_NOTE_BATCH = 500


class Sender:
    """Sends the jobs of one queue in batches that fill by themselves, and notes what was sent.

    It may lose anything at any moment (it holds nothing but references): a job whose send is not
    noted is the relay's.
    """

    def __init__(self, queue: MessageQueue, store: JobStore, clock: Clock) -> None:
        """Take the queue to send to and the store to note it in."""
        self._queue = queue
        self._store = store
        self._clock = clock
        self._paused_until = 0.0
        self._sends: Batcher[Job, EntryError | None] = Batcher(
            # Two calls at once may overtake each other: a FIFO queue is sent to one by one.
            self._send,
            max_size=_BATCH,
            max_in_flight=1 if queue.fifo else _IN_FLIGHT,
        )
        self._notes: Batcher[Job, None] = Batcher(
            self._note, max_size=_NOTE_BATCH, linger_seconds=_NOTE_LINGER_SECONDS, sleep=clock.sleep
        )

    def hand_over(self, jobs: Sequence[Job]) -> None:
        """Take queued jobs that have just been stored; returns at once."""
        if self._clock.monotonic() < self._paused_until:
            return
        for job in jobs[: max(0, _WAITING_MAX - self._sends.depth)]:
            self._sends.post(job)

    async def close(self) -> None:
        """Send and note what waits."""
        await self._sends.close()
        await self._notes.close()

    async def _send(self, jobs: list[Job]) -> list[EntryError | None]:
        if self._clock.monotonic() < self._paused_until:
            msg = f"the queue {self._queue.name} has just refused a call"
            raise QueueUnavailableError(msg)
        failpoints.hit("api.before_send")
        try:
            answers = await self._queue.send([encode(job, fifo=self._queue.fifo) for job in jobs])
        except JobQueueError as error:
            self._paused_until = self._clock.monotonic() + _PAUSE_SECONDS
            _log.warning("send failed, left to the relay", queue=self._queue.name, error=str(error))
            raise
        failpoints.hit("api.after_send")
        for job, answer in zip(jobs, answers, strict=True):
            if answer is None:
                self._notes.post(job)
            else:
                _log.warning(
                    "message refused, left to the relay",
                    job_id=job.id,
                    queue=self._queue.name,
                    code=answer.code,
                    error=answer.message,
                )
        return answers

    async def _note(self, jobs: list[Job]) -> list[None]:
        # One time for all of them: notes that say the same are one write.
        now = self._clock.now()
        try:
            await self._store.offer([note_sent(job, now) for job in jobs])
        except StoreUnavailableError as error:
            # Costs one message more, which has no effect.
            _log.warning("sends not noted, the relay repeats them", jobs=len(jobs), error=str(error))
        failpoints.hit("api.after_note")
        return [None] * len(jobs)
