"""What is known of a run when it is over: everything that the verdict is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping
    from datetime import datetime

    from jobqueue_chaos.mix import JobSpec


@dataclass(slots=True)
class Submitted:
    """One job of the load, and what the API said to it."""

    spec: JobSpec
    number: int
    """Position in the load; of one ordering key, the order of acceptance."""
    job_ids: list[str] = field(default_factory=list)
    """Every id that was answered for its key: one, whatever happens."""
    tries: int = 0
    unanswered: int = 0
    refusal: str | None = None
    """An answer that no repetition will change."""
    retries: int = 0
    """Retries by hand that the API has taken."""
    cancelled: bool = False

    @property
    def job_id(self) -> str | None:
        """Its id, once accepted."""
        return self.job_ids[0] if self.job_ids else None


@dataclass(slots=True)
class Call:
    """One call of the external service, as that saw it. Times are monotonic seconds of the harness."""

    job_id: str
    attempt: int
    run: int
    idempotency_key: str
    started: float
    ended: float | None = None
    code: int | None = None
    """What was answered; None: nothing, or the caller was gone."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A final state that did not stay."""

    job_id: str
    before: str
    after: str


@dataclass(slots=True)
class Death:
    """The end of one process."""

    process: str
    """Its name and number of its start: the worker's id."""
    at: float
    wall: datetime
    how: str
    """`killed at PLACE`, `killed`, `stopped` (SIGTERM), `frozen`, or `ended by itself`."""
    place: str | None = None
    code: int | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of the plan as it happened."""

    kind: str
    began: float
    ended: float
    began_wall: datetime
    ended_wall: datetime
    recovery_seconds: float | None
    """From its end to the next call of the external service."""


@dataclass(slots=True, kw_only=True)
class Facts:
    """Everything of one run.

    Attributes:
        submitted: the load, by idempotency key.
        documents: every job of the store, by id.
        calls: of the external service, in order.
        rewritten: final states that did not stay, of jobs that nobody retried by hand.
        final_writes: how often each job became final.
        letters: job id to the number of its letters in the dead-letter queues.
        letters_before: letters that a killed SQS had and lost.
        strange_letters: letters that name no job.
        strangers: jobs that a worker took for somebody else's.
        buried: jobs that a letter called failed, whether it is still there or not.
        left: messages left in the queues: `visible` and `in flight` by queue.
        sends: messages sent to the queues, by job id.
        deaths: of processes.
        troubles: faults that were carried out.

    """

    submitted: Mapping[str, Submitted]
    documents: Mapping[str, Mapping[str, Any]]
    calls: list[Call]
    rewritten: list[Rewritten]
    final_writes: Mapping[str, int]
    letters: Mapping[str, int]
    letters_before: Mapping[str, int]
    strange_letters: list[str]
    strangers: set[str]
    buried: set[str]
    left: Mapping[str, int]
    sends: Counter[str]
    deaths: list[Death]
    troubles: list[Trouble]
