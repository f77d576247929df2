"""What is remembered of the schedules of recurring jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobqueue_core.domain.recurrence import ScheduleState


class ScheduleStore(Protocol):
    """Keeps one state a schedule. Every method raises StoreUnavailableError when it is out of reach."""

    async def load(self, keys: Collection[str]) -> dict[str, ScheduleState]:
        """Return the states there are of these schedules, by key."""
        ...

    async def save(self, state: ScheduleState) -> bool:
        """Write a state over its version before (version 1: where there is none); tell whether it was.

        False means that somebody else has written: what was read is out of date.
        """
        ...
