"""How slots are given out."""

from __future__ import annotations

import asyncio

from jobqueue_core.testing.clock import settle
from jobqueue_worker.slots import Slots


async def test_no_more_than_there_are_and_in_order() -> None:
    slots = Slots(2)
    assert [await slots.take(), await slots.take()] == [True, True]
    order: list[int] = []

    async def wait(number: int) -> None:
        assert await slots.take()
        order.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(3)]
    await settle()
    assert order == []
    slots.give_back()
    await settle()
    assert order == [0]
    slots.give_back()
    slots.give_back()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]


async def test_closed_it_tells_those_who_wait_and_those_who_come() -> None:
    slots = Slots(1)
    assert await slots.take()
    waiting = asyncio.create_task(slots.take())
    await settle()
    slots.close()
    assert await waiting is False
    assert await slots.take() is False


async def test_a_slot_is_not_lost_with_one_who_is_cancelled() -> None:
    slots = Slots(1)
    assert await slots.take()
    gone, next_one = asyncio.create_task(slots.take()), asyncio.create_task(slots.take())
    await settle()
    slots.give_back()  # to the first, who is cancelled before it knows
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert await next_one is True


async def test_one_who_is_cancelled_while_waiting_is_passed_over() -> None:
    slots = Slots(1)
    assert await slots.take()
    gone, next_one = asyncio.create_task(slots.take()), asyncio.create_task(slots.take())
    await settle()
    gone.cancel()
    await settle()
    slots.give_back()
    assert await next_one is True
