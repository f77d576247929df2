"""Keeps dead-letter queues to what they promise: one letter for each failed job, and none for any other.

Both numbers are cheap to read. Where they differ for longer than a letter is on its way, the letters are
gone through.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import structlog

from jobqueue_core.domain.errors import QueueUnavailableError
from jobqueue_core.sweep import Sweep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.queue import MessageQueue
    from jobqueue_core.ports.store import JobStore

_log = structlog.get_logger(__name__)

# Counts are approximate and letters travel: a difference counts when it is seen twice.
_READINGS = 2
# One turn must not hold up the relay, however many queues there are.
_CHECKS_A_TURN = 10
# Equal numbers may hide a letter too many beside one that is missing.
_REGULAR_SECONDS = 3600.0
_MOST_PATIENCE = 8


class LetterObserver(Protocol):
    """Is told how many there are."""

    def dead_letters(self, queue: str, *, failed: int, letters: int) -> None:
        """Take the number of failed jobs, and of messages in the dead-letter queue."""
        ...


@dataclass(slots=True)
class _State:
    next_check: float
    last_sweep: float
    asked: bool = False
    readings: int = 0
    explained: int = 0
    """How many letters there are beside those of failed jobs, as the newest sweep left it."""
    patience: int = 1
    """Checks between two sweeps; doubles while they change nothing."""
    sweep: Sweep | None = None


class Sweeper:
    """A chore of the relay; holds no state that matters."""

    def __init__(
        self,
        *,
        store: JobStore,
        queues: Mapping[str, MessageQueue],
        clock: Clock,
        observer: LetterObserver,
        check_seconds: float,
    ) -> None:
        """Take the store, every queue, and how often to look, in seconds."""
        self._store = store
        self._queues = queues
        self._clock = clock
        self._observer = observer
        self._check_seconds = check_seconds
        self._states: dict[str, _State] = {}

    def ask(self, queue: str) -> None:
        """Go through the letters of a queue soon: its jobs were redriven."""
        state = self._state(queue)
        state.asked, state.next_check = True, 0.0

    async def turn(self) -> bool:
        """Look at some queues whose time has come, and go on with sweeps."""
        checks, more = 0, False
        for name, queue in tuple(self._queues.items()):  # queues may be learnt meanwhile
            state = self._state(name)
            try:
                if state.sweep is not None:
                    await self._go_on(name, state, state.sweep)
                elif self._clock.monotonic() >= state.next_check and checks < _CHECKS_A_TURN:
                    checks += 1
                    await self._check(name, queue, state)
            except QueueUnavailableError as error:
                state.sweep = None
                self._plan_next(state)
                _log.warning("dead letters could not be looked at", queue=name, error=str(error))
            more |= state.sweep is not None
        return more

    async def _check(self, name: str, queue: MessageQueue, state: _State) -> None:
        self._plan_next(state)
        letters = await queue.dead_letters()
        failed = await self._store.failed_count(name)
        self._observer.dead_letters(name, failed=failed, letters=letters)
        differs = letters - failed != state.explained
        state.readings = state.readings + 1 if differs else 0
        if not differs:
            state.patience = 1
        if self._is_due(state, letters):
            state.asked, state.readings = False, 0
            state.last_sweep = self._clock.monotonic()
            state.sweep = Sweep(name, queue, self._store, self._clock, letters=letters, failed=failed)

    def _is_due(self, state: _State, letters: int) -> bool:
        if state.asked:
            return True
        since = self._clock.monotonic() - state.last_sweep
        if letters and since >= _REGULAR_SECONDS:
            return True
        return state.readings >= _READINGS * state.patience

    async def _go_on(self, name: str, state: _State, sweep: Sweep) -> None:
        await sweep.step()
        if not sweep.is_over:
            return
        state.sweep = None
        if sweep.changed:
            state.patience = 1
            _log.info("dead letters put in order", queue=name, changed=sweep.changed, foreign=sweep.foreign)
        else:
            state.patience = min(state.patience * 2, _MOST_PATIENCE)
        # What it left beside the letters of failed jobs is as it should be.
        state.explained = sweep.foreign

    def _state(self, name: str) -> _State:
        state = self._states.get(name)
        if state is None:
            now = self._clock.monotonic()
            # Not all queues at a time, and none before it can have been found.
            first = now + self._check_seconds * random.uniform(0.2, 1.0)  # noqa: S311
            state = self._states[name] = _State(next_check=first, last_sweep=now)
        return state

    def _plan_next(self, state: _State) -> None:
        # Several relays fall out of step by themselves.
        state.next_check = self._clock.monotonic() + self._check_seconds * random.uniform(0.8, 1.2)  # noqa: S311
