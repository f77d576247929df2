"""Lets calls begin as the limits of the external service allow, for all workers of a queue together."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import TYPE_CHECKING

import structlog

from jobqueue_core.domain.flow import FlowPolicy, Reason, Verdict, asked_pause, judge_service
from jobqueue_worker.allowance import Allowance
from jobqueue_worker.flow_sync import FlowSync

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_core.domain.flow import Block
    from jobqueue_core.domain.outcome import Outcome
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.flow import FlowStore
    from jobqueue_worker.allowance import Permit
    from jobqueue_worker.gate import StoreGate
    from jobqueue_worker.held import Cut, Held

_log = structlog.get_logger(__name__)

# The intake does not wait for what is over sooner: a receive takes its time, too.
_SOON_SECONDS = 1.0
_LEAST_WAIT_SECONDS = 0.001


class FlowGate:
    """Where a received message waits for its turn: it is held, and costs neither an attempt nor a receive.

    The fast path takes no time and asks nobody: with a closed circuit and no limit, or with permits that
    are this worker's own already. All talk with the other workers is in `run`.
    """

    def __init__(  # noqa: PLR0913 - all by keyword
        self,
        *,
        queue: str,
        worker: str,
        slots: int,
        policy: FlowPolicy,
        store: FlowStore,
        gate: StoreGate,
        clock: Clock,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Take the limits, and how many calls this worker can make at once.

        `jitter` gives uniform random numbers in [0, 1).
        """
        self._policy = policy
        self._queue = queue
        self._slots = slots
        self._clock = clock
        self._allowance = Allowance(policy, slots)
        self._sync = FlowSync(
            queue=queue,
            worker=worker,
            policy=policy,
            allowance=self._allowance,
            store=store,
            gate=gate,
            clock=clock,
            jitter=jitter,
        )
        self._waiting: deque[asyncio.Future[Permit | None]] = deque()
        self._permits: dict[Held, Permit] = {}
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._listeners = 0
        self._round: asyncio.Task[None] | None = None
        self._planned: float | None = None
        self._stopped = False

    @property
    def waiting(self) -> int:
        """Messages that wait for their turn."""
        return len(self._waiting)

    @property
    def is_stopped(self) -> bool:
        """Whether the circuit is not closed, or the queue is paused."""
        return self._allowance.block is not None

    @property
    def circuit_is_open(self) -> bool:
        """Whether the circuit is not closed."""
        block = self._allowance.block
        return block is not None and block.reason is not Reason.PAUSED

    async def admit(self, held: Held) -> bool:
        """Wait for the message's turn; False when it has to be given back instead."""
        if self._stopped or held.cut.done():
            return False
        if not self._waiting:
            permit = self._allowance.take(self._now())
            if permit is not None:
                self._permits[held] = permit
                return True
        turn: asyncio.Future[Permit | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._nudge()
        either: set[asyncio.Future[Permit | None] | asyncio.Future[Cut]] = {turn, held.cut}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._leave_line(turn)
            if turn.done() and not turn.cancelled() and (permit := turn.result()) is not None:
                self._permits[held] = permit
        if held in self._permits and held.cut.done():
            self.leave(held)
        return held in self._permits

    def _leave_line(self, turn: asyncio.Future[Permit | None]) -> None:
        if not turn.done():
            self._waiting.remove(turn)
            turn.cancel()
        self._tell()

    def answered(self, held: Held, outcome: Outcome | None) -> None:
        """Take word of a call that has ended; None: nobody knows how, the job was not ours any more."""
        permit = self._permits.pop(held, None)
        if permit is None:
            return
        now = self._now()
        self._allowance.give_back(permit, unused=False)
        works = None if outcome is None else judge_service(outcome)
        if permit.probe is not None:
            self._allowance.forget_probe()
            self._sync.conclude(Verdict(permit.probe, works))
        elif works is not None:
            self._sync.count(works=works)
        pause = None if outcome is None else asked_pause(outcome)
        if pause:
            pause = min(pause, self._policy.pause_max_seconds)
            self._sync.pause(pause)
            self._allowance.pause(now + pause)
        self._dispatch()
        self._nudge()

    def leave(self, held: Held) -> None:
        """Give the permit of a message back unless its call has been made."""
        permit = self._permits.pop(held, None)
        if permit is not None:
            self._allowance.give_back(permit, unused=True)
            self._dispatch()
            self._nudge()

    async def passed(self) -> None:
        """Return when more messages may be received: not while they would only wait here."""
        self._listeners += 1
        try:
            while self._holds_back():
                self._news.clear()
                self._nudge()
                block = self._allowance.block
                seconds = None if block is None else max(0.0, block.until - self._now() - _SOON_SECONDS)
                await self._either(self._news, seconds)
        finally:
            self._listeners -= 1

    def _holds_back(self) -> bool:
        if self._policy.is_limited and len(self._waiting) >= self._slots:
            return True
        block = self._allowance.block
        if block is None or block.reason is Reason.READY:
            return False
        return block.reason is Reason.PROBING or block.until - self._now() > _SOON_SECONDS

    async def run(self) -> None:
        """Give permits out and keep them coming, until cancelled."""
        try:
            while True:
                self._wake.clear()
                self._dispatch()
                now = self._now()
                due = self._due_at(now)
                if self._round is None and due is not None and due <= now:
                    self._round = asyncio.create_task(self._one_round())
                self._planned = self._next_turn(now)
                seconds = None if self._planned is None else max(_LEAST_WAIT_SECONDS, self._planned - now)
                await self._either(self._wake, seconds)
        finally:
            if self._round is not None:
                self._round.cancel()
                await asyncio.gather(self._round, return_exceptions=True)

    def _due_at(self, now: float) -> float | None:
        return self._sync.due_at(len(self._waiting), now, is_watched=self._listeners > 0)

    def _next_turn(self, now: float) -> float | None:
        """Return when there will be something to do: a round that is due, or a moment that has come."""
        due = self._due_at(now) if self._round is None else None
        moment = self._allowance.next_moment(now) if self._waiting else None
        times = [at for at in (due, moment) if at is not None]
        return min(times, default=None)

    def _nudge(self) -> None:
        """Wake `run` if it would wake too late; not for each job, whose turn would cost less than that."""
        turn = self._next_turn(self._now())
        if turn is not None and (self._planned is None or turn < self._planned):
            self._planned = turn
            self._wake.set()

    async def _one_round(self) -> None:
        try:
            before = self._allowance.block
            await self._sync.round(lambda: 0 if self._stopped else len(self._waiting))
            self._tell_of(before, self._allowance.block)
        finally:
            self._round = None
            self._tell()
            self._wake.set()

    def _dispatch(self) -> None:
        """Give permits to those who wait, in the order in which they came."""
        now = self._now()
        while self._waiting and (permit := self._allowance.take(now)) is not None:
            self._waiting.popleft().set_result(permit)
            self._tell()

    def _tell(self) -> None:
        if self._listeners:
            self._news.set()

    def _tell_of(self, before: Block | None, after: Block | None) -> None:
        if (before is None) == (after is None):
            return
        if after is None:
            _log.info("calls begin again", queue=self._queue)
        else:
            _log.warning(
                "no call begins",
                queue=self._queue,
                reason=after.reason.value,
                seconds=round(after.until - self._now(), 3),
            )

    def stop(self) -> None:
        """Send everybody away who waits, and whoever comes."""
        self._stopped = True
        while self._waiting:
            self._waiting.popleft().set_result(None)
        self._tell()
        self._wake.set()

    async def close(self) -> None:
        """Tell what is not told yet and give back what is held."""
        self.stop()
        await self._sync.leave()

    async def _either(self, event: asyncio.Event, seconds: float | None) -> None:
        """Wait for the event, or that long."""
        waits: set[asyncio.Future[object]] = {asyncio.ensure_future(event.wait())}
        if seconds is not None:
            waits.add(asyncio.ensure_future(self._clock.sleep(seconds)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _now(self) -> float:
        return self._clock.now().timestamp()
