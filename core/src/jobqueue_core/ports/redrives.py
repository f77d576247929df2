"""Where redrives are kept: tasks that outlive whoever carries them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobqueue_core.domain.redrives import Redrive


class RedriveStore(Protocol):
    """Keeps redrives. Every method raises StoreUnavailableError when the database is out of reach."""

    async def prepare(self) -> None:
        """Create every index that the queries need; harmless to repeat."""
        ...

    async def create(self, task: Redrive) -> None:
        """Store a new task, durable on a majority before it returns."""
        ...

    async def get(self, task_id: str) -> Redrive | None:
        """Return one task."""
        ...

    async def of_queue(self, queue: str, limit: int) -> list[Redrive]:
        """Return the tasks of a queue, the newest first."""
        ...

    async def running(self, limit: int) -> list[Redrive]:
        """Return tasks that are not over, the oldest first."""
        ...

    async def write(self, before: Redrive, after: Redrive) -> bool:
        """Write what a step changes, if the task is still running under the token of `before`.

        False means that it has been cancelled or taken over, or is over.
        """
        ...
