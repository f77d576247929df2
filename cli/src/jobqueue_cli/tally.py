"""What all workers together have done, those that have gone included."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobqueue_core.domain.heartbeat import Heartbeat


class Tally:
    """Adds up the newest heartbeat of every worker that was ever seen.

    What a worker did after the last heartbeat that was read is missing once it has gone.
    """

    def __init__(self) -> None:
        self._newest: dict[str, tuple[int, int, int]] = {}
        self.alive: tuple[Heartbeat, ...] = ()

    def read(self, alive: Iterable[Heartbeat]) -> None:
        """Take the heartbeats of the workers that are there."""
        self.alive = tuple(alive)
        for beat in self.alive:
            self._newest[beat.worker] = (beat.attempts, beat.retries, beat.finished)

    @property
    def attempts(self) -> int:
        """Attempts ended."""
        return sum(attempts for attempts, _, _ in self._newest.values())

    @property
    def retries(self) -> int:
        """Attempts that were to be tried again."""
        return sum(retries for _, retries, _ in self._newest.values())

    @property
    def finished(self) -> int:
        """Jobs brought to a final state."""
        return sum(finished for _, _, finished in self._newest.values())

    @property
    def busy(self) -> int:
        """Jobs in hand."""
        return sum(beat.busy for beat in self.alive)

    @property
    def service_seconds(self) -> float | None:
        """Mean length of one attempt, over the workers that know one; None before the first."""
        known = [beat.service_seconds for beat in self.alive if beat.service_seconds is not None]
        return sum(known) / len(known) if known else None
