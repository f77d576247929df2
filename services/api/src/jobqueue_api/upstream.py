"""The store and the queues as the API depends on them: prepared in the background, watched by use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import structlog

from jobqueue_core.domain.errors import JobQueueError, QueueUnavailableError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from jobqueue_core.domain.message import Message
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import EntryError, MessageQueue, QueueCounts, Received
    from jobqueue_core.ports.store import JobStore

Answer = TypeVar("Answer")

_log = structlog.get_logger(__name__)

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 2.0
_RESTART_SECONDS = 5.0
# Probes come every few seconds from several sides; the database is asked once for all of them.
_PING_KEPT_SECONDS = 1.0


async def until_done(
    what: str,
    step: Callable[[], Awaitable[None]],
    clock: Clock,
    *,
    last_pause_seconds: float = _LAST_RETRY_SECONDS,
) -> None:
    """Try a step until it succeeds, with growing pauses; tell each kind of failure once."""
    pause = _FIRST_RETRY_SECONDS
    told: str | None = None
    while True:
        try:
            await step()
        except JobQueueError as error:
            if str(error) != told:
                told = str(error)
                _log.warning("not prepared yet", what=what, error=told)
        else:
            _log.info("prepared", what=what)
            return
        await clock.sleep(pause)
        pause = min(pause * 2, last_pause_seconds)


async def for_ever(what: str, run: Callable[[], Awaitable[None]], clock: Clock) -> None:
    """Run what never ends by itself, and begin anew should it fail on something unforeseen."""
    while True:
        try:
            await run()
        except Exception:  # noqa: BLE001 - logged; nobody waits for this task
            _log.exception("restarted after a failure", what=what)
        await clock.sleep(_RESTART_SECONDS)


class WatchedStore:
    """Tells whether the store can take jobs."""

    def __init__(self, store: JobStore, clock: Clock) -> None:
        """Watch a store."""
        self._store = store
        self._clock = clock
        self._asked_at: float | None = None
        self._error: str | None = None
        self._asking = asyncio.Lock()
        self.prepared = False

    async def prepare(self) -> None:
        """Create the indexes and read the clock; nothing is stored before: ids and times rest on it."""
        await self._store.prepare()
        await self._clock.synchronize()
        self.prepared = True

    async def problem(self) -> str | None:
        """Return why the store cannot take jobs, or None; the answer may be a second old."""
        async with self._asking:
            now = self._clock.monotonic()
            if self._asked_at is None or now - self._asked_at >= _PING_KEPT_SECONDS:
                try:
                    await self._store.ping()
                except StoreUnavailableError as error:
                    self._error = str(error)
                else:
                    self._error = None
                self._asked_at = self._clock.monotonic()
        if self._error is not None:
            return "unreachable"
        return None if self.prepared else "not prepared"


class WatchedQueue:
    """A queue that may not have been found yet, and remembers how its last call went.

    Implements the port `MessageQueue`.
    """

    def __init__(self, queue: MessageQueue, on_send: Callable[[], None] | None = None) -> None:
        """Wrap a queue that nobody has prepared; `on_send` is called before each send."""
        self._queue = queue
        self._on_send = on_send
        self.prepared = False
        """Whether it has been found."""
        self.reachable = False
        """Whether the last call succeeded."""

    @property
    def name(self) -> str:
        """Name of the queue."""
        return self._queue.name

    @property
    def fifo(self) -> bool:
        """Whether it is a FIFO queue."""
        return self._queue.fifo

    async def prepare(self) -> None:
        """Find or create the queue."""
        await self._watched(self._queue.prepare())
        self.prepared = True

    async def send(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Send, once it has been found. Whoever sends comes through here: submissions, relay, redrive."""
        if self._on_send is not None:
            self._on_send()
        return await self._watched(self._found().send(messages))

    async def receive(self, max_messages: int, wait_seconds: int) -> list[Received]:
        """Receive, once it has been found."""
        return await self._watched(self._found().receive(max_messages, wait_seconds))

    async def delete(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Delete, once it has been found."""
        return await self._watched(self._found().delete(receipts))

    async def change_visibility(self, changes: Sequence[tuple[str, int]]) -> list[EntryError | None]:
        """Change visibility, once it has been found."""
        return await self._watched(self._found().change_visibility(changes))

    async def dead_letter(self, messages: Sequence[Message]) -> list[EntryError | None]:
        """Send dead letters, once it has been found."""
        return await self._watched(self._found().dead_letter(messages))

    async def counts(self) -> QueueCounts:
        """Count, once it has been found."""
        return await self._watched(self._found().counts())

    async def dead_letters(self) -> int:
        """Count dead letters, once it has been found."""
        return await self._watched(self._found().dead_letters())

    async def receive_dead_letters(
        self, max_messages: int, visibility_seconds: int, wait_seconds: int = 0
    ) -> list[Received]:
        """Receive dead letters, once it has been found."""
        # Not watched, like what follows: without the right to it jobs are carried all the same.
        return await self._found().receive_dead_letters(max_messages, visibility_seconds, wait_seconds)

    async def delete_dead_letters(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Delete dead letters, once it has been found."""
        return await self._found().delete_dead_letters(receipts)

    async def show_dead_letters(self, receipts: Sequence[str]) -> list[EntryError | None]:
        """Show dead letters again, once it has been found."""
        return await self._found().show_dead_letters(receipts)

    async def can_move_dead_letters(self) -> bool:
        """Tell, once it has been found."""
        return await self._found().can_move_dead_letters()

    async def move_dead_letters(self) -> bool:
        """Move dead letters, once it has been found."""
        return await self._found().move_dead_letters()

    def _found(self) -> MessageQueue:
        if not self.prepared:
            msg = f"the queue {self.name} has not been found yet"
            raise QueueUnavailableError(msg)
        return self._queue

    async def _watched(self, call: Awaitable[Answer]) -> Answer:
        try:
            answer = await call
        except QueueUnavailableError:
            self.reachable = False
            raise
        self.reachable = True
        return answer
