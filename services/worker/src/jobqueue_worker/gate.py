"""Stops the taking of work while the store is away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from jobqueue_core.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.store import JobStore

_log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 2.0


class StoreGate:
    """Open while the store answers.

    Without it a worker would go on receiving during an outage, and each receive brings a healthy
    message nearer to the dead-letter queue (`maxReceiveCount`).
    """

    def __init__(self, store: JobStore, clock: Clock) -> None:
        """Start open."""
        self._store = store
        self._clock = clock
        self._open = asyncio.Event()
        self._open.set()
        self._probe: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether the store is believed to answer."""
        return self._open.is_set()

    async def passed(self) -> None:
        """Return when the gate is open."""
        await self._open.wait()

    def shut(self, error: StoreUnavailableError) -> None:
        """Close the gate until the store answers again."""
        if self._open.is_set():
            _log.warning("store away, no work is taken", error=str(error))
            self._open.clear()
            self._probe = asyncio.create_task(self._wait_for_store())

    async def _wait_for_store(self) -> None:
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            await self._clock.sleep(wait_seconds)
            try:
                await self._store.ping()
            except StoreUnavailableError:
                wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
            else:
                _log.info("store back")
                self._open.set()
                return

    async def close(self) -> None:
        """Stop looking."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
