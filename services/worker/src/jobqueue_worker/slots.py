"""The slots of a worker: how many calls may be under way at once."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    """Free slots, given out in the order in which they were asked for.

    A semaphore that can be closed: whoever waits is told that there will be no slot any more.
    """

    def __init__(self, size: int) -> None:
        """Start with `size` free slots."""
        self._free = size
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self._closed = False

    async def take(self) -> bool:
        """Return True with a slot, or False when there are none to be had any more."""
        if self._closed:
            return False
        if self._free > 0:
            self._free -= 1
            return True
        waiting: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiting)
        try:
            return await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled() and waiting.result():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Free a slot, or hand it on."""
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(True)
                return
        self._free += 1

    def close(self) -> None:
        """Give out no more slots, not even to those who wait."""
        self._closed = True
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(False)
