"""Batches that fill by themselves under load.

While as many flushes are under way as may be, what is submitted gathers; the next flush takes
it. An idle batcher flushes a single item at once, a busy one flushes full batches: no timer is
needed for throughput, and none delays the first item. A `linger_seconds` makes even an idle
batcher wait for company, where calls cost money and nobody waits for the answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from jobqueue_core.domain.errors import JobQueueError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class BatcherClosedError(RuntimeError):
    """An item was submitted to a batcher that has been closed."""


class Batcher(Generic[Item, Answer]):
    """Gathers items into calls of `flush`, which answers each item in order."""

    def __init__(
        self,
        flush: Callable[[list[Item]], Awaitable[Sequence[Answer]]],
        *,
        max_size: int,
        max_in_flight: int = 1,
        linger_seconds: float = 0.0,
        sleep: Callable[[float], Coroutine[object, object, None]] = asyncio.sleep,
    ) -> None:
        """Configure the batcher.

        Args:
            flush: does the work of one batch; an exception of it reaches every item's submitter.
            max_size: items in one batch at most.
            max_in_flight: flushes under way at once at most.
            linger_seconds: how long a batch that is not full waits for more.
            sleep: how it waits (a clock's).

        """
        self._flush = flush
        self._max_size = max_size
        self._max_in_flight = max_in_flight
        self._linger_seconds = linger_seconds
        self._waiting: deque[tuple[Item, asyncio.Future[Answer] | None]] = deque()
        self._flushes: set[asyncio.Task[None]] = set()
        self._sleep = sleep
        self._timer: asyncio.Task[None] | None = None
        self._unstarted = 0
        self._closed = False

    @property
    def depth(self) -> int:
        """Items that wait for a flush."""
        return len(self._waiting)

    def submit(self, item: Item) -> asyncio.Future[Answer]:
        """Add an item; the future is its answer, or the flush's exception.

        Raises:
            BatcherClosedError: the batcher is closed.

        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._add(item, future)
        return future

    def post(self, item: Item) -> None:
        """Add an item whose answer nobody waits for; a flush that fails has to tell of it itself.

        Raises:
            BatcherClosedError: the batcher is closed.

        """
        self._add(item, None)

    def _add(self, item: Item, future: asyncio.Future[Answer] | None) -> None:
        if self._closed:
            raise BatcherClosedError
        self._waiting.append((item, future))
        self._start_flushes()

    async def close(self) -> None:
        """Flush what waits and return when the last flush has ended."""
        self._closed = True
        while self._waiting or self._flushes:
            self._start_flushes(even_partial=True)
            await asyncio.wait(self._flushes)
        if self._timer is not None:
            self._timer.cancel()

    async def _linger(self) -> None:
        await self._sleep(self._linger_seconds)
        self._timer = None
        self._start_flushes(even_partial=True)

    def _start_flushes(self, *, even_partial: bool = False) -> None:
        """Start what may be started now.

        Full batches at once. One that is not full only when nothing is under way, since it fills
        while something is; with a linger only when that is over.
        """
        while len(self._flushes) < self._max_in_flight:
            left = len(self._waiting) - self._unstarted * self._max_size
            is_full = left >= self._max_size
            is_idle = not self._flushes and not self._linger_seconds
            if left <= 0 or not (is_full or is_idle or even_partial):
                break
            # The batch is taken inside the task, which first runs when this turn of the loop
            # is over: whatever else is submitted in the same turn goes along.
            self._unstarted += 1
            self._flushes.add(asyncio.create_task(self._run()))
        if self._linger_seconds and self._waiting and not self._closed and self._timer is None:
            self._timer = asyncio.create_task(self._linger())

    async def _run(self) -> None:
        self._unstarted -= 1
        batch = [self._waiting.popleft() for _ in range(min(self._max_size, len(self._waiting)))]
        if self._timer is not None and not self._waiting:
            # It was for these: the next item begins a time of its own.
            self._timer.cancel()
            self._timer = None
        try:
            if batch:
                await self._settle(batch)
        finally:
            task = asyncio.current_task()
            if task is not None:
                self._flushes.discard(task)
            self._start_flushes()

    async def _settle(self, batch: list[tuple[Item, asyncio.Future[Answer] | None]]) -> None:
        try:
            answers = await self._flush([item for item, _ in batch])
            if len(answers) != len(batch):
                raise ValueError(f"{len(batch)} items were flushed, {len(answers)} answered")  # noqa: TRY301
        except asyncio.CancelledError:
            for _, future in batch:
                if future is not None:
                    future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every submitter gets it, none is lost
            self._fail(batch, error)
            return
        for (_, future), answer in zip(batch, answers, strict=True):
            if future is not None and not future.done():
                future.set_result(answer)

    def _fail(self, batch: list[tuple[Item, asyncio.Future[Answer] | None]], error: Exception) -> None:
        for _, future in batch:
            if future is not None and not future.done():
                future.set_exception(error)
        if not isinstance(error, JobQueueError) and any(future is None for _, future in batch):
            # A fault of the program must not vanish because nobody waits.
            context = {"message": "a flush failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
