"""What a worker says of itself, so that the operator and people see who works."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """One worker's newest word.

    Attributes:
        worker: its id.
        queue: the queue it works for.
        slots: jobs it can run at once.
        busy: jobs it is running.
        service_seconds: mean length of one attempt lately (exponentially weighted); None before the first.
        attempts: attempts ended since the worker began.
        retries: of those, how many are to be tried again.
        finished: jobs it brought to a final state.
        draining: it has been told to stop and takes no more.
        started_at: when it began.
        seen_at: when it said this.

    """

    worker: str
    queue: str
    slots: int
    busy: int
    service_seconds: float | None
    attempts: int
    retries: int
    finished: int
    draining: bool
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class PhaseCounts:
    """Jobs of one queue by phase."""

    scheduled: int = 0
    queued: int = 0
    running: int = 0
    retrying: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def waiting(self) -> int:
        """Jobs that a worker could begin now or after a backoff."""
        return self.queued + self.retrying

    @property
    def unfinished(self) -> int:
        """Jobs that are not final."""
        return self.scheduled + self.queued + self.running + self.retrying

    @property
    def finished(self) -> int:
        """Jobs that are final."""
        return self.succeeded + self.failed + self.cancelled
