"""What all workers together have done, those that have gone included."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from jobqueue_core.domain.heartbeat import Heartbeat

_FORGET_AFTER = timedelta(minutes=10)


class _Known(NamedTuple):
    """What a worker had said when it was last heard of."""

    started_at: datetime
    seen_at: datetime
    attempts: int
    retries: int
    finished: int


class Tally:
    """Adds up what the workers do; sums never fall.

    Each heartbeat carries totals since the worker began, so what it adds is what they grew by. What
    a worker did after the last heartbeat that was read is missing once it has gone. Of workers that
    have not been heard of for ten minutes nothing is kept but what they added.

    Attributes:
        alive: The heartbeats of the newest reading.
        attempts: Attempts ended.
        retries: Attempts that were to be tried again.
        finished: Jobs brought to a final state.
    """

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._newest: datetime | None = None
        self.alive: tuple[Heartbeat, ...] = ()
        self.attempts = 0
        self.retries = 0
        self.finished = 0

    def read(self, alive: Iterable[Heartbeat]) -> None:
        """Take the heartbeats of the workers that are there."""
        self.alive = tuple(alive)
        if not self.alive:
            return
        before, self._newest = self._newest, max(beat.seen_at for beat in self.alive)
        for beat in self.alive:
            self._add(beat, before)
        horizon = self._newest - _FORGET_AFTER
        gone = [worker for worker, known in self._known.items() if known.seen_at < horizon]
        for worker in gone:
            del self._known[worker]

    def _add(self, beat: Heartbeat, before: datetime | None) -> None:
        known = self._known.get(beat.worker)
        is_back = known is None and before is not None and beat.started_at < before - _FORGET_AFTER
        self._known[beat.worker] = _Known(
            beat.started_at, beat.seen_at, beat.attempts, beat.retries, beat.finished
        )
        if is_back:
            # It was there before and may have been counted and forgotten: its totals are not news.
            return
        if known is None or known.started_at != beat.started_at:
            # New, or begun again under the same name, as a container does in its pod.
            known = _Known(beat.started_at, beat.seen_at, 0, 0, 0)
        self.attempts += max(0, beat.attempts - known.attempts)
        self.retries += max(0, beat.retries - known.retries)
        self.finished += max(0, beat.finished - known.finished)

    @property
    def busy(self) -> int:
        """Jobs in hand."""
        return sum(beat.busy for beat in self.alive)

    @property
    def busy_workers(self) -> frozenset[str]:
        """Workers with a job in hand, those that are ending left out."""
        return frozenset(beat.worker for beat in self.alive if beat.busy and not beat.draining)

    @property
    def service_seconds(self) -> float | None:
        """Mean length of one attempt, over the workers that know one; None before the first."""
        known = [beat.service_seconds for beat in self.alive if beat.service_seconds is not None]
        return sum(known) / len(known) if known else None
