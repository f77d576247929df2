"""One walk through a dead-letter queue: what stands for nothing goes, what is missing is written again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import Enum, auto
from math import ceil
from typing import TYPE_CHECKING

import structlog

from jobqueue_core import failpoints
from jobqueue_core.domain.job import Phase
from jobqueue_core.domain.letters import Fate, Letter, judge_letter, read_letter
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import postpone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.job import Job
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import MessageQueue, Received
    from jobqueue_core.ports.store import JobStore

_log = structlog.get_logger(__name__)

# Longer than a walk through some hundred thousand letters takes: until then no letter comes twice.
HELD_SECONDS = 120
# A letter this close to being shown again may be in other hands when a duplicate of it is judged.
_MARGIN_SECONDS = 10.0
# SQS: messages in one receive.
_RECEIVE_MAX = 10
_RECEIVES_AT_ONCE = 4
_TURN_RECEIVES = 5
# SQS looks at all its servers only for who waits (long polling): without, "nothing" may be wrong.
_LAST_WAIT_SECONDS = 1
_PAGE = 500
_RELEASE = 200
# A job that has failed just now may have its letter on the way.
_FRESH_SECONDS = 60.0


class _Part(Enum):
    READING = auto()
    RESTORING = auto()
    RELEASING = auto()
    OVER = auto()


@dataclass(slots=True)
class _Found:
    """Letters of one batch, by what is done with them."""

    delete: list[str] = field(default_factory=list)
    owed: list[tuple[Job, str]] = field(default_factory=list)


class Sweep:
    """Reads every letter once, holding them until the end so that none comes twice.

    Any number of sweeps may be under way at a time: each has other letters in hand. One that dies leaves
    letters that show again by themselves.
    """

    def __init__(
        self, name: str, queue: MessageQueue, store: JobStore, clock: Clock, *, letters: int, failed: int
    ) -> None:
        """Begin.

        Args:
            name: of the queue, as jobs name it.
            queue: whose dead letters are read.
            store: where the jobs are.
            clock: tells the time.
            letters: how many letters there are, as SQS counts.
            failed: how many jobs have failed.

        """
        self._name = name
        self._queue = queue
        self._store = store
        self._clock = clock
        self._letters = letters
        self._failed = failed
        self._began = clock.now()
        self._part = _Part.READING
        self._seen: set[str] = set()
        # The receipt of the one letter that each failed job keeps, and until when it is surely in hand.
        self._kept: dict[str, tuple[str, float]] = {}
        self._others: list[str] = []
        self._cursor: str | None = None
        self.foreign = 0
        """Letters that are none of ours."""
        self.changed = 0
        """Letters deleted, and letters that were missing."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        return self._part is _Part.OVER

    async def step(self) -> None:
        """Do a bounded part of it.

        Raises:
            QueueUnavailableError: the queue does not answer; the sweep may be dropped.
            StoreUnavailableError: the store does not answer; the sweep may be dropped.

        """
        if self._part is _Part.READING:
            for _ in range(_TURN_RECEIVES):
                if not await self._read():
                    self._part = _Part.RESTORING if self._has_seen_all() else _Part.RELEASING
                    break
        elif self._part is _Part.RESTORING:
            await self._restore()
        elif self._part is _Part.RELEASING:
            await self._release()

    def _has_seen_all(self) -> bool:
        """Tell whether every letter was in hand, so that one that is missing is known to be."""
        return len(self._kept) < self._failed and len(self._seen) >= self._letters

    async def _read(self) -> bool:
        """Judge a batch of letters; False when there are no more."""
        answers = await asyncio.gather(
            *(self._queue.receive_dead_letters(_RECEIVE_MAX, HELD_SECONDS) for _ in range(self._at_once()))
        )
        received = [message for answer in answers for message in answer]
        if not received:
            received = await self._queue.receive_dead_letters(_RECEIVE_MAX, HELD_SECONDS, _LAST_WAIT_SECONDS)
        came_round = any(message.id in self._seen for message in received)
        new = [message for message in received if message.id not in self._seen]
        self._seen.update(message.id for message in new)
        await self._judge(new)
        return bool(received) and not came_round

    def _at_once(self) -> int:
        """Return how many receives are worth while: an empty one costs as much as a full one."""
        expected = ceil((self._letters - len(self._seen)) / _RECEIVE_MAX)
        return 1 if self._queue.fifo else min(max(1, expected), _RECEIVES_AT_ONCE)

    async def _judge(self, received: Sequence[Received]) -> None:
        letters = [
            (message, read_letter(message.body, message.attributes, message.moved_from))
            for message in received
        ]
        jobs = await self._store.get_many(list({each.job_id for _, each in letters if each.job_id}))
        now = self._clock.now()
        found = _Found()
        for message, letter in letters:
            job = jobs.get(letter.job_id or "")
            self._sort(message, letter, job, judge_letter(letter, job, now), found)
        await self._settle(found)

    def _sort(self, message: Received, letter: Letter, job: Job | None, fate: Fate, found: _Found) -> None:
        if fate is Fate.DELETE:
            found.delete.append(message.receipt)
        elif fate in (Fate.RESEND, Fate.REPLACE) and job is not None:
            _log.warning(
                "SQS moved a message to the dead-letter queue that was received too often",
                queue=self._name,
                job_id=job.id,
                phase=job.phase.value,
                attempts=job.attempts,
            )
            found.owed.append((job, message.receipt))
        elif fate is Fate.KEEP and job is not None and job.phase is Phase.FAILED:
            self._keep(message, job, found)
        else:
            self.foreign += fate is Fate.FOREIGN
            self._others.append(message.receipt)
            if fate is Fate.FOREIGN:
                _log.warning(
                    "dead letter that is none of ours",
                    queue=self._name,
                    message_id=message.id,
                    reason=letter.reason,
                )

    def _keep(self, message: Received, job: Job, found: _Found) -> None:
        now = self._clock.monotonic()
        held = self._kept.get(job.id)
        if held is not None and held[1] > now + _MARGIN_SECONDS:
            # The other one is in hand: nobody else can be deleting that.
            found.delete.append(message.receipt)
        else:
            self._kept[job.id] = (message.receipt, now + HELD_SECONDS)

    async def _settle(self, found: _Found) -> None:
        """Have the relay look at jobs at once, and only then delete what it replaces."""
        owed = {job.id: job for job, _ in found.owed}
        now = self._clock.now()
        steps = [postpone(job, now=now, seconds=0) for job in owed.values()]
        landed = dict(zip(owed, await self._store.apply(steps), strict=True))
        for job, receipt in found.owed:
            (found.delete if landed[job.id] else self._others).append(receipt)
        if found.delete:
            failpoints.hit("letters.before_delete")
            await self._queue.delete_dead_letters(found.delete)
            self.changed += len(found.delete)

    async def _restore(self) -> None:
        """Have the letters written again that are missing: lost by the queue, or past its retention."""
        jobs = await self._store.failed_after(self._name, limit=_PAGE, after=self._cursor)
        now = self._clock.now()
        settled = later(self._began, -_FRESH_SECONDS)
        missing = [
            job
            for job in jobs
            if job.id not in self._kept
            and job.due_at is None
            and (job.finished_at is None or job.finished_at <= settled)
        ]
        if missing:
            _log.warning("dead letters are missing", queue=self._name, jobs=len(missing))
            await self._store.offer([postpone(job, now=now, seconds=0) for job in missing])
            self.changed += len(missing)
        if len(jobs) < _PAGE:
            self._part = _Part.RELEASING
        else:
            self._cursor = jobs[-1].id

    async def _release(self) -> None:
        """Show what was held, for people to see."""
        receipts = [*self._others, *(receipt for receipt, _ in self._kept.values())]
        self._others, self._kept = receipts[_RELEASE:], {}
        if receipts:
            await self._queue.show_dead_letters(receipts[:_RELEASE])
        if not self._others:
            self._part = _Part.OVER
