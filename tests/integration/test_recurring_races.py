"""Recurring jobs on a real database: every due time is one job, whatever the relays do to each other."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, cast

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.schedules import MongoScheduleStore
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.domain.ids import made_at
from jobqueue_core.domain.message import decode
from jobqueue_core.domain.recurrence import Missed
from jobqueue_core.domain.times import later
from jobqueue_core.ports.store import JobFilter
from jobqueue_core.recurring import RecurringJobs
from jobqueue_core.relay import Relay, RelaySettings
from jobqueue_core.testing.clock import START, ManualClock
from jobqueue_testsupport.factories import RULES, Tokens
from jobqueue_testsupport.recurring_world import Runs, schedule
from jobqueue_testsupport.relay_world import RecordingQueue, Resent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from jobqueue_core.adapters.mongo.drivers import Driver
    from jobqueue_core.ports.schedules import ScheduleStore
    from jobqueue_core.ports.store import JobStore

RELAYS = 3
DUE_TIMES = 200
DEATH_RATE = 0.2
CALLS = ("load", "insert", "save")
SCHEDULE = schedule("* * * * *", missed=Missed.ALL)


class DiedError(Exception):
    """The process of a relay is no more."""


class Mortal:
    """A store before and after each of whose calls its relay may die: what was written stays written."""

    def __init__(self, store: object, choice: random.Random, deaths: list[str]) -> None:
        self._store = store
        self._choice = choice
        self._deaths = deaths

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        call: Callable[..., Awaitable[object]] = getattr(self._store, name)

        async def called(*arguments: object) -> object:
            self._may_die(f"before {name}")
            answer = await call(*arguments)
            self._may_die(f"after {name}")
            return answer

        return called

    def _may_die(self, where: str) -> None:
        if self._choice.random() < DEATH_RATE:
            self._deaths.append(where)
            raise DiedError(where)


class Process:
    """One relay with connections of its own, and what it counted."""

    def __init__(self, world: Relays, driver: Driver) -> None:
        self._world = world
        self._jobs = MongoJobStore(driver, guard_index=world.guard_index)
        self._states = MongoScheduleStore(driver)
        self.store = self._jobs
        self.restart()
        self.relay = Relay(
            store=self._jobs,
            queues={"jobs": world.queue},
            rules={"jobs": RULES},
            clock=world.clock,
            settings=RelaySettings(),
            observer=Resent(),
            new_token=Tokens(f"relay{id(driver)}-"),
        )

    def _new_chore(self, jobs: JobStore, states: ScheduleStore) -> RecurringJobs:
        return RecurringJobs(
            schedules={"jobs": (SCHEDULE,)},
            store=jobs,
            states=states,
            rules={"jobs": RULES},
            clock=self._world.clock,
            observer=self._world.runs,
            new_token=Tokens(f"chore{id(self)}-"),
        )

    def restart(self) -> None:
        """Be a relay that remembers nothing."""
        self.chore = self._new_chore(self._jobs, self._states)

    async def look(self) -> None:
        """Do what a relay does until nothing more is due."""
        while await self.chore.turn():
            await self.relay.pay_dues()

    async def look_mortally(self, choice: random.Random, deaths: list[str]) -> None:
        """The same by a relay that may die; one that does is replaced by one that remembers nothing."""
        jobs, states = Mortal(self._jobs, choice, deaths), Mortal(self._states, choice, deaths)
        self.chore = self._new_chore(cast("JobStore", jobs), cast("ScheduleStore", states))
        with contextlib.suppress(DiedError):
            await self.look()


class Relays:
    """Relays of as many processes, all with one database, queue and clock."""

    def __init__(self, drivers: Sequence[Driver], *, guard_index: bool) -> None:
        self.guard_index = guard_index
        self.clock = ManualClock()
        self.queue = RecordingQueue("jobs", self.clock)
        self.runs = Runs()
        self.processes = [Process(self, driver) for driver in drivers]

    async def look(self) -> None:
        """Let all of them look at once."""
        await asyncio.gather(*(process.look() for process in self.processes))

    async def account(self) -> None:
        """Hold the jobs and messages against the due times."""
        expected = [later(START, 60 * minute) for minute in range(1, DUE_TIMES + 1)]
        jobs = await self.processes[0].store.page(JobFilter(queue="jobs"), limit=DUE_TIMES * 2)
        assert sorted(job.run_at for job in jobs) == expected
        assert sorted(made_at(job.id) for job in jobs) == expected
        sent = [decode(message.body) for message in self.queue.sent]
        assert len(sent) == len(set(sent))
        assert set(sent) == {job.id for job in jobs}


@pytest.fixture
async def relays(
    embedded_mongo_uri: str,
    mongo_database: str,
    mongo_is_embedded: bool,  # noqa: FBT001
) -> AsyncIterator[Relays]:
    drivers = [open_driver("pymongo", embedded_mongo_uri, mongo_database) for _ in range(RELAYS)]
    world = Relays(drivers, guard_index=mongo_is_embedded)
    await world.processes[0].store.prepare()
    yield world
    for driver in drivers:
        await driver.close()


def steps(choice: random.Random) -> Iterator[int]:
    """Yield minutes that come to all due times."""
    left = DUE_TIMES
    while left:
        minutes = min(choice.randint(1, 9), left)
        left -= minutes
        yield minutes


async def test_each_of_many_due_times_is_one_job_of_three_relays(relays: Relays) -> None:
    await relays.look()
    for minutes in steps(random.Random(14)):
        relays.clock.move(60 * minutes)
        await relays.look()
    await relays.account()
    assert relays.runs == {"jobs": DUE_TIMES}


async def test_relays_that_die_anywhere_leave_none_out_and_make_none_twice(relays: Relays) -> None:
    choice = random.Random(14)
    deaths: list[str] = []
    await relays.look()
    for minutes in steps(choice):
        relays.clock.move(60 * minutes)
        await asyncio.gather(*(process.look_mortally(choice, deaths) for process in relays.processes))
    for process in relays.processes:
        process.restart()
    await relays.look()
    while await relays.processes[0].relay.pay_dues():
        pass
    assert {f"{when} {call}" for when in ("before", "after") for call in CALLS} == set(deaths)
    await relays.account()
