"""Looks at dead letters and orders redrives; the relay carries them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from jobqueue_api.dead_letters.views import (
    DeadLetterPage,
    ForeignLetter,
    ForeignList,
    GroupList,
    RedriveView,
    group_of,
    redrive_of,
)
from jobqueue_api.jobs import cursor as cursors
from jobqueue_api.jobs.views import summary_of
from jobqueue_api.problems import Kind, Problem, cut, listed
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.domain.ids import JobIds, is_job_id
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.letters import read_letter
from jobqueue_core.domain.redrives import Redrive, RedriveState, ended
from jobqueue_core.ports.store import JobFilter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobqueue_api.dead_letters.requests import RedriveRequest
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import MessageQueue, Received
    from jobqueue_core.ports.redrives import RedriveStore
    from jobqueue_core.ports.store import JobStore

_TRIES = 5
_SHOWN_REDRIVES = 50
_BODY_SHOWN = 500
# Long enough to be judged; who dies meanwhile hides them no longer than this.
_PEEK_SECONDS = 10
_PEEK_BATCH = 10

_log = structlog.get_logger(__name__)


class DeadLetters:
    """The failed jobs of every queue."""

    def __init__(
        self, *, store: JobStore, redrives: RedriveStore, queues: Mapping[str, MessageQueue], clock: Clock
    ) -> None:
        """Take the stores, and the queues that requests may name."""
        self._store = store
        self._redrives = redrives
        self._queues = queues
        self._clock = clock
        self._ids = JobIds()

    async def page(self, name: str, group: str | None, limit: int, cursor: str | None) -> DeadLetterPage:
        """Return a page of a queue's failed jobs.

        Raises:
            Problem: the queue or the cursor is not known.

        """
        queue = self._queue(name)
        before = None if cursor is None else cursors.decode(cursor)
        which = JobFilter(queue=name, phase=Phase.FAILED, fingerprint=group)
        jobs = await self._store.page(which, limit=limit + 1, before=before)
        shown = jobs[:limit]
        return DeadLetterPage(
            queue=name,
            failed=await self._store.failed_count(name),
            letters=await self._letters(queue),
            jobs=[summary_of(job) for job in shown],
            next_cursor=cursors.encode(shown[-1].id) if len(jobs) > limit else None,
        )

    async def groups(self, name: str, limit: int) -> GroupList:
        """Return the largest groups of a queue's failed jobs.

        Raises:
            Problem: the queue is not known.

        """
        queue = self._queue(name)
        found = await self._store.failure_groups(name, limit)
        newest = await self._store.get_many([group.newest for group in found])
        return GroupList(
            queue=name,
            failed=await self._store.failed_count(name),
            letters=await self._letters(queue),
            grouped=sum(group.count for group in found),
            groups=[group_of(group, newest.get(group.newest)) for group in found],
        )

    async def foreign(self, name: str, limit: int) -> ForeignList:
        """Look at up to `limit` messages of a dead-letter queue, and return those that are no failed job's.

        Raises:
            Problem: the queue is not known, or SQS does not answer.

        """
        queue = self._queue(name)
        try:
            total = await queue.dead_letters()
            received = await _peek(queue, limit)
        except QueueUnavailableError as error:
            _log.warning("dead letters could not be looked at", queue=name, error=str(error))
            detail = "SQS does not answer, or does not allow it. Try again."
            raise Problem(Kind.QUEUE_UNAVAILABLE, detail, headers={"Retry-After": "5"}) from None
        letters = [
            (message, read_letter(message.body, message.attributes, message.moved_from))
            for message in received
        ]
        foreign = [
            ForeignLetter(
                message_id=message.id,
                job_id=letter.job_id,
                reason=letter.reason or "SQS moved it here: it was received too often",
                body=message.body[:_BODY_SHOWN],
                receives=message.receive_count,
            )
            for message, letter in letters
            if not letter.is_ours
        ]
        return ForeignList(
            queue=name, letters=foreign, looked_at=len(received), complete=len(received) >= total
        )

    async def redrive(self, name: str, request: RedriveRequest) -> RedriveView:
        """Order a redrive.

        Raises:
            Problem: the queue is not known.

        """
        self._queue(name)
        now = self._clock.now()
        task = Redrive(
            id=self._ids.new(now),
            queue=name,
            selection=request.selection,
            per_second=request.per_second,
            created_at=now,
            updated_at=now,
        )
        await self._redrives.create(task)
        _log.info("redrive ordered", redrive=task.id, queue=name, group=request.group)
        return redrive_of(task)

    async def redrives(self, name: str) -> list[RedriveView]:
        """Return the newest redrives of a queue.

        Raises:
            Problem: the queue is not known.

        """
        self._queue(name)
        return [redrive_of(task) for task in await self._redrives.of_queue(name, _SHOWN_REDRIVES)]

    async def show(self, name: str, redrive_id: str) -> RedriveView:
        """Return one redrive.

        Raises:
            Problem: it or its queue is not known.

        """
        return redrive_of(await self._task(name, redrive_id))

    async def cancel(self, name: str, redrive_id: str) -> RedriveView:
        """End a redrive: jobs whose turn has not come stay as they are.

        Raises:
            Problem: it or its queue is not known, it is over, or it kept changing hands.

        """
        for _ in range(_TRIES):
            task = await self._task(name, redrive_id)
            if task.state is not RedriveState.RUNNING:
                raise Problem(Kind.REDRIVE_NOT_CANCELLABLE, f"The redrive is {task.state} already.")
            if await self._redrives.write(task, ended(task, RedriveState.CANCELLED, self._clock.now())):
                _log.info("redrive cancelled", redrive=task.id, queue=name)
                return redrive_of(await self._task(name, redrive_id))
        detail = "The redrive changed hands each time this was tried. Try again."
        raise Problem(Kind.REDRIVE_NOT_CANCELLABLE, detail)

    async def _task(self, name: str, redrive_id: str) -> Redrive:
        self._queue(name)
        task = await self._redrives.get(redrive_id) if is_job_id(redrive_id) else None
        if task is None or task.queue != name:
            detail = f"There is no redrive {cut(redrive_id)} of this queue, or none any more."
            raise Problem(Kind.REDRIVE_NOT_FOUND, detail)
        return task

    def _queue(self, name: str) -> MessageQueue:
        queue = self._queues.get(name)
        if queue is None:
            detail = f"There is no queue {cut(name)}; there are: {listed(self._queues)}."
            raise Problem(Kind.QUEUE_NOT_FOUND, detail)
        return queue

    async def _letters(self, queue: MessageQueue) -> int | None:
        try:
            return await queue.dead_letters()
        except QueueUnavailableError as error:
            _log.warning("dead letters could not be counted", queue=queue.name, error=str(error))
            return None


async def _peek(queue: MessageQueue, limit: int) -> Sequence[Received]:
    """Receive messages and show them again at once."""
    received: list[Received] = []
    try:
        while len(received) < limit:
            more = await queue.receive_dead_letters(min(_PEEK_BATCH, limit - len(received)), _PEEK_SECONDS)
            received += more
            if not more:
                break
    finally:
        if received:
            await queue.show_dead_letters([message.receipt for message in received])
    return received
