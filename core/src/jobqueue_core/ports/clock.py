"""Time, as something that can be given."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

from jobqueue_core import failpoints
from jobqueue_core.domain.times import to_milliseconds

# Zero but in tests of clocks that are apart.
_OFFSET = timedelta(seconds=failpoints.clock_offset_seconds)


class Clock(Protocol):
    """Tells the time and waits."""

    def now(self) -> datetime:
        """Return the wall clock's time, UTC, in whole milliseconds."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back, for measuring."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        ...

    async def synchronize(self) -> None:
        """Return when the time can be compared with that of other processes.

        Raises:
            StoreUnavailableError: it cannot, yet.

        """
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the wall clock's time, UTC, in whole milliseconds."""
        return to_milliseconds(datetime.now(UTC) + _OFFSET)

    def monotonic(self) -> float:
        """Return `time.monotonic()`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait on the event loop."""
        await asyncio.sleep(seconds)

    async def synchronize(self) -> None:
        """Return: it is the only clock there is."""
