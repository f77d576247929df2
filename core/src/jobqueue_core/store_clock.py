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

# Quartz drifts by up to 100 ppm: 6 ms in this time.
_EVERY_SECONDS = 60.0
_RETRY_SECONDS = 1.0
# The reading is taken for the middle of its round trip: a longer one tells too little.
_ROUND_TRIP_MAX_SECONDS = 1.0
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

    async def read(self) -> bool:
        """Read the store's clock; False when the answer took too long to tell anything.

        Raises:
            StoreUnavailableError: the store is away; the last reading holds on.

        """
        asked = self._clock.monotonic()
        told = await self._store.time()
        answered = self._clock.monotonic()
        if answered - asked > _ROUND_TRIP_MAX_SECONDS:
            return False
        is_first = self._epoch is None
        self._epoch = told - timedelta(seconds=(asked + answered) / 2)
        apart = (self._clock.now() - self.now()).total_seconds()
        if is_first and abs(apart) > _TELL_SECONDS:
            _log.warning("this machine's clock is not the store's, the store's counts", seconds=apart)
        return True

    async def follow(self) -> None:
        """Read again and again, until cancelled; an outage is waited out."""
        while True:
            try:
                has_read = await self.read()
            except StoreUnavailableError:
                has_read = False
            await self._clock.sleep(_EVERY_SECONDS if has_read else _RETRY_SECONDS)

    async def first_reading(self) -> None:
        """Read once; a store that is away does not hold a process up at its start."""
        try:
            await self.read()
        except StoreUnavailableError as error:
            _log.warning("this machine's clock is used until the store answers", error=str(error))
