"""What every store of redrives does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.redrives import MongoRedriveStore
from jobqueue_core.domain.redrives import Redrive, RedriveState, Selection, advanced, ended, taken
from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import START
from jobqueue_core.testing.redrives import MemoryRedriveStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_core.ports.redrives import RedriveStore

LATER = later(START, 10)


@pytest.fixture(params=["memory", "pymongo", "motor"])
async def redrives(request: pytest.FixtureRequest) -> AsyncIterator[RedriveStore]:
    """An empty, prepared store of redrives."""
    if request.param == "memory":
        yield MemoryRedriveStore()
        return
    uri, database = map(request.getfixturevalue, ("embedded_mongo_uri", "mongo_database"))
    driver = open_driver(request.param, uri, database)
    opened = MongoRedriveStore(driver)
    await opened.prepare()
    yield opened
    await driver.close()


def task(number: int, queue: str = "jobs", **changes: object) -> Redrive:
    made = Redrive(id=f"task-{number}", queue=queue, created_at=START, updated_at=START)
    return replace(made, **changes)  # type: ignore[arg-type] # fields by name


@pytest.mark.parametrize("selection", [Selection(), Selection("aaaaaaaaaaaa"), Selection(None, ("a", "b"))])
async def test_a_task_is_kept_as_it_is(redrives: RedriveStore, selection: Selection) -> None:
    made = task(1, selection=selection, per_second=2.5)
    await redrives.create(made)
    assert await redrives.get(made.id) == made
    assert await redrives.get("none") is None


async def test_tasks_are_listed(redrives: RedriveStore) -> None:
    tasks = [task(1), task(2, "others"), task(3), task(4)]
    for each in tasks:
        await redrives.create(each)
    await redrives.write(tasks[2], ended(tasks[2], RedriveState.DONE, LATER))
    assert [each.id for each in await redrives.of_queue("jobs", 2)] == ["task-4", "task-3"]
    assert [each.id for each in await redrives.running(10)] == ["task-1", "task-2", "task-4"]
    assert [each.id for each in await redrives.running(1)] == ["task-1"]


async def test_one_of_two_takes_a_task(redrives: RedriveStore) -> None:
    free = task(1)
    await redrives.create(free)
    first, second = (taken(free, token=token, now=LATER) for token in ("a", "b"))
    assert await redrives.write(free, first)
    assert not await redrives.write(free, second)
    assert await redrives.get("task-1") == first


async def test_who_was_overtaken_writes_nothing(redrives: RedriveStore) -> None:
    free = task(1)
    await redrives.create(free)
    first = taken(free, token="a", now=LATER)
    await redrives.write(free, first)
    second = taken(first, token="b", now=later(LATER, 60))
    assert await redrives.write(first, second)
    assert not await redrives.write(first, advanced(first, cursor="c", moved=1, skipped=0, now=LATER))
    assert await redrives.get("task-1") == second


async def test_progress_and_end_are_kept(redrives: RedriveStore) -> None:
    free = task(1, per_second=10.0)
    await redrives.create(free)
    held = taken(free, token="a", now=LATER)
    half = advanced(held, cursor="job", moved=5, skipped=2, now=LATER)
    over = ended(half, RedriveState.DONE, later(LATER, 1))
    for before, after in ((free, held), (held, half), (half, over)):
        assert await redrives.write(before, after)
        assert await redrives.get("task-1") == after


async def test_a_cancelled_task_stays_cancelled_and_keeps_its_counts(redrives: RedriveStore) -> None:
    free = task(1)
    await redrives.create(free)
    held = taken(free, token="a", now=LATER)
    await redrives.write(free, held)
    half = advanced(held, cursor="job", moved=5, skipped=0, now=LATER)
    await redrives.write(held, half)
    # Decided on what was read before the last progress: it changes nothing of that.
    assert await redrives.write(held, ended(held, RedriveState.CANCELLED, later(LATER, 1)))
    assert not await redrives.write(half, advanced(half, cursor="next", moved=5, skipped=0, now=LATER))
    stored = await redrives.get("task-1")
    assert stored is not None
    assert (stored.state, stored.moved, stored.cursor) == (RedriveState.CANCELLED, 5, "job")
