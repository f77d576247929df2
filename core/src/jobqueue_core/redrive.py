"""Carries redrives out, a batch a turn; whoever dies is followed by another relay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from jobqueue_core import failpoints
from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.domain.redrives import (
    Redrive,
    RedriveState,
    advanced,
    allowance,
    ended,
    is_running_out,
    is_wanted,
    redrive,
    taken,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.transitions import JobRules
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.redrives import RedriveStore
    from jobqueue_core.ports.store import JobStore

_log = structlog.get_logger(__name__)

_TASKS_MAX = 100
# Where SQS itself carries the letters back, the relay sends only what has not come by then.
_MOVE_SECONDS = 120.0


class RedriveObserver(Protocol):
    """Is told what redrives did."""

    def redriven(self, queue: str, count: int) -> None:
        """Count jobs that were made to run again."""
        ...


class Redriver:
    """A chore of the relay.

    A task is taken by a guarded write, and every later write of it demands the token of that one. Jobs are
    reset first and the cursor is written behind them: whoever follows a relay that died in between finds
    them reset already. They are due at once, and the relay sends them like anything that is due.
    """

    def __init__(  # noqa: PLR0913 - the one wiring point, all by keyword
        self,
        *,
        store: JobStore,
        redrives: RedriveStore,
        queues: Mapping[str, MessageQueue],
        rules: Mapping[str, JobRules],
        clock: Clock,
        observer: RedriveObserver,
        new_token: Callable[[], str],
        done: Callable[[str], None] | None = None,
    ) -> None:
        """Take the stores and every queue; `done` is told the name of a queue that was redriven."""
        self._store = store
        self._redrives = redrives
        self._queues = queues
        self._rules = rules
        self._clock = clock
        self._observer = observer
        self._new_token = new_token
        self._done = done
        self._mine: dict[str, str] = {}

    async def turn(self) -> bool:
        """Do a batch of each task that is free or in our hands; tell whether one could go on at once."""
        more = False
        tasks = await self._redrives.running(_TASKS_MAX)
        self._mine = {task.id: task.token for task in tasks if self._mine.get(task.id) == task.token}
        for task in tasks:
            rules, queue = self._rules.get(task.queue), self._queues.get(task.queue)
            if rules is None or queue is None:
                continue  # learnt later, or by another relay
            held = await self._take(task)
            if held is not None:
                more |= await self._advance(held, rules, queue)
        return more

    async def _take(self, task: Redrive) -> Redrive | None:
        """Return the task if it is in our hands, taking it where it is free."""
        now = self._clock.now()
        is_mine = task.id in self._mine
        if is_mine and not is_running_out(task, now):
            return task
        if not is_mine and not task.is_free(now):
            return None
        held = taken(task, token=self._new_token(), now=now)
        if not await self._redrives.write(task, held):
            return None
        self._mine[task.id] = held.token
        return held

    async def _advance(self, task: Redrive, rules: JobRules, queue: MessageQueue) -> bool:
        """Run a batch of jobs again and note it; tell whether more may go at once."""
        now = self._clock.now()
        limit = allowance(task, now)
        if limit == 0:
            return False
        by_queue = await self._is_moved_by_queue(task, queue)
        seen, found = await self._next(task, limit)
        if not seen:
            await self._end(task, queue, by_queue=by_queue)
            return False
        wanted = [job for job in found if is_wanted(task, job)]
        steps = redrive(
            wanted,
            rules=rules,
            token=self._new_token(),
            now=now,
            owed_seconds=_MOVE_SECONDS if by_queue else 0.0,
        )
        landed = await self._store.apply(steps)
        failpoints.hit("redrive.after_reset")
        moved = sum(landed)
        self._observer.redriven(task.queue, moved)
        after = advanced(task, cursor=seen[-1], moved=moved, skipped=len(seen) - moved, now=self._clock.now())
        if not await self._redrives.write(task, after):
            _log.info("redrive is not ours any more", redrive=task.id)
            self._mine.pop(task.id, None)
            return False
        failpoints.hit("redrive.after_cursor")
        return allowance(after, self._clock.now()) > 0

    async def _next(self, task: Redrive, limit: int) -> tuple[Sequence[str], list[Job]]:
        """Return the ids that are next, and those of their jobs that exist."""
        if not task.selection.job_ids:
            jobs = await self._store.failed_after(
                task.queue, limit=limit, fingerprint=task.selection.fingerprint, after=task.cursor
            )
            return [job.id for job in jobs], jobs
        left = [each for each in sorted(task.selection.job_ids) if task.cursor is None or each > task.cursor]
        found = await self._store.get_many(left[:limit])
        return left[:limit], [found[each] for each in left[:limit] if each in found]

    async def _is_moved_by_queue(self, task: Redrive, queue: MessageQueue) -> bool:
        """Tell whether the letters of the task's jobs are to be carried back by the queue itself.

        Only where every letter goes, at whatever rate, in whatever order.
        """
        if not task.selection.is_all or task.per_second is not None or queue.fifo:
            return False
        try:
            return await queue.can_move_dead_letters()
        except QueueUnavailableError:
            return False

    async def _end(self, task: Redrive, queue: MessageQueue, *, by_queue: bool) -> None:
        """Note that no job is left, and have the letters cleared away."""
        if by_queue and task.moved:
            # Every job that a letter names is reset by now: its letter is a message again. Should the
            # queue not move it after all, the relay sends one.
            try:
                await queue.move_dead_letters()
            except QueueUnavailableError as error:
                _log.warning("the queue does not move its dead letters", queue=task.queue, error=str(error))
        over = ended(task, RedriveState.DONE, self._clock.now())
        if await self._redrives.write(task, over):
            _log.info(
                "redrive done", redrive=task.id, queue=task.queue, moved=task.moved, skipped=task.skipped
            )
        self._mine.pop(task.id, None)
        if self._done is not None:
            self._done(task.queue)
