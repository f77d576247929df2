"""The external service: writes down every call, and answers when and as it is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jobqueue_core.domain.job import JobResult
from jobqueue_core.domain.outcome import of_answer, of_timeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.outcome import Outcome

_TIMEOUT_SECONDS = 10.0
# Longer than a message may wait in the queue: the job is parked in the store.
_LATER_SECONDS = 1200.0


class Answer(StrEnum):
    """What the service says."""

    OK = "ok"
    UNAVAILABLE = "unavailable"
    LATER = "later"
    REJECTED = "rejected"
    NOTHING = "nothing"
    """The call runs into its time-out, whenever the process notices it."""


@dataclass(eq=False, slots=True)
class Call:
    """One call that was begun."""

    number: int
    job_id: str
    attempt: int
    token: str
    process: str
    given: asyncio.Future[Answer]

    @property
    def body(self) -> str:
        """What it is answered with when it succeeds: no two calls get the same."""
        return f"call {self.number}"


class Service:
    """What all workers call."""

    def __init__(self, began: Callable[[Call], None]) -> None:
        """Take who is told of each call at its beginning."""
        self._began = began
        self.calls: list[Call] = []

    @property
    def open(self) -> list[Call]:
        """Calls that somebody still waits for."""
        return [call for call in self.calls if not call.given.done()]

    async def answered(self, job: Job, process: str) -> Outcome:
        """Take one call and return what the process makes of its answer."""
        call = Call(
            len(self.calls) + 1,
            job.id,
            job.attempts,
            job.lease.token,
            process,
            asyncio.get_running_loop().create_future(),
        )
        self.calls.append(call)
        self._began(call)
        return _outcome(call, await call.given)


def _outcome(call: Call, answer: Answer) -> Outcome:
    if answer is Answer.OK:
        return of_answer(200, JobResult(200, call.body))
    if answer is Answer.UNAVAILABLE:
        return of_answer(503, JobResult(503, ""))
    if answer is Answer.LATER:
        return of_answer(503, JobResult(503, ""), _LATER_SECONDS)
    if answer is Answer.REJECTED:
        return of_answer(400, JobResult(400, ""))
    return of_timeout(_TIMEOUT_SECONDS)


@dataclass(frozen=True, slots=True)
class Line:
    """Implements `Processor` for one process."""

    service: Service
    process: str

    async def call(self, job: Job) -> Outcome:
        """Call the service."""
        return await self.service.answered(job, self.process)
