"""Ends the life of a message: deleted, hidden for a while, or moved to the dead-letter queue."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import structlog

from jobqueue_core import failpoints
from jobqueue_core.batching import Batcher
from jobqueue_core.domain.errors import JobQueueError
from jobqueue_core.domain.message import Message, attribute_text, dead_letter
from jobqueue_core.domain.retry import VISIBILITY_MAX_SECONDS
from jobqueue_core.domain.transitions import note_dead_lettered

if TYPE_CHECKING:
    import asyncio

    from jobqueue_core.domain.job import Job
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import EntryError, MessageQueue, Received
    from jobqueue_core.ports.store import JobStore
    from jobqueue_worker.held import Held, Holdings
    from jobqueue_worker.renewal import Renewer

_log = structlog.get_logger(__name__)

_BATCH = 10
_IN_FLIGHT = 4
# Nobody waits for a delete: ten in one request cost a tenth each.
_DELETE_LINGER_SECONDS = 0.1
_VISIBILITY_LINGER_SECONDS = 0.02


class Settler:
    """Batches what ends a message. What fails here is made good by the message's next delivery."""

    def __init__(
        self, queue: MessageQueue, store: JobStore, holdings: Holdings, renewer: Renewer, clock: Clock
    ) -> None:
        """Take the queue to settle with, who holds the messages, and who replaces them."""
        self._queue = queue
        self._store = store
        self._holdings = holdings
        self._renewer = renewer
        self._clock = clock
        # Kept, so that nothing under way is garbage-collected.
        self._pending: set[asyncio.Future[EntryError | None]] = set()
        self._deletes: Batcher[str, EntryError | None] = Batcher(
            self._delete_all,
            max_size=_BATCH,
            max_in_flight=_IN_FLIGHT,
            # On a FIFO queue the group behind the message waits.
            linger_seconds=0.0 if queue.fifo else _DELETE_LINGER_SECONDS,
            sleep=clock.sleep,
        )
        self._visibilities: Batcher[tuple[str, int], EntryError | None] = Batcher(
            self._hide_all,
            max_size=_BATCH,
            max_in_flight=_IN_FLIGHT,
            linger_seconds=_VISIBILITY_LINGER_SECONDS,
            sleep=clock.sleep,
        )
        self._renewals: Batcher[tuple[Received, int], EntryError | None] = Batcher(
            self._renew_all, max_size=_BATCH, max_in_flight=_IN_FLIGHT
        )
        self._letters: Batcher[Message, EntryError | None] = Batcher(
            self._dead_letter_all, max_size=_BATCH, max_in_flight=_IN_FLIGHT
        )

    async def _delete_all(self, receipts: list[str]) -> list[EntryError | None]:
        failpoints.hit("worker.before_delete")
        answers = await self._queue.delete(receipts)
        failpoints.hit("worker.after_delete")
        return answers

    async def _hide_all(self, changes: list[tuple[str, int]]) -> list[EntryError | None]:
        await self._holdings.not_extending()
        failpoints.hit("worker.before_hide")
        answers = await self._queue.change_visibility(changes)
        failpoints.hit("worker.after_hide")
        return answers

    async def _renew_all(self, messages: list[tuple[Received, int]]) -> list[EntryError | None]:
        """Replace messages; those for which it fails are shown again as they are."""
        renewed = await self._renewer.renew(messages)
        left = [
            (message.receipt, seconds)
            for (message, seconds), done in zip(messages, renewed, strict=True)
            if not done
        ]
        answers = iter(await self._hide_all(left) if left else [])
        return [None if done else next(answers) for done in renewed]

    async def _dead_letter_all(self, messages: list[Message]) -> list[EntryError | None]:
        failpoints.hit("worker.before_dead_letter")
        answers = await self._queue.dead_letter(messages)
        failpoints.hit("worker.after_dead_letter")
        return answers

    def delete(self, held: Held) -> None:
        """Delete the message; returns at once, a slot need not wait for the batch."""
        held.done = True
        self._holdings.drop(held)
        self._watch("delete", held, self._deletes.submit(held.message.receipt))

    def hide(self, held: Held, seconds: float) -> None:
        """Show the message again in `seconds`, rounded up (SQS counts whole seconds); returns at once."""
        self._holdings.drop(held)
        whole = ceil(min(max(0.0, seconds), VISIBILITY_MAX_SECONDS))
        if held.replaced:
            return
        if self._renewer.is_due(held.message):
            self._watch("renew", held, self._renewals.submit((held.message, whole)))
        else:
            self._watch("change visibility", held, self._visibilities.submit((held.message.receipt, whole)))

    async def dead_letter_job(self, held: Held, job: Job) -> None:
        """Move the message of a failed job to the dead-letter queue and note it.

        Without an answer the message stays: the job is still owed its dead letter, and whoever
        receives the message next, or the relay, pays.
        """
        if await self._moved(held, dead_letter(job, fifo=self._queue.fifo)):
            await self._store.offer([note_dead_lettered(job, self._clock.now())])
            self.delete(held)

    async def dead_letter_foreign(self, held: Held, reason: str) -> None:
        """Move a message that is not ours, or names no job, to the dead-letter queue with its reason."""
        received = held.message
        _log.error(
            "message moved to the dead-letter queue",
            queue=self._queue.name,
            message_id=received.id,
            reason=reason,
        )
        message = Message(
            body=received.body,
            attributes={"reason": "unreadable", "error": attribute_text(reason)},
            group_id=received.group_id or ("unreadable" if self._queue.fifo else None),
            deduplication_id=received.id if self._queue.fifo else None,
        )
        if await self._moved(held, message):
            self.delete(held)

    async def close(self) -> None:
        """Flush what waits, so that nothing done comes back."""
        await self._letters.close()
        await self._renewals.close()
        await self._visibilities.close()
        await self._deletes.close()

    async def _moved(self, held: Held, message: Message) -> bool:
        """Put a message into the dead-letter queue; without success it is simply held no longer."""
        future = self._letters.submit(message)
        try:
            answer = await future
        except JobQueueError as error:
            _log.warning("dead-letter failed", message_id=held.message.id, error=str(error))
        else:
            if answer is None:
                return True
            _log.warning("dead-letter refused", message_id=held.message.id, code=answer.code)
        self._holdings.drop(held)
        return False

    def _watch(self, what: str, held: Held, future: asyncio.Future[EntryError | None]) -> None:
        def done(future: asyncio.Future[EntryError | None]) -> None:
            self._pending.discard(future)
            if future.cancelled():
                return
            error = future.exception()
            answer = future.result() if error is None else None
            if error is not None:
                _log.warning(f"{what} failed", message_id=held.message.id, error=str(error))
            elif answer is not None:
                _log.warning(f"{what} refused", message_id=held.message.id, code=answer.code)

        self._pending.add(future)
        future.add_done_callback(done)
