"""The account of a run: what was accepted, what became of it, and whether anything was lost."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from jobqueue_core.domain.heartbeat import PhaseCounts

if TYPE_CHECKING:
    from collections.abc import Iterable

_PHASES = PhaseCounts.__slots__
_SUBMITTED = re.compile(r'^jobqueue_jobs_submitted_total\{queue="(?:[^"\\]|\\.)*"\} (\S+)', re.MULTILINE)


def total(counts: Iterable[PhaseCounts]) -> PhaseCounts:
    """Add up the counts of several queues."""
    return reduce(_plus, counts, PhaseCounts())


def stored(counts: PhaseCounts) -> int:
    """Return how many jobs there are."""
    return counts.finished + counts.unfinished


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Jobs since the start, counted after the workers have ended and while the rest still runs.

    Attributes:
        before: The store at the start, before anything could be submitted.
        after: The store at the end.
        accepted: Jobs that the API told a client it had stored; None when it cannot be known, because the
            API was restarted in between.
        unpromised: Unfinished jobs that the relay owes nothing (no due time): only a message can run them.
        messages: Messages in the queues, visible or not.
        attempts: Calls of the external service that the workers reported.
        retries: Of those, how many were to be tried again.
        elapsed_seconds: From the first new job seen to the end.
    """

    before: PhaseCounts
    after: PhaseCounts
    accepted: int | None
    unpromised: int
    messages: int
    attempts: int
    retries: int
    elapsed_seconds: float

    @property
    def done(self) -> int:
        """Jobs that succeeded."""
        return max(0, self.after.succeeded - self.before.succeeded)

    @property
    def failed(self) -> int:
        """Jobs that failed for good."""
        return max(0, self.after.failed - self.before.failed)

    @property
    def cancelled(self) -> int:
        """Jobs that were cancelled."""
        return max(0, self.after.cancelled - self.before.cancelled)

    @property
    def finished(self) -> int:
        """Jobs that reached a final state."""
        return self.done + self.failed + self.cancelled

    @property
    def lost(self) -> int:
        """Jobs that were accepted and that nothing will ever finish.

        Those of which a client was told that they are stored while the store has not got them, and those
        in the store that are neither final, nor due to be looked after by the relay (which holds for
        scheduled, unsent and leased jobs), nor carried by a message.
        """
        new = stored(self.after) - stored(self.before)
        vanished = 0 if self.accepted is None else max(0, self.accepted - new)
        return vanished + max(0, self.unpromised - self.messages)

    def lines(self) -> list[str]:
        """Tell it to people."""
        rate = self.finished / self.elapsed_seconds if self.elapsed_seconds > 0 else 0.0
        ends = f"{self.done} done, {self.failed} failed, {self.cancelled} cancelled"
        told = [
            f"{self.finished} jobs finished: {ends}",
            f"{self.attempts} attempts, {self.retries} retries",
            f"{self.elapsed_seconds:.1f} s, {rate:.1f} jobs/s",
        ]
        if self.after.unfinished:
            told.append(
                f"{self.after.unfinished} not finished; the next start on this folder goes on with them"
            )
        told.append(f"{self.lost} lost")
        return told


def submitted_total(exposition: str) -> int:
    """Return how many jobs a component has accepted, from its metrics in the text format."""
    return int(sum(float(value) for value in _SUBMITTED.findall(exposition)))


def _plus(one: PhaseCounts, other: PhaseCounts) -> PhaseCounts:
    return PhaseCounts(**{phase: getattr(one, phase) + getattr(other, phase) for phase in _PHASES})
