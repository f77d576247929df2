"""What every store of schedules does: the one in memory, and MongoDB by either driver."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.schedules import MongoScheduleStore
from jobqueue_core.domain.recurrence import ScheduleState, following
from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import START
from jobqueue_core.testing.schedules import MemoryScheduleStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_core.ports.schedules import ScheduleStore

FIRST = ScheduleState(key="jobs/report", times="0 3 * * * UTC", handled_until=START, version=1)
RACERS = 8


@pytest.fixture(params=["memory", "pymongo", "motor"])
async def states(request: pytest.FixtureRequest) -> AsyncIterator[ScheduleStore]:
    """An empty store of schedules."""
    if request.param == "memory":
        yield MemoryScheduleStore()
        return
    driver = open_driver(
        request.param,
        request.getfixturevalue("embedded_mongo_uri"),
        request.getfixturevalue("mongo_database"),
    )
    yield MongoScheduleStore(driver)
    await driver.close()


async def test_what_was_saved_is_loaded(states: ScheduleStore) -> None:
    full = replace(FIRST, key="jobs/full", last_run=later(START, -60))
    assert await states.save(FIRST)
    assert await states.save(full)
    assert await states.load([FIRST.key, full.key, "jobs/none"]) == {FIRST.key: FIRST, full.key: full}
    assert await states.load([]) == {}


async def test_the_next_version_replaces_the_one_before(states: ScheduleStore) -> None:
    second = following(replace(FIRST, times="0 4 * * * UTC", handled_until=later(START, 60), last_run=START))
    assert await states.save(FIRST)
    assert await states.save(second)
    assert await states.load([FIRST.key]) == {FIRST.key: second}


@pytest.mark.parametrize("version", [1, 2, 4])
async def test_any_other_version_is_refused_and_changes_nothing(states: ScheduleStore, version: int) -> None:
    second = following(FIRST)
    assert await states.save(FIRST)
    assert await states.save(second)
    other = replace(FIRST, handled_until=later(START, 99), version=version)
    assert not await states.save(other)
    assert await states.load([FIRST.key]) == {FIRST.key: second}


async def test_a_later_version_of_what_is_not_there_is_refused(states: ScheduleStore) -> None:
    assert not await states.save(following(FIRST))
    assert await states.load([FIRST.key]) == {}


@pytest.mark.parametrize("version", [1, 2])
async def test_of_many_who_write_at_once_one_wins(states: ScheduleStore, version: int) -> None:
    if version > 1:
        assert await states.save(FIRST)
    rivals = [replace(FIRST, handled_until=later(START, rival), version=version) for rival in range(RACERS)]
    written = await asyncio.gather(*(states.save(rival) for rival in rivals))
    assert sum(written) == 1
    assert await states.load([FIRST.key]) == {FIRST.key: rivals[written.index(True)]}
