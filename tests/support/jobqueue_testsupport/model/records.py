"""What the witness remembers of each job, apart from the product's own books."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobqueue_testsupport.model.service import Answer, Call


class ViolationError(AssertionError):
    """A promise was broken."""


@dataclass(slots=True)
class AttemptRecord:
    """One claim that landed."""

    number: int
    owner: str
    call: Call | None = None
    answer: Answer | None = None


@dataclass(slots=True)
class RunRecord:
    """A job from its submission, or a retry by hand, to its final state.

    Attributes:
        history_at_start: entries that earlier runs left.
        attempts: by fencing token.
        sent: messages that the queue has taken since the store owed it one.
        letters: dead letters that came while the job had failed.
        finals: final states reached.

    """

    history_at_start: int = 0
    attempts: dict[str, AttemptRecord] = field(default_factory=dict)
    sent: int = 0
    letters: int = 0
    finals: int = 0

    @property
    def calls(self) -> int:
        """Calls of the service that were begun."""
        return sum(attempt.call is not None for attempt in self.attempts.values())


@dataclass(slots=True)
class JobRecord:
    """All runs of one job, the newest last."""

    runs: list[RunRecord] = field(default_factory=lambda: [RunRecord()])

    @property
    def run(self) -> RunRecord:
        """The newest run."""
        return self.runs[-1]
