"""The clock that all processes of a world follow, as they follow the store's."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from jobqueue_core.testing.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable


class ModelClock(ManualClock):
    """Moves without a running loop: between two sleepers everybody comes to rest."""

    def pass_time(self, seconds: float, settle: Callable[[], None]) -> None:
        """Move by so many seconds, waking each sleeper at its own time."""
        end = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not future.done():
                future.set_result(None)
                settle()
        self._elapsed = end
