"""The messages that this worker holds, and the one timer that keeps them its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from jobqueue_core import failpoints
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.domain.retry import VISIBILITY_MAX_SECONDS
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import extend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.job import Job
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import MessageQueue, Received
    from jobqueue_core.ports.store import JobStore
    from jobqueue_worker.renewal import Renewer

_log = structlog.get_logger(__name__)

# Looked at four times in a visibility time-out, extended when less than half of it is left: two
# looks may fail before anything is lost.
_LOOKS = 4
_EXTEND_BELOW = 0.5


class Cut(StrEnum):
    """Why a call is not waited for any longer."""

    LOST = "lost"
    """The job is not ours any more: another attempt, a cancel, or a lease that ran out."""
    RELEASED = "released"
    """The worker has to end."""


@dataclass(slots=True, eq=False)
class Held:
    """One received message, from its receipt until it is settled.

    Attributes:
        message: as it was received; the receipt is the newest.
        received_at: monotonic seconds.
        deadline: monotonic seconds at which the queue shows the message to others.
        job_id: of the job that the message names.
        job: as the running attempt knows it; None before an attempt has begun. On a FIFO queue it may be an
            earlier one than the message's.
        done: the message has been deleted, nothing of it comes again.
        replaced: a copy of the message is in the queue in its place.
        cut: answered when the call is to be given up.

    """

    message: Received
    received_at: float
    deadline: float
    job_id: str | None = None
    job: Job | None = None
    done: bool = False
    replaced: bool = False
    cut: asyncio.Future[Cut] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def give_up(self, why: Cut) -> None:
        """Stop waiting for the call."""
        if not self.cut.done():
            self.cut.set_result(why)


class Holdings:
    """Everything held, buffered or running; extends visibility and leases together."""

    def __init__(
        self,
        queue: MessageQueue,
        store: JobStore,
        renewer: Renewer,
        clock: Clock,
        visibility_timeout_seconds: int,
    ) -> None:
        """Take the queue's visibility time-out, which is also the length of a lease."""
        self._queue = queue
        self._store = store
        self._renewer = renewer
        self._clock = clock
        self._visibility = visibility_timeout_seconds
        # A dict for its order: batches are then made in the order of receipt.
        self._held: dict[Held, None] = {}
        self._changed = asyncio.Event()
        self._not_extending = asyncio.Event()
        self._not_extending.set()

    def __len__(self) -> int:
        """Messages held now."""
        return len(self._held)

    def add(self, messages: Sequence[Received]) -> list[Held]:
        """Hold messages that have just been received."""
        now = self._clock.monotonic()
        held = [Held(message, now, now + self._visibility) for message in messages]
        self._held |= dict.fromkeys(held)
        return held

    def drop(self, held: Held) -> None:
        """Hold a message no longer."""
        self._held.pop(held, None)
        self._changed.set()

    def release_all(self) -> None:
        """Have everything that is still held given back."""
        for held in self._held:
            held.give_up(Cut.RELEASED)

    async def wait_until_at_most(self, size: int) -> None:
        """Return when no more than `size` messages are held."""
        while len(self._held) > size:
            self._changed.clear()
            await self._changed.wait()

    async def not_extending(self) -> None:
        """Return when no extension is on its way: one that arrives after a return would hide it again."""
        await self._not_extending.wait()

    async def keep(self) -> None:
        """Extend what needs it, until cancelled."""
        while True:
            await self._clock.sleep(self._visibility / _LOOKS)
            await self.extend_due()

    async def extend_due(self) -> None:
        """Extend every message, and the lease of its job, of which less than half is left."""
        now = self._clock.monotonic()
        due = [held for held in self._held if held.deadline - now < self._visibility * _EXTEND_BELOW]
        if not due:
            return
        failpoints.hit("worker.before_extend")
        await self._extend_visibility(due)
        failpoints.hit("worker.between_extends")
        await self._extend_leases([held for held in due if held.job is not None])
        failpoints.hit("worker.after_extend")

    async def _extend_visibility(self, due: Sequence[Held]) -> None:
        now = self._clock.monotonic()
        mine = [held for held in due if not held.replaced]
        # SQS: a message is invisible for 12 hours in all, counted from its receipt.
        left = {held: held.received_at + VISIBILITY_MAX_SECONDS - now for held in mine}
        ending = [held for held in mine if left[held] < self._visibility]
        await self._replace(ending)
        # What was settled meanwhile is not ours to hide any more.
        extended = [held for held in mine if not held.replaced and left[held] >= 1 and held in self._held]
        if not extended:
            return
        changes = [(held.message.receipt, int(min(self._visibility, left[held]))) for held in extended]
        self._not_extending.clear()
        try:
            answers = await self._queue.change_visibility(changes)
        except JobQueueError as error:
            _log.warning("visibility not extended", queue=self._queue.name, error=str(error))
            return
        finally:
            self._not_extending.set()
        for held, (_, length), answer in zip(extended, changes, answers, strict=True):
            if answer is None:
                held.deadline = now + length
            else:
                # The job's lease decides, not the message: a duplicate delivery has no effect.
                _log.warning("visibility not extended", code=answer.code, message_id=held.message.id)

    async def _replace(self, ending: Sequence[Held]) -> None:
        """Put copies in the place of messages that cannot be hidden for much longer."""
        if not ending:
            return
        renewed = await self._renewer.renew([(held.message, self._visibility) for held in ending])
        for held, done in zip(ending, renewed, strict=True):
            held.replaced = done

    async def _extend_leases(self, due: Sequence[Held]) -> None:
        expires_at = later(self._clock.now(), self._visibility)
        for held in due:
            if held.replaced:
                # Without a message of its own only the lease has to be kept.
                held.deadline = self._clock.monotonic() + self._visibility
        pairs = [(held, extend(held.job, expires_at=expires_at)) for held in due if held.job is not None]
        if not pairs:
            return
        try:
            landed = await self._store.apply([transition for _, transition in pairs])
        except JobQueueError as error:
            _log.warning("leases not extended", queue=self._queue.name, error=str(error))
            return
        for (held, transition), is_ours in zip(pairs, landed, strict=True):
            if is_ours and held.job is transition.before:
                held.job = transition.after
            elif not is_ours:
                _log.warning("lease lost", job_id=transition.before.id, attempt=transition.before.attempts)
                held.give_up(Cut.LOST)
