"""One clock for all: the store's, carried on between readings by this machine's monotonic one.

The ends of leases and the times at which something is due are written by one process and judged by
others. With their own clocks apart by half a minute, a relay would take a living worker's job for
lost. The store's clock is the only one that all of them can read; and the monotonic clock beside it
makes a wall clock that is set in mid-run harmless.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.times import to_milliseconds

if TYPE_CHECKING:
    from datetime import datetime

    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.store import JobStore

_log = structlog.get_logger(__name__)

_EVERY_SECONDS = 60.0
_RETRY_SECONDS = 1.0
# Of several readings the one with the shortest way counts: a busy process makes the others late.
_READINGS = 5
# Quartz drifts by up to 100 ppm, so an old reading loses its worth.
_DRIFT = 1e-4
# More than this between the clocks is worth a line in the log.
_TELL_SECONDS = 1.0


class StoreClock:
    """Implements the port `Clock`; this machine's wall clock until the store has been read once."""

    def __init__(self, clock: Clock, store: JobStore) -> None:
        """Take this machine's clock and the store to follow."""
        self._clock = clock
        self._store = store
        self._epoch: datetime | None = None
        """The store's time at zero of the monotonic clock."""
        self._error = 0.0
        """How far off it may be, in seconds, when it was read."""
        self._read_at = 0.0

    def now(self) -> datetime:
        """Return the store's time, UTC, in whole milliseconds."""
        if self._epoch is None:
            return self._clock.now()
        return to_milliseconds(self._epoch + timedelta(seconds=self._clock.monotonic()))

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        await self._clock.sleep(seconds)

    async def synchronize(self) -> None:
        """Read the store's clock some times, and keep the best reading.

        Raises:
            StoreUnavailableError: the store is away; the last reading holds on.

        """
        for _ in range(_READINGS):
            await self._read()

    async def _read(self) -> None:
        asked = self._clock.monotonic()
        told = await self._store.time()
        answered = self._clock.monotonic()
        # It was told at some moment between the two.
        error = (answered - asked) / 2
        epoch = told - timedelta(seconds=(asked + answered) / 2)
        is_first = self._epoch is None
        if self._epoch is not None:
            known = self._error + (answered - self._read_at) * _DRIFT
            agree = abs((epoch - self._epoch).total_seconds()) <= known + error
            if agree and error > known:
                return
        self._epoch, self._error, self._read_at = epoch, error, answered
        apart = (self._clock.now() - self.now()).total_seconds()
        if is_first and abs(apart) > _TELL_SECONDS:
            _log.warning("this machine's clock is not the store's, the store's counts", seconds=apart)

    async def follow(self) -> None:
        """Read again and again, until cancelled; an outage is waited out."""
        while True:
            try:
                await self.synchronize()
            except StoreUnavailableError:
                await self._clock.sleep(_RETRY_SECONDS)
            else:
                await self._clock.sleep(_EVERY_SECONDS)
