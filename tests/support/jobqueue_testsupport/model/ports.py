"""The fakes as one process sees them: each call that matters takes its two steps when it is told to."""

# ruff: noqa: ANN401 - calls of any port pass through here
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from jobqueue_core.domain.errors import QueueUnavailableError, StoreUnavailableError
from jobqueue_testsupport.model.gates import Fault, Gate

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from jobqueue_core.domain.job import Job
    from jobqueue_core.testing.queue import MemoryQueue
    from jobqueue_core.testing.store import MemoryJobStore

# What is not named passes at once: it decides nothing (heartbeats, probes, counts).
_STORE_STEPS = frozenset({"insert", "get", "get_many", "apply", "offer", "waiting_since", "failed_after"})
_QUEUE_STEPS = frozenset({"send", "delete", "change_visibility", "dead_letter"})


class SteppedStore:
    """Stands for the port `JobStore` of one process."""

    def __init__(self, store: MemoryJobStore, gate: Gate) -> None:
        """Share the store with the other processes."""
        self._store = store
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        """Return the fake's method, stepped where it matters."""
        method = getattr(self._store, name)
        return partial(self._step, name, method) if name in _STORE_STEPS else method

    async def _step(self, name: str, method: Callable[..., Any], what: Any, *rest: Any, **named: Any) -> Any:
        if isinstance(what, list) and not what:
            return await method(what, *rest, **named)

        async def do(fault: Fault | None) -> Any:
            return await method(_part(what, fault), *rest, **named)

        return await self._gate.passed(name, do, StoreUnavailableError)

    async def due(self, now: datetime, limit: int) -> list[Job]:
        """Look at what is due; a look at nothing passes at once."""
        if not await self._store.due(now, limit):
            return []

        async def do(_fault: Fault | None) -> list[Job]:
            return await self._store.due(now, limit)

        jobs: list[Job] = await self._gate.passed("due", do, StoreUnavailableError)
        return jobs


class SteppedQueue:
    """Stands for the port `MessageQueue` of one process."""

    def __init__(self, queue: MemoryQueue, gate: Gate, has_visible: Callable[[], bool]) -> None:
        """Share the queue with the other processes."""
        self._queue = queue
        self._gate = gate
        self._has_visible = has_visible

    def __getattr__(self, name: str) -> Any:
        """Return the fake's method, stepped where it matters."""
        method = getattr(self._queue, name)
        return partial(self._step, name, method) if name in _QUEUE_STEPS else method

    async def _step(self, name: str, method: Callable[..., Any], batch: list[Any]) -> Any:
        async def do(fault: Fault | None) -> Any:
            if fault is Fault.ENTRY:
                self._queue.faults.entries.append("InternalError")
            return await method(_part(batch, fault))

        return await self._gate.passed(name, do, QueueUnavailableError)

    async def receive(self, max_messages: int, _wait_seconds: int) -> Any:
        """Receive what is visible once it is let through: a long poll waits at the gate."""

        async def do(_fault: Fault | None) -> Any:
            return await self._queue.receive(max_messages, 0)

        return await self._gate.passed("receive", do, QueueUnavailableError, self._has_visible)


def _part(what: Any, fault: Fault | None) -> Any:
    return what[: len(what) // 2] if fault is Fault.PARTIAL and isinstance(what, list) else what
