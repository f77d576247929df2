"""Flow states in memory, with the same rules as the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobqueue_core.domain.flow import FlowState


class MemoryFlowStore:
    """Implements the port `FlowStore`; `available = False` makes every call fail.

    Attributes:
        states: by queue.
        loads: reads so far.
        swaps: writes so far, the refused included.

    """

    def __init__(self) -> None:
        """Start empty and available."""
        self.states: dict[str, FlowState] = {}
        self.available = True
        self.loads = 0
        self.swaps = 0

    def _check(self) -> None:
        if not self.available:
            msg = "the store is away"
            raise StoreUnavailableError(msg)

    async def load(self, queue: str) -> FlowState | None:
        """Return the state."""
        self._check()
        self.loads += 1
        return self.states.get(queue)

    async def load_many(self, queues: Collection[str]) -> dict[str, FlowState]:
        """Return those that exist."""
        self._check()
        self.loads += 1
        return {queue: self.states[queue] for queue in queues if queue in self.states}

    async def swap(self, before: FlowState, after: FlowState) -> bool:
        """Write where the version still stands."""
        self._check()
        self.swaps += 1
        stored = self.states.get(before.queue)
        if (0 if stored is None else stored.version) != before.version:
            return False
        self.states[before.queue] = after
        return True
