"""A clock that moves when a test says so."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

from jobqueue_core.domain.times import to_milliseconds

START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class ManualClock:
    """Implements the port `Clock`; sleepers wake in order when their time has come."""

    def __init__(self, start: datetime = START) -> None:
        """Stand still at `start`."""
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        """Return the time."""
        return to_milliseconds(self._start + timedelta(seconds=self._elapsed))

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved that far."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._count, future))
        await future

    async def synchronize(self) -> None:
        """Return: every process of a test has this clock."""

    def move(self, seconds: float) -> None:
        """Move the clock, nobody being woken (for synchronous tests)."""
        self._elapsed += seconds

    async def advance(self, seconds: float) -> None:
        """Move the clock, waking each sleeper at its own time and letting it run."""
        end = self._elapsed + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not future.done():
                future.set_result(None)
            await settle()
        self._elapsed = end
        await settle()


async def settle(turns: int = 20) -> None:
    """Let every task run until it waits for something."""
    for _ in range(turns):
        await asyncio.sleep(0)
