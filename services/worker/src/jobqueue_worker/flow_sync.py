"""One worker's talk with the others of its queue: rounds of read, step, swap."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.flow import FlowPolicy, FlowRequest, FlowState, Grant, Verdict, step
from jobqueue_core.domain.shares import LEASE_SECONDS, RENEW_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.flow import FlowStore
    from jobqueue_worker.allowance import Allowance
    from jobqueue_worker.gate import StoreGate

_log = structlog.get_logger(__name__)

# With something to say, a worker speaks no more often; more seldom, the more often others are quicker.
_PAUSE_SECONDS = 0.1
_PAUSE_MAX_SECONDS = 0.5
_BUSIER, _CALMER = 1.25, 0.9
# It learns how the circuit is at least so often while calls are made.
_LOOK_SECONDS = 1.0
# While nothing fails, successes are told so seldom: each telling is a write to the one document.
_TELL_SECONDS = 5.0
# While something fails, each worker tells at once what it sees.
_FAILING_SECONDS = 0.2
# A round that was lost to quicker workers is tried again so often before it waits for the next.
_TRIES = 6
_LOST_SECONDS = 0.01
# Who gets nothing waits twice as long each time, at random, up to this many doublings.
_LEVEL_MAX = 3


class FlowSync:
    """Says what this worker needs and knows, and learns what it may do.

    Swaps are repeated when another worker was quicker. Whatever dies here, the others go on: leases end,
    reserved moments pass, and a probe has its deadline.
    """

    def __init__(  # noqa: PLR0913 - all by keyword
        self,
        *,
        queue: str,
        worker: str,
        policy: FlowPolicy,
        allowance: Allowance,
        store: FlowStore,
        gate: StoreGate,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        """Take what it speaks for, and where."""
        self._queue = queue
        self._worker = worker
        self._policy = policy
        self._allowance = allowance
        self._store = store
        self._gate = gate
        self._clock = clock
        self._jitter = jitter
        self._ok = 0
        self._failed = 0
        self._pause_until: float | None = None
        self._verdict: Verdict | None = None
        self._is_urgent = False
        self._grant = Grant()
        self._last = float("-inf")
        self._told_at = float("-inf")
        self._told_wanted = 0
        self._interval = _PAUSE_SECONDS
        self._level = 0
        self._next_try = 0.0
        self._spread = 0.0

    def count(self, *, works: bool) -> None:
        """Remember what a call showed of the service."""
        if works:
            self._ok += 1
        else:
            self._failed += 1

    def pause(self, seconds: float) -> None:
        """Have everybody leave the service alone for so long."""
        until = self._now() + seconds
        self._pause_until = until if self._pause_until is None else max(until, self._pause_until)
        self._is_urgent = True

    def conclude(self, verdict: Verdict) -> None:
        """Tell what the probe showed."""
        self._verdict = verdict
        self._is_urgent = True

    def due_at(self, waiting: int, now: float, *, is_watched: bool) -> float | None:
        """Return when to speak next; None: there is nothing to say or to ask.

        Args:
            waiting: messages that wait for a permit.
            now: seconds since the epoch.
            is_watched: somebody waits for the end of a block.

        """
        if self._is_urgent:
            return now
        times = self._to_ask(waiting, now, is_watched=is_watched) + self._to_tell(waiting)
        return min(times, default=None)

    def _to_ask(self, waiting: int, now: float, *, is_watched: bool) -> list[float]:
        """Return when to ask for what messages wait for."""
        allowance, soon = self._allowance, self._last + self._interval
        if allowance.block is not None:
            # Where nobody waits, the end of the block is worth no hurry.
            earliest = soon if waiting or is_watched else self._last + _TELL_SECONDS
            return [max(earliest, allowance.block.until + self._spread)]
        if waiting and not allowance.is_fresh(now):
            return [soon]
        return [max(soon, self._next_try)] if allowance.is_short(waiting, now) else []

    def _to_tell(self, waiting: int) -> list[float]:
        """Return when to tell what was seen, what is not needed any more, and what still is."""
        allowance, soon = self._allowance, self._last + self._interval
        times = []
        if self._failed or (self._ok and self._grant.is_failing):
            times.append(self._last + _FAILING_SECONDS)
        elif self._ok or allowance.begun:
            times.append(self._last + _LOOK_SECONDS)
        if self._verdict is not None or self._pause_until is not None:
            times.append(soon)
        if allowance.has_spare_probe and not waiting:
            times.append(soon)
        if allowance.calls + min(waiting, allowance.room) < self._told_wanted:
            times.append(soon if self._grant.is_contended else self._last + _LOOK_SECONDS)
        if allowance.held:
            times.append(allowance.held_until - LEASE_SECONDS + RENEW_SECONDS)
        return times

    async def round(self, waiting: Callable[[], int]) -> None:
        """Speak once; an outage of the store is waited out.

        Args:
            waiting: tells how many messages wait for a permit.

        """
        self._is_urgent = False
        try:
            for attempt in range(1, _TRIES + 1):
                if await self._try(waiting()):
                    self._interval = max(_PAUSE_SECONDS, _CALMER * self._interval)
                    return
                self._interval = min(_PAUSE_MAX_SECONDS, _BUSIER * self._interval)
                await self._clock.sleep(_LOST_SECONDS * attempt * self._jitter())
            self._back_off(self._now())
        except StoreUnavailableError as error:
            self._gate.shut(error)
            await self._gate.passed()
        finally:
            self._last = self._now()

    async def leave(self) -> None:
        """Say the last word: what is not told yet, and that nothing is needed any more."""
        allowance = self._allowance
        allowance.calls = 0
        untold = self._ok + self._failed or self._verdict is not None or self._pause_until is not None
        if not (untold or allowance.probe is not None or self._told_wanted or allowance.held):
            return
        self._told_at = float("-inf")
        try:
            for attempt in range(1, _TRIES + 1):
                if await self._try(0):
                    return
                await self._clock.sleep(_LOST_SECONDS * attempt * self._jitter())
        except StoreUnavailableError as error:
            _log.warning("permits left behind, their lease ends", queue=self._queue, error=str(error))

    async def _try(self, waiting: int) -> bool:
        """Read, step and swap; False when another worker was quicker."""
        before = await self._store.load(self._queue) or FlowState(self._queue)
        now, allowance = self._now(), self._allowance
        request = self._request(before, waiting, now)
        after, grant = step(before, request, self._policy, now)
        # What the word does not count as used may be another one's as soon as it is written.
        usable, allowance.usable = allowance.usable, min(allowance.usable, request.calls)
        try:
            is_written = after == before or await self._store.swap(before, after)
        except StoreUnavailableError:
            allowance.usable = min(usable, grant.usable)
            raise
        if not is_written:
            allowance.usable = usable
            return False
        self._settle(request, grant, now)
        return True

    def _request(self, state: FlowState, waiting: int, now: float) -> FlowRequest:
        allowance = self._allowance
        probe = allowance.probe
        if probe is not None and allowance.has_spare_probe and (not waiting or now >= probe.deadline):
            allowance.forget_probe()
            self._verdict = Verdict(probe, None)
        tells = (
            self._failed > 0
            or state.circuit.failing(self._policy.circuit, now)
            or now - self._told_at >= _TELL_SECONDS
        )
        return FlowRequest(
            worker=self._worker,
            calls=allowance.calls,
            wanted=min(waiting, allowance.room),
            moments=allowance.moments_to_ask_for(waiting, now),
            reserved=allowance.reserved,
            ending=min(allowance.begun, allowance.calls),
            ok=self._ok if tells else 0,
            failed=self._failed,
            retry_after_seconds=None if self._pause_until is None else max(0.0, self._pause_until - now),
            verdict=self._verdict,
            probe=allowance.probe,
        )

    def _settle(self, request: FlowRequest, grant: Grant, now: float) -> None:
        self._ok -= request.ok
        self._failed -= request.failed
        if request.ok or request.failed:
            self._told_at = now
        if request.verdict is self._verdict:
            self._verdict = None
        if request.retry_after_seconds is not None and not self._is_urgent:
            self._pause_until = None
        self._told_wanted = request.calls + request.wanted if self._policy.concurrent is not None else 0
        self._grant = grant
        self._spread = _PAUSE_SECONDS * self._jitter()
        self._allowance.learn(grant, now)
        is_denied = (request.moments > 0 and not grant.moments and self._policy.per_second is not None) or (
            request.wanted > 0 and grant.usable <= request.calls and self._policy.concurrent is not None
        )
        if is_denied:
            self._back_off(now)
        else:
            self._level = 0
            self._next_try = now + self._interval

    def _back_off(self, now: float) -> None:
        """Wait for the time at which there is something, and then at random: others wait for it, too."""
        self._level = min(self._level + 1, _LEVEL_MAX)
        earliest = max(now + self._interval, self._grant.ask_again_at)
        self._next_try = earliest + self._jitter() * _PAUSE_SECONDS * 2**self._level

    def _now(self) -> float:
        return self._clock.now().timestamp()
