"""The worker: receives, fills its slots, and ends without losing or keeping anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

import structlog

from jobqueue_core import failpoints
from jobqueue_core.domain.errors import JobQueueError, StoreUnavailableError
from jobqueue_worker.groups import GroupOrder
from jobqueue_worker.intake import AHEAD_MAX, messages_ahead, most_held_for_receive, receive_size

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from jobqueue_core.domain.heartbeat import Heartbeat
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore
    from jobqueue_worker.attempts import MessageHandler
    from jobqueue_worker.claims import Claimer
    from jobqueue_worker.flow import FlowGate
    from jobqueue_worker.gate import StoreGate
    from jobqueue_worker.held import Held, Holdings
    from jobqueue_worker.settle import Settler
    from jobqueue_worker.slots import Slots
    from jobqueue_worker.stats import WorkerStats

Rest = TypeVar("Rest")

_log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 10.0
# What is released writes one outcome and one change of visibility; more than this is an outage.
_RELEASE_SECONDS = 5.0
# A worker is gone when this many heartbeats are missing.
HEARTBEATS_MISSED = 4


class Worker:
    """One process's worth of slots on one queue."""

    def __init__(  # noqa: PLR0913 - the one wiring point, all by keyword
        self,
        *,
        queue: MessageQueue,
        store: JobStore,
        handler: MessageHandler,
        slots: Slots,
        claimer: Claimer,
        settler: Settler,
        holdings: Holdings,
        gate: StoreGate,
        flow: FlowGate,
        stats: WorkerStats,
        clock: Clock,
        concurrency: int,
        receive_wait_seconds: int,
        drain_seconds: float,
        heartbeat_seconds: float,
        on_heartbeat: Callable[[Heartbeat], None],
    ) -> None:
        """Take the parts, made for one queue; `on_heartbeat` gets each word of the worker."""
        self._queue = queue
        self._store = store
        self._handler = handler
        self._claimer = claimer
        self._settler = settler
        self._holdings = holdings
        self._gate = gate
        self._flow = flow
        self._stats = stats
        self._clock = clock
        self._concurrency = concurrency
        self._receive_wait_seconds = receive_wait_seconds
        self._drain_seconds = drain_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._on_heartbeat = on_heartbeat
        self._slots = slots
        self._buffer: asyncio.Queue[Held] = asyncio.Queue()
        self._groups = GroupOrder()
        self._conclusions: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._hurry = asyncio.Event()
        self._last_turn = clock.monotonic()
        self._receive_ends = self._last_turn

    async def synchronize(self) -> None:
        """Return when leases can be compared with those of other workers.

        Raises:
            StoreUnavailableError: the store is away.

        """
        await self._clock.synchronize()

    def stop(self) -> None:
        """Take no more work and end; a second call ends what is running, too."""
        if self._stopping.is_set():
            self._hurry.set()
        self._stopping.set()

    def is_alive(self, slack_seconds: float = 60.0) -> bool:
        """Whether the intake has turned lately (for a liveness probe)."""
        waits = self._flow.is_stopped or not self._gate.is_open
        if self._stopping.is_set() or len(self._holdings) > 0 or waits:
            return True
        return self._clock.monotonic() - self._last_turn < self._receive_wait_seconds + slack_seconds

    async def run(self) -> None:
        """Work until `stop`, then drain.

        Whatever else ends it is a fault of the program: it is raised, so that the process ends
        and is started anew rather than standing still.
        """
        # As many as may be held: each takes a message up to its call, for which it needs a slot.
        handlers = [
            asyncio.create_task(self._handle(), name=f"handler-{n}")
            for n in range(self._concurrency + AHEAD_MAX)
        ]
        intake = asyncio.create_task(self._take_in(), name="intake")
        keepers = [
            asyncio.create_task(self._holdings.keep(), name="keeper"),
            asyncio.create_task(self._beat(), name="heartbeat"),
            asyncio.create_task(self._flow.run(), name="flow"),
        ]
        stop = asyncio.create_task(self._stopping.wait(), name="stop")
        tasks = {intake, stop, *keepers, *handlers}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await self._drain(intake)
        finally:
            tasks |= self._conclusions
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._end()

    async def _end(self) -> None:
        """Flush every batch, outcomes first, and say goodbye."""
        await self._handler.close()
        await self._flow.close()
        await self._claimer.close()
        await self._settler.close()
        await self._gate.close()
        await self._leave()

    async def _take_in(self) -> None:
        """Receive whenever there is room, until told to stop; every outage is waited out."""
        wait_seconds = _FIRST_WAIT_SECONDS
        while not self._stopping.is_set():
            self._last_turn = self._clock.monotonic()
            ahead = messages_ahead(self._concurrency, self._stats.service_seconds)
            await self._unless_stopped(self._allowed())
            await self._unless_stopped(
                self._holdings.wait_until_at_most(most_held_for_receive(self._concurrency, ahead))
            )
            size = receive_size(len(self._holdings), self._concurrency, ahead)
            if self._stopping.is_set() or size == 0:
                continue
            try:
                # Not cancelled but in haste: what the queue hands out to a request that is gone
                # stays hidden until its time-out.
                self._receive_ends = self._clock.monotonic() + self._receive_wait_seconds
                messages = await self._queue.receive(size, self._receive_wait_seconds)
            except JobQueueError as error:
                _log.warning("receive failed", queue=self._queue.name, error=str(error))
                await self._unless_stopped(self._clock.sleep(wait_seconds))
                wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
                continue
            wait_seconds = _FIRST_WAIT_SECONDS
            if messages:
                failpoints.hit("worker.after_receive")
            for held in self._holdings.add(messages):
                # On a standard queue a group is a matter of fairness, not of order.
                if not self._queue.fifo or self._groups.admit(held):
                    self._buffer.put_nowait(held)

    async def _allowed(self) -> None:
        """Return when more work may be taken, as far as store and external service are concerned."""
        await self._gate.passed()
        await self._flow.passed()

    async def _handle(self) -> None:
        while True:
            held = await self._buffer.get()
            if self._stopping.is_set():
                self._give_back(held)
                continue
            rest = await self._tolerated(held, self._handler.handle(held))
            if rest is None:
                self._ended(held)
            else:
                conclusion = asyncio.create_task(self._conclude(held, rest))
                self._conclusions.add(conclusion)
                conclusion.add_done_callback(self._conclusions.discard)

    async def _conclude(self, held: Held, rest: Coroutine[object, object, None]) -> None:
        await self._tolerated(held, rest)
        self._ended(held)

    async def _tolerated(self, held: Held, doing: Coroutine[object, object, Rest]) -> Rest | None:
        """Do a part of the work on one message; its failure must not take the others with it."""
        try:
            return await doing
        except StoreUnavailableError as error:
            self._gate.shut(error)
        except Exception:  # noqa: BLE001 - logged; the message comes back by itself
            _log.exception("message not handled", message_id=held.message.id)
        self._holdings.drop(held)
        return None

    def _ended(self, held: Held) -> None:
        if self._queue.fifo:
            self._next_of_group(held)

    def _next_of_group(self, held: Held) -> None:
        if held.done and not self._stopping.is_set():
            following = self._groups.leave(held)
            if following is not None:
                self._buffer.put_nowait(following)
        else:
            for behind in self._groups.break_off(held):
                self._settler.hide(behind, 0)

    def _give_back(self, held: Held) -> None:
        self._settler.hide(held, 0)
        self._ended(held)

    async def _drain(self, intake: asyncio.Task[None]) -> None:
        """Return what is not begun, let what is begun finish, then release the rest."""
        self._slots.close()
        self._flow.stop()
        self._return_buffered()
        failpoints.hit("worker.draining")
        _log.info("draining", held=len(self._holdings))
        await self._say(draining=True)
        done = asyncio.create_task(self._emptied(intake))
        hurry = asyncio.create_task(self._hurry.wait())
        limit = asyncio.create_task(self._clock.sleep(self._drain_seconds))
        try:
            await asyncio.wait({done, hurry, limit}, return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                _log.warning("releasing what has not finished", held=len(self._holdings))
                self._return_buffered()
                self._holdings.release_all()
                left = max(0.0, self._receive_ends - self._clock.monotonic())
                if self._hurry.is_set():
                    intake.cancel()
                    left = 0.0
                # What the queue hands out to a receive that is cut off would stay hidden until its time-out.
                limit = asyncio.create_task(self._clock.sleep(left + _RELEASE_SECONDS))
                await asyncio.wait({done, limit}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (done, hurry, limit):
                task.cancel()

    async def _emptied(self, intake: asyncio.Task[None]) -> None:
        """Return when the last receive has ended and nothing is held any more."""
        await asyncio.wait({intake})
        self._return_buffered()
        await self._holdings.wait_until_at_most(0)

    def _return_buffered(self) -> None:
        while not self._buffer.empty():
            self._give_back(self._buffer.get_nowait())
        for held in self._groups.break_off_all():
            self._settler.hide(held, 0)

    async def _unless_stopped(self, waiting: Coroutine[object, object, None]) -> None:
        """Await something, or the order to stop."""
        task = asyncio.ensure_future(waiting)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            task.cancel()
            stop.cancel()

    async def _beat(self) -> None:
        while True:
            await self._say(draining=self._stopping.is_set())
            await self._clock.sleep(self._heartbeat_seconds)

    async def _say(self, *, draining: bool) -> None:
        heartbeat = self._stats.heartbeat(self._clock.now(), draining=draining)
        self._on_heartbeat(heartbeat)
        try:
            await self._store.beat(heartbeat, HEARTBEATS_MISSED * self._heartbeat_seconds)
        except StoreUnavailableError as error:
            self._gate.shut(error)

    async def _leave(self) -> None:
        try:
            await self._store.leave(self._stats.worker)
        except StoreUnavailableError as error:
            _log.warning("heartbeat left behind, it expires", error=str(error))
