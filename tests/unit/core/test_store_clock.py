"""The store's clock, carried on by the machine's monotonic one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.store_clock import StoreClock
from jobqueue_core.testing.clock import START, ManualClock, settle
from jobqueue_core.testing.store import MemoryJobStore

if TYPE_CHECKING:
    from datetime import datetime


class TickingStore(MemoryJobStore):
    """A store whose clock runs beside the machine's, and whose answers take their time."""

    def __init__(self, clock: ManualClock, ahead_seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self.ahead = timedelta(seconds=ahead_seconds)
        self.way_seconds = 0.0
        self.ways: list[float] = []
        self.readings = 0

    async def time(self) -> datetime:
        self._check()
        self.readings += 1
        there = self.ways.pop(0) if self.ways else self.way_seconds
        # The way there takes all of it: the worst that the middle can be off by.
        self._clock.move(there)
        told = self._clock.now() + self.ahead
        self._clock.move(self.way_seconds)
        return told


async def test_before_the_first_reading_it_is_the_machines_own() -> None:
    machine = ManualClock()
    clock = StoreClock(machine, TickingStore(machine, 30))
    assert clock.now() == START
    machine.move(2)
    assert clock.now() == START + timedelta(seconds=2)


async def test_machines_half_a_minute_apart_agree() -> None:
    slow, fast = ManualClock(), ManualClock(START + timedelta(seconds=30))
    slows = StoreClock(slow, TickingStore(slow, 10))
    fasts = StoreClock(fast, TickingStore(fast, -20))
    await slows.synchronize()
    await fasts.synchronize()
    for machine in (slow, fast):
        machine.move(7)
    assert slows.now() == fasts.now() == START + timedelta(seconds=17)


async def test_an_answer_is_of_the_middle_of_its_way() -> None:
    machine = ManualClock()
    store = TickingStore(machine, 5)
    store.way_seconds = 0.2
    clock = StoreClock(machine, store)
    await clock.synchronize()
    assert clock.now() == machine.now() + timedelta(seconds=5)


@pytest.mark.parametrize("ways", [[3.0, 0.1, 2.0, 0.5, 1.0], [0.1, 3.0, 2.0, 0.5, 1.0], [1.0] * 5])
async def test_the_answer_with_the_shortest_way_counts(ways: list[float]) -> None:
    machine = ManualClock()
    store = TickingStore(machine, 5)
    store.ways = list(ways)
    clock = StoreClock(machine, store)
    await clock.synchronize()
    assert abs(clock.now() - machine.now() - timedelta(seconds=5)) <= timedelta(seconds=min(ways))


async def test_a_store_whose_clock_is_another_is_followed() -> None:
    machine = ManualClock()
    store = TickingStore(machine, 5)
    clock = StoreClock(machine, store)
    await clock.synchronize()
    store.ahead = timedelta(seconds=-40)
    await clock.synchronize()
    assert clock.now() == machine.now() - timedelta(seconds=40)


async def test_it_follows_through_an_outage_and_keeps_the_last_reading() -> None:
    machine = ManualClock()
    store = TickingStore(machine, 30)
    clock = StoreClock(machine, store)
    store.available = False
    with pytest.raises(StoreUnavailableError):
        await clock.synchronize()
    following = asyncio.create_task(clock.follow())
    await machine.advance(5)
    assert clock.now() == machine.now()
    store.available = True
    await machine.advance(2)
    assert clock.now() == machine.now() + timedelta(seconds=30)
    store.available = False
    readings = store.readings
    await machine.advance(600)
    assert store.readings == readings
    assert clock.now() == machine.now() + timedelta(seconds=30)
    following.cancel()
    await settle()
