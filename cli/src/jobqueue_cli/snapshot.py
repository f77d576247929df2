"""One look at the system, as the demo shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_operator.scaling import drain_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobqueue_core.domain.heartbeat import PhaseCounts
    from jobqueue_operator.observing.tally import Tally
    from jobqueue_operator.ports import Replicas


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Numbers of one moment; jobs since the start, and what is left of earlier runs."""

    waiting: int
    running: int
    done: int
    failed: int
    retries: int
    workers: int
    drain_seconds: float | None
    """Estimate of the time until nothing waits or runs; None when it cannot be known."""

    def cells(self) -> list[tuple[str, str]]:
        """Return headings and values."""
        drain = "?" if self.drain_seconds is None else f"{self.drain_seconds:.1f} s"
        return [
            ("waiting", str(self.waiting)),
            ("running", str(self.running)),
            ("done", str(self.done)),
            ("failed", str(self.failed)),
            ("retries", str(self.retries)),
            ("workers", str(self.workers)),
            ("drained in", drain),
        ]

    def line(self) -> str:
        """Return all of it in a line."""
        return "  ".join(f"{name} {value}" for name, value in self.cells())


def snapshot(
    before: PhaseCounts,
    now: PhaseCounts,
    tallies: Sequence[Tally],
    replicas: Sequence[Replicas],
    concurrency: int,
) -> Snapshot:
    """Put together what is shown.

    Args:
        before: The store at the start.
        now: The store now.
        tallies: What the workers of each queue have told.
        replicas: The workers of each queue.
        concurrency: Jobs that one worker runs at a time.
    """
    workers = sum(each.ready for each in replicas)
    known = [tally.service_seconds for tally in tallies if tally.service_seconds is not None]
    service_seconds = sum(known) / len(known) if known else None
    return Snapshot(
        waiting=now.scheduled + now.waiting,
        running=now.running,
        done=now.succeeded - before.succeeded,
        failed=now.failed - before.failed,
        retries=sum(tally.retries for tally in tallies),
        workers=workers,
        drain_seconds=drain_seconds(now.unfinished, service_seconds, concurrency, workers),
    )
