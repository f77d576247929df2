"""What every store of flow states does: the one in memory, and MongoDB by either driver."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.flow import MongoFlowStore
from jobqueue_core.domain.circuit import Circuit, Counts, Probe
from jobqueue_core.domain.flow import FlowState
from jobqueue_core.domain.shares import Holder
from jobqueue_core.testing.flow import MemoryFlowStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_core.ports.flow import FlowStore

NOW = 1_795_000_000.123
NOTHING = FlowState("jobs")
FIRST = FlowState("jobs", version=1, next_at=NOW + 1 / 3)
FULL = FlowState(
    "jobs",
    version=2,
    next_at=NOW + 0.0055,
    holders=(Holder("host.example-1", 3, 5, NOW + 30), Holder("w$2", 0, 1, NOW + 20)),
    circuit=Circuit(NOW + 3, Probe("host.example-1", NOW + 45), (Counts(NOW, 7, 1), Counts(NOW + 5, 0, 2))),
    paused_until=NOW + 9,
)
RACERS = 8


@pytest.fixture(params=["memory", "pymongo", "motor"])
async def flows(request: pytest.FixtureRequest) -> AsyncIterator[FlowStore]:
    """An empty store of flow states."""
    if request.param == "memory":
        yield MemoryFlowStore()
        return
    driver = open_driver(
        request.param,
        request.getfixturevalue("embedded_mongo_uri"),
        request.getfixturevalue("mongo_database"),
    )
    yield MongoFlowStore(driver)
    await driver.close()


async def test_a_queue_without_a_state_has_none(flows: FlowStore) -> None:
    assert await flows.load("jobs") is None
    assert await flows.load_many(["jobs", "others"]) == {}
    assert await flows.load_many([]) == {}


async def test_every_field_comes_back_as_it_was_written(flows: FlowStore) -> None:
    assert await flows.swap(NOTHING, FIRST)
    assert await flows.load("jobs") == FIRST
    assert await flows.swap(FIRST, FULL)
    assert await flows.load("jobs") == FULL


async def test_many_are_read_at_once(flows: FlowStore) -> None:
    other = replace(FIRST, queue="others")
    assert await flows.swap(NOTHING, FIRST)
    assert await flows.swap(replace(NOTHING, queue="others"), other)
    assert await flows.load_many(["jobs", "others", "none"]) == {"jobs": FIRST, "others": other}


@pytest.mark.parametrize("version", [0, 2, 7])
async def test_any_other_version_is_refused_and_changes_nothing(flows: FlowStore, version: int) -> None:
    assert await flows.swap(NOTHING, FIRST)
    before = replace(FULL, version=version)
    assert not await flows.swap(before, replace(FULL, version=version + 1))
    assert await flows.load("jobs") == FIRST


async def test_a_state_that_is_not_there_is_not_changed(flows: FlowStore) -> None:
    assert not await flows.swap(FIRST, FULL)
    assert await flows.load("jobs") is None


@pytest.mark.parametrize("is_first", [True, False])
async def test_of_workers_that_swap_at_once_one_wins(flows: FlowStore, is_first: bool) -> None:  # noqa: FBT001
    before = NOTHING if is_first else FIRST
    if not is_first:
        assert await flows.swap(NOTHING, FIRST)
    afters = [
        replace(before, version=before.version + 1, paused_until=NOW + racer) for racer in range(RACERS)
    ]
    won = await asyncio.gather(*(flows.swap(before, after) for after in afters))
    assert sum(won) == 1
    assert await flows.load("jobs") == afters[won.index(True)]
