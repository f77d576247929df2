"""Recurring jobs: a chore of the relay that makes a job of each due time of each schedule.

Nothing here is elected or locked. Each relay knows when the next due time comes; then it reads the state,
stores the jobs and only then advances the state, which is written only over the version that was read. Who
comes second finds the state advanced or, where the first one died in between, the jobs there: a job's id
follows from its schedule and its due time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import structlog

from jobqueue_core import failpoints
from jobqueue_core.domain.recurrence import following, recurring_job, resume, take_turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.recurrence import Recurrence, ScheduleState, Turn
    from jobqueue_core.domain.transitions import JobRules
    from jobqueue_core.ports.clock import Clock
    from jobqueue_core.ports.schedules import ScheduleStore
    from jobqueue_core.ports.store import JobStore

_log = structlog.get_logger(__name__)

_SCHEDULES_AT_ONCE = 100
# No more schedules are taken into a turn that has so many jobs.
_JOBS_AT_ONCE = 200


class RecurrenceObserver(Protocol):
    """Is told what became a job."""

    def recurring_run(self, queue: str) -> None:
        """Count a due time that this process made a job of."""
        ...


@dataclass(frozen=True, slots=True)
class _Plan:
    """What this relay knows of one schedule.

    Attributes:
        recurrence: The schedule.
        since: How far this relay knows its due times to have been seen to.
        look_at: When there is something to do; None: never.
    """

    recurrence: Recurrence
    since: datetime
    look_at: datetime | None


class RecurringJobs:
    """Implements `Chore`; what it remembers saves reads, and may be lost at any time."""

    def __init__(
        self,
        *,
        schedules: Mapping[str, Sequence[Recurrence]],
        store: JobStore,
        states: ScheduleStore,
        rules: Mapping[str, JobRules],
        clock: Clock,
        observer: RecurrenceObserver,
        new_token: Callable[[], str],
    ) -> None:
        """Take the schedules by queue, which may change between two turns, and the rules of those queues.

        A queue's sequence of schedules is never changed itself, only replaced by another one.
        """
        self._schedules = schedules
        self._store = store
        self._states = states
        self._rules = rules
        self._clock = clock
        self._observer = observer
        self._new_token = new_token
        self._known: dict[str, Sequence[Recurrence]] = {}
        self._plans: dict[str, _Plan] = {}

    async def turn(self) -> bool:
        """Make jobs of due times that have come; tell whether there is more, or there are jobs to be sent.

        Raises:
            StoreUnavailableError: the store is away; whatever was done is found again.

        """
        now = self._clock.now()
        self._learn(now)
        due = [plan for plan in self._plans.values() if plan.look_at is not None and plan.look_at <= now]
        if not due:
            return False
        chosen = due[:_SCHEDULES_AT_ONCE]
        stored = await self._states.load([plan.recurrence.key for plan in chosen])
        turns: dict[str, Turn] = {}
        jobs: list[Job] = []
        for plan in chosen:
            if len(jobs) >= _JOBS_AT_ONCE:
                break
            key = plan.recurrence.key
            turns[key] = take_turn(plan.recurrence, resume(plan.recurrence, stored.get(key), plan.since), now)
            jobs += self._jobs(plan.recurrence, turns[key], now)
        await self._insert(jobs)
        failpoints.hit("relay.after_recurring_insert")
        await asyncio.gather(*(self._advance(turn, stored.get(key)) for key, turn in turns.items()))
        failpoints.hit("relay.after_recurring_state")
        return bool(jobs) or len(turns) < len(due) or any(turn.more for turn in turns.values())

    def _learn(self, now: datetime) -> None:
        """Plan what is new, and forget what is gone."""
        for queue in self._known.keys() - self._schedules.keys():
            self._replan(queue, (), now)
            del self._known[queue]
        for queue, recurrences in self._schedules.items():
            if self._known.get(queue) is not recurrences:
                self._replan(queue, recurrences, now)
                self._known[queue] = recurrences

    def _replan(self, queue: str, recurrences: Sequence[Recurrence], now: datetime) -> None:
        before = {each.key: self._plans.pop(each.key) for each in self._known.get(queue, ())}
        for recurrence in recurrences:
            plan = before.get(recurrence.key)
            # A schedule of the same times goes on; another begins, and its state is written at once: a due
            # time that nobody sees to is missed only if it is known to have been waited for.
            self._plans[recurrence.key] = (
                replace(plan, recurrence=recurrence)
                if plan is not None and plan.recurrence.times == recurrence.times
                else _Plan(recurrence, since=now, look_at=now)
            )

    def _jobs(self, recurrence: Recurrence, turn: Turn, now: datetime) -> list[Job]:
        if turn.missed:
            _log.warning(
                "due times of a schedule were missed",
                queue=recurrence.queue,
                schedule=recurrence.name,
                missed=recurrence.missed.value,
                jobs=len(turn.due),
            )
        rules = self._rules[recurrence.queue]
        return [
            recurring_job(recurrence, due, token=self._new_token(), rules=rules, now=now) for due in turn.due
        ]

    async def _insert(self, jobs: Sequence[Job]) -> None:
        for answer in await self._store.insert(jobs):
            if answer.created:
                self._observer.recurring_run(answer.job.queue)

    async def _advance(self, turn: Turn, stored: ScheduleState | None) -> None:
        """Write the state where it says anything new, and plan the next look."""
        state = turn.state
        if state != stored and not await self._states.save(following(state)):
            # Another relay was quicker: what it wrote is read at the next turn.
            return
        plan = self._plans.get(state.key)
        if plan is None or plan.recurrence.times != state.times:
            # It has changed meanwhile.
            return
        # To the end: one that has much to make up for lets the others have their turn.
        del self._plans[state.key]
        self._plans[state.key] = replace(
            plan,
            since=max(plan.since, state.handled_until),
            look_at=plan.recurrence.next_after(state.handled_until),
        )
