from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.domain.times import later
from jobqueue_core.ports.store import Backlog
from jobqueue_core.testing.clock import START, ManualClock, settle
from jobqueue_core.testing.flow import MemoryFlowStore
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_operator.observing.store_reader import DEEP, WINDOW_SECONDS, StoreReader, StoreReading
from jobqueue_operator.scaling import Unknown
from jobqueue_testsupport.factories import IDLE_BEAT, JobFactory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from datetime import datetime

    from jobqueue_core.domain.heartbeat import Heartbeat


class CountingStore(MemoryJobStore):
    """Counts the calls; a gate holds aggregates up; queues may be said to be deep."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.asked: list[set[str]] = []
        self.deep: dict[str, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()

    async def backlogs(self, queues: Collection[str]) -> dict[str, Backlog]:
        self.calls["backlogs"] += 1
        self.asked.append(set(queues))
        await self.gate.wait()
        found = {queue: await super(CountingStore, self).unfinished(queue, 100) for queue in queues}
        return {queue: Backlog(self.deep.get(queue, count)) for queue, count in found.items()}

    async def workers_of(self, queues: Collection[str], seen_after: datetime) -> list[Heartbeat]:
        self.calls["workers_of"] += 1
        return await super().workers_of(queues, seen_after)

    async def unfinished(self, queue: str, limit: int) -> int:
        self.calls["unfinished"] += 1
        return min(limit, self.deep.get(queue, 0))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def store() -> CountingStore:
    return CountingStore()


@asynccontextmanager
async def opened(store: MemoryJobStore, clock: ManualClock) -> AsyncIterator[StoreReader]:
    reader = StoreReader(store, MemoryFlowStore(), clock)
    yield reader
    await reader.close()


async def read(reader: StoreReader, clock: ManualClock, *queues: str) -> list[StoreReading]:
    reads = asyncio.gather(*(reader.read(queue, later(START, -1)) for queue in queues))
    await clock.advance(WINDOW_SECONDS)
    return await reads


async def test_reads_of_one_moment_are_two_queries(store: CountingStore, clock: ManualClock) -> None:
    for number, name in enumerate(["a", "b"], 1):
        await store.insert(JobFactory(name, seed=number).many(number))
        await store.beat(replace(IDLE_BEAT, worker=f"w-{name}", queue=name), 60)
    async with opened(store, clock) as reader:
        names = ["a", "b", *(f"q{number}" for number in range(500))]
        readings = dict(zip(names, await read(reader, clock, *names), strict=True))
    assert store.calls == {"backlogs": 1, "workers_of": 1}
    assert [readings[name].backlog for name in ("a", "b", "q0")] == [Backlog(1), Backlog(2), Backlog(0)]
    found = {name: reading.heartbeats for name, reading in readings.items() if reading.heartbeats}
    assert found == {name: (replace(IDLE_BEAT, worker=f"w-{name}", queue=name),) for name in ("a", "b")}
    assert {reading.error for reading in readings.values()} == {None}


async def test_a_read_waits_for_company_no_longer_than_the_window(
    store: CountingStore, clock: ManualClock
) -> None:
    async with opened(store, clock) as reader:
        first = asyncio.create_task(reader.read("a", START))
        await clock.advance(WINDOW_SECONDS / 2)
        second = asyncio.create_task(reader.read("b", START))
        await settle()
        assert not first.done()
        await clock.advance(WINDOW_SECONDS / 2)
        assert first.done()
        assert second.done()
    assert store.asked == [{"a", "b"}]


async def test_each_queue_has_its_own_idea_of_who_is_stale(store: CountingStore, clock: ManualClock) -> None:
    for name in ("a", "b"):
        await store.beat(replace(IDLE_BEAT, worker=name, queue=name, seen_at=later(START, 5)), 60)
    async with opened(store, clock) as reader:
        reads = asyncio.gather(reader.read("a", START), reader.read("b", later(START, 5)))
        await clock.advance(WINDOW_SECONDS)
        alive, stale = await reads
    assert alive.heartbeats == (store.heartbeats["a"],)
    assert stale.heartbeats == ()


async def test_a_slow_store_is_asked_for_more_at_once_and_not_more_often(
    store: CountingStore, clock: ManualClock
) -> None:
    store.gate.clear()
    async with opened(store, clock) as reader:
        reads = []
        for number in range(40):
            reads.append(asyncio.create_task(reader.read(f"q{number}", START)))
            await clock.advance(2 * WINDOW_SECONDS)
        assert len(store.asked) == 2
        store.gate.set()
        await clock.advance(2 * WINDOW_SECONDS)
        assert [(await each).backlog for each in reads] == [Backlog(0)] * 40
    assert len(store.asked) <= 4


async def test_a_deep_queue_is_counted_by_itself_up_to_a_limit(
    store: CountingStore, clock: ManualClock
) -> None:
    async with opened(store, clock) as reader:
        store.deep = {"deep": DEEP, "shallow": DEEP - 1}
        await read(reader, clock, "deep", "shallow")
        assert store.asked == [{"deep", "shallow"}]

        store.deep["deep"] = 5_000_000
        deep, shallow = await read(reader, clock, "deep", "shallow")
        assert store.asked[1:] == [{"shallow"}]
        assert deep.backlog == Backlog(100_000)
        assert shallow.backlog == Backlog(DEEP - 1)

        store.deep["deep"] = 3
        await read(reader, clock, "deep")
        (again,) = await read(reader, clock, "deep")
        assert again.backlog == Backlog(3)
    assert store.asked[2:] == [{"deep"}]
    assert store.calls["unfinished"] == 2


async def test_a_store_that_is_away_is_unknown_for_each_and_no_exception(
    store: CountingStore, clock: ManualClock
) -> None:
    async with opened(store, clock) as reader:
        store.deep = {"deep": DEEP}
        await read(reader, clock, "deep")
        store.available = False
        readings = await read(reader, clock, "a", "b")
        for reading in readings:
            assert reading.backlog == reading.heartbeats == Unknown("the store is away")
            assert isinstance(reading.error, StoreUnavailableError)
        store.available = True
        (well,) = await read(reader, clock, "a")
        assert well == StoreReading(Backlog(0), ())


async def test_a_deep_queue_of_a_store_that_is_away_is_unknown_too(
    store: CountingStore, clock: ManualClock
) -> None:
    async with opened(store, clock) as reader:
        store.deep = {"deep": DEEP}
        await read(reader, clock, "deep")
        store.available = False
        (reading,) = await read(reader, clock, "deep")
        assert reading.backlog == Unknown("the store is away")
