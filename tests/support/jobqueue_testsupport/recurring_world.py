"""Relays that make recurring jobs, in a world of fakes."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from jobqueue_core.domain.recurrence import Recurrence
from jobqueue_core.recurring import RecurringJobs
from jobqueue_core.relay import Relay, RelaySettings
from jobqueue_core.testing.clock import ManualClock
from jobqueue_core.testing.schedules import MemoryScheduleStore
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_testsupport.factories import FIFO_RULES, RULES, Tokens
from jobqueue_testsupport.relay_world import RecordingQueue, Resent

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jobqueue_core.domain.job import Job
    from jobqueue_core.domain.recurrence import ScheduleState
    from jobqueue_core.domain.transitions import JobRules
    from jobqueue_core.ports.store import Inserted


def schedule(
    cron: str = "0 * * * *",
    *,
    queue: str = "jobs",
    name: str = "report",
    **fields: Any,  # noqa: ANN401 - whatever a schedule has
) -> Recurrence:
    """Return a schedule, of every full hour unless told otherwise."""
    return replace(Recurrence(queue=queue, name=name, cron=cron), **fields)


class Runs(Counter[str]):
    """Counts what the relays report as theirs."""

    def recurring_run(self, queue: str) -> None:
        self[queue] += 1


class SlowJobStore(MemoryJobStore):
    """Lets others have their turn before and after each write; `dies` kills whoever has just written."""

    def __init__(self) -> None:
        super().__init__()
        self.dies = False
        self.inserts = 0
        self.inserted = asyncio.Event()

    async def insert(self, jobs: Sequence[Job]) -> list[Inserted]:
        self.inserts += bool(jobs)
        await asyncio.sleep(0)
        answers = await super().insert(jobs)
        self.inserted.set()
        if self.dies:
            raise asyncio.CancelledError
        await asyncio.sleep(0)
        return answers


class SlowScheduleStore(MemoryScheduleStore):
    """Lets others have their turn before and after each call."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded = asyncio.Event()

    async def load(self, keys: Collection[str]) -> dict[str, ScheduleState]:
        await asyncio.sleep(0)
        found = await super().load(keys)
        self.loaded.set()
        await asyncio.sleep(0)
        return found

    async def save(self, state: ScheduleState) -> bool:
        await asyncio.sleep(0)
        saved = await super().save(state)
        await asyncio.sleep(0)
        return saved


class RecurringWorld:
    """Stores, queues, schedules by queue, and as many relays as asked for."""

    def __init__(self, *schedules: Recurrence) -> None:
        self.clock = ManualClock()
        self.store = SlowJobStore()
        self.states = SlowScheduleStore()
        self.queue = RecordingQueue("jobs", self.clock)
        self.orders = RecordingQueue("orders.fifo", self.clock)
        self.rules: dict[str, JobRules] = {"jobs": RULES, "orders": FIFO_RULES}
        self.runs = Runs()
        self.resent = Resent()
        self.schedules: dict[str, tuple[Recurrence, ...]] = {}
        self.set(*schedules)

    def set(self, *schedules: Recurrence) -> None:
        """Let these be all schedules."""
        self.schedules.clear()
        for each in schedules:
            self.schedules[each.queue] = (*self.schedules.get(each.queue, ()), each)

    def chore(self, schedules: dict[str, tuple[Recurrence, ...]] | None = None) -> RecurringJobs:
        """Return the chore of one more relay, which has other schedules where they are given."""
        return RecurringJobs(
            schedules=self.schedules if schedules is None else schedules,
            store=self.store,
            states=self.states,
            rules=self.rules,
            clock=self.clock,
            observer=self.runs,
            new_token=Tokens("recurring"),
        )

    def relay(self, chore: RecurringJobs) -> Relay:
        """Return a relay that has this chore."""
        return Relay(
            store=self.store,
            queues={"jobs": self.queue, "orders": self.orders},
            rules=self.rules,
            clock=self.clock,
            settings=RelaySettings(),
            observer=self.resent,
            new_token=Tokens("relay"),
            chores=[chore],
        )

    @property
    def made(self) -> list[str]:
        """When the jobs were due, in order: day and time."""
        return [f"{job.run_at:%d %H:%M}" for _, job in sorted(self.store.jobs.items())]


async def turns(*chores: RecurringJobs) -> None:
    """Give each its turns at the same time, until none has more to do."""
    while any(await asyncio.gather(*(chore.turn() for chore in chores))):
        pass
