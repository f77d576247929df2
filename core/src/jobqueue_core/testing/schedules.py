"""States of schedules in memory, with the same rules as the real store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobqueue_core.domain.recurrence import ScheduleState


class MemoryScheduleStore:
    """Implements the port `ScheduleStore`; `available = False` makes every call fail."""

    def __init__(self) -> None:
        """Start empty and available."""
        self.states: dict[str, ScheduleState] = {}
        self.available = True
        self.calls = 0

    def _check(self) -> None:
        self.calls += 1
        if not self.available:
            msg = "the store is away"
            raise StoreUnavailableError(msg)

    async def load(self, keys: Collection[str]) -> dict[str, ScheduleState]:
        """Return those there are."""
        self._check()
        return {key: self.states[key] for key in keys if key in self.states}

    async def save(self, state: ScheduleState) -> bool:
        """Write where the version is the next one."""
        self._check()
        stored = self.states.get(state.key)
        if state.version != (0 if stored is None else stored.version) + 1:
            return False
        self.states[state.key] = state
        return True
