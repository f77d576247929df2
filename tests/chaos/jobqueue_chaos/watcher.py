"""Watches every write to the jobs, as the store tells them, for final states that do not stay."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from jobqueue_chaos.facts import Rewritten
from jobqueue_core.domain.job import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from pymongo.asynchronous.collection import AsyncCollection

_FINAL = frozenset(phase.value for phase in Phase if phase.is_final)
_WATCHED = ("phase", "attempts", "finishedAt", "result")
_AGAIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class State:
    """What must stay once a job is final."""

    phase: str
    attempts: int
    finished_at: str
    result: str

    @property
    def is_final(self) -> bool:
        """Whether nothing may follow."""
        return self.phase in _FINAL

    def __str__(self) -> str:
        """Return the state for a report."""
        return f"{self.phase} after {self.attempts} attempts at {self.finished_at}"


class FinalStates:
    """Follows the states of all jobs through the fields of each write."""

    def __init__(self, retries_of: Callable[[str], int]) -> None:
        """Take who tells how often a job has been retried by hand."""
        self._retries_of = retries_of
        self._fields: dict[str, dict[str, object]] = {}
        self._reopened: Counter[str] = Counter()
        self.final_writes: Counter[str] = Counter()
        self.rewritten: list[Rewritten] = []

    def see(self, job_id: str, written: Mapping[str, Any]) -> bool:
        """Take fields that were written; tell whether they made the job final."""
        known = self._fields.get(job_id)
        before = None if known is None else _state(known)
        fields = {**(known or {}), **{name: written[name] for name in _WATCHED if name in written}}
        self._fields[job_id] = fields
        after = _state(fields)
        if after.is_final and after != before:
            self.final_writes[job_id] += 1
        if before is not None and before.is_final and after != before:
            self._left_final(job_id, before, after)
        return after.is_final and after != before

    def _left_final(self, job_id: str, before: State, after: State) -> None:
        if not after.is_final and before.phase != Phase.SUCCEEDED.value:
            self._reopened[job_id] += 1
            if self._reopened[job_id] <= self._retries_of(job_id):
                return
        self.rewritten.append(Rewritten(job_id, str(before), str(after)))


def _state(fields: Mapping[str, object]) -> State:
    attempts = fields.get("attempts", 0)
    return State(
        str(fields.get("phase")),
        attempts if isinstance(attempts, int) else 0,
        str(fields.get("finishedAt")),
        str(fields.get("result")),
    )


class Watcher:
    """Reads the change stream of the jobs, over every restart; an asynchronous context manager."""

    def __init__(self, jobs: AsyncCollection[dict[str, Any]], states: FinalStates) -> None:
        """Take the collection, read past the proxies, and who judges."""
        self._jobs = jobs
        self._states = states
        self._token: Mapping[str, Any] | None = None
        self._task: asyncio.Task[None] | None = None
        self._opened = asyncio.Event()
        self.writes = 0
        self.finals = 0

    async def _follow(self) -> None:
        while True:
            with contextlib.suppress(PyMongoError):
                await self._read()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _read(self) -> None:
        async with await self._jobs.watch([], resume_after=self._token, max_await_time_ms=500) as stream:
            self._opened.set()
            async for event in stream:
                self._token = event["_id"]
                self._take(event)

    def _take(self, event: Mapping[str, Any]) -> None:
        self.writes += 1
        if event["operationType"] == "update":
            written = event["updateDescription"]["updatedFields"]
        elif event["operationType"] in ("insert", "replace"):
            written = event["fullDocument"]
        else:
            return
        if self._states.see(event["documentKey"]["_id"], written):
            self.finals += 1

    async def catch_up(self) -> None:
        """Compare with what is stored, in case the stream has lost something."""
        async for document in self._jobs.find({}, dict.fromkeys(_WATCHED, 1)):
            self._states.see(document["_id"], document)

    async def __aenter__(self) -> Self:
        """Begin to watch; everything from now on is seen."""
        self._task = asyncio.create_task(self._follow())
        async with asyncio.timeout(10):
            await self._opened.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
