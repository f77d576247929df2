"""The control loop for one queue outside a cluster: observe, decide, scale."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from jobqueue_operator.scaling import Memory, Observation, decide

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_core.ports.clock import Clock
    from jobqueue_operator.ports import Observer, Replicas, ScaleTarget
    from jobqueue_operator.scaling import Decision, ScalingSpec

WAKE_INTERVAL_SECONDS = 1.0
"""However often the loop is woken, it answers at most one wake in this time."""

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class LocalOperator:
    """Keeps one scale target at what the policy decides.

    The loop is driven by levels, not events: each tick reads everything and converges again, so
    that a failed tick needs no repair but the next one.

    Args:
        spec: The scaling that the user asks for.
        observer: Reads queue, store and heartbeats; its exceptions count as unknown readings.
        target: Runs the workers; what it fails to do is tried again at the next tick.
        clock: Time and waiting.
        poll_seconds: Time between ticks while nobody wakes the loop.
        on_decision: Called with each decision, changed or not, before it is carried out.
    """

    def __init__(
        self,
        spec: ScalingSpec,
        observer: Observer,
        target: ScaleTarget,
        *,
        clock: Clock,
        poll_seconds: float = 5.0,
        on_decision: Callable[[Decision], None] | None = None,
    ) -> None:
        self._spec = spec
        self._observer = observer
        self._target = target
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._on_decision = on_decision
        self._memory = Memory()
        self._woken = asyncio.Event()
        self._last_wake = -math.inf
        self._observe_failure: str | None = None
        self.last_decision: Decision | None = None

    def wake(self) -> None:
        """Ask for a tick before the poll is due; call it on the event loop."""
        self._woken.set()

    async def run(self) -> None:
        """Tick until cancelled. The target is left as it is; whoever made it closes it."""
        while True:
            # Cleared before the reading: a wake during it may tell of something it has missed.
            self._woken.clear()
            await self.tick()
            await self._pause()

    async def tick(self) -> Decision | None:
        """Observe, decide and scale once.

        Returns:
            The decision; None when the target could not tell what there is.
        """
        try:
            replicas = await self._target.current()
        except Exception:  # noqa: BLE001 -- whatever it was, the next tick tries again
            _log.exception("scale_target_unreadable")
            return None
        seen = await self._observe(replicas)
        decision = decide(self._spec, seen, self._memory, self._clock.now())
        self._report(decision)
        memory = decision.memory
        try:
            await self._target.scale(decision.to, seen.busy_worker_ids)
        except Exception:  # noqa: BLE001 -- as above
            _log.exception("scale_failed", to=decision.to)
            memory = replace(memory, last_scale_time=self._memory.last_scale_time)
        self._memory = memory
        return decision

    async def _observe(self, replicas: Replicas) -> Observation:
        try:
            seen = await self._observer.observe()
        except Exception as error:  # noqa: BLE001 -- any failure to read is an unknown reading
            reason = f"{type(error).__name__}: {error}"
            if reason != self._observe_failure:
                _log.exception("observe_failed", reason=reason)
            self._observe_failure = reason
            return Observation.unknown(reason, current=replicas.desired, ready=replicas.ready)
        self._observe_failure = None
        return replace(seen, current=replicas.desired, ready=replicas.ready)

    def _report(self, decision: Decision) -> None:
        """Log what is new: a change, or another reason for keeping the number; hand out everything."""
        if self.last_decision is None or _signature(decision) != _signature(self.last_decision):
            _log.info("scale_decision", **decision.for_log())
        self.last_decision = decision
        if self._on_decision is not None:
            self._on_decision(decision)

    async def _pause(self) -> None:
        """Wait for the poll, or for a wake that is not too soon after the last one."""
        waits = {
            asyncio.ensure_future(self._woken.wait()),
            asyncio.ensure_future(self._clock.sleep(self._poll_seconds)),
        }
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if self._woken.is_set():
            too_soon = self._last_wake + WAKE_INTERVAL_SECONDS - self._clock.monotonic()
            if too_soon > 0:
                await self._clock.sleep(min(too_soon, self._poll_seconds))
            self._last_wake = self._clock.monotonic()


def _signature(decision: Decision) -> tuple[object, ...]:
    return decision.from_, decision.to, decision.reason, decision.limited_by
