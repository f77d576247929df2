"""Redrives in memory, with the same rules as the real store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.redrives import Redrive, RedriveState

if TYPE_CHECKING:
    from collections.abc import Iterable


class MemoryRedriveStore:
    """Implements the port `RedriveStore`; `available = False` makes every call fail."""

    def __init__(self) -> None:
        """Start empty and available."""
        self.tasks: dict[str, Redrive] = {}
        self.available = True

    def _check(self) -> None:
        if not self.available:
            msg = "the store is away"
            raise StoreUnavailableError(msg)

    async def prepare(self) -> None:
        """Nothing to create."""
        self._check()

    async def create(self, task: Redrive) -> None:
        """Store a task."""
        self._check()
        self.tasks[task.id] = task

    async def get(self, task_id: str) -> Redrive | None:
        """Return one task."""
        self._check()
        return self.tasks.get(task_id)

    async def of_queue(self, queue: str, limit: int) -> list[Redrive]:
        """Return the newest."""
        self._check()
        return [task for task in reversed(self._sorted()) if task.queue == queue][:limit]

    async def running(self, limit: int) -> list[Redrive]:
        """Return the oldest that are not over."""
        self._check()
        return [task for task in self._sorted() if task.state is RedriveState.RUNNING][:limit]

    def _sorted(self) -> list[Redrive]:
        return sorted(self.tasks.values(), key=lambda task: task.id)

    async def write(self, before: Redrive, after: Redrive) -> bool:
        """Write where the token is still that of `before`."""
        self._check()
        stored = self.tasks.get(before.id)
        if stored is None or stored.state is not RedriveState.RUNNING or stored.token != before.token:
            return False
        changed = {name: getattr(after, name) for name in _changed(before, after)}
        self.tasks[before.id] = replace(stored, **changed)
        return True


def _changed(before: Redrive, after: Redrive) -> Iterable[str]:
    return [name for name in Redrive.__slots__ if getattr(before, name) != getattr(after, name)]
