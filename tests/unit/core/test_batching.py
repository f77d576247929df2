from __future__ import annotations

import asyncio

import pytest

from jobqueue_core.batching import Batcher, BatcherClosedError
from jobqueue_core.domain.errors import StoreUnavailableError
from jobqueue_core.testing.clock import settle

WAIT_SECONDS = 5
FOREVER_SECONDS = 3600.0


class Flushes:
    """Records batches; holds each until `gate` is set; answers every item with its negative."""

    def __init__(self, *, is_open: bool = True) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.under_way = 0
        self.most_under_way = 0
        self.error: BaseException | None = None
        if is_open:
            self.gate.set()

    async def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
        finally:
            self.under_way -= 1
        return [-item for item in items]


async def answers(futures: list[asyncio.Future[int]]) -> list[int | BaseException]:
    async with asyncio.timeout(WAIT_SECONDS):
        return await asyncio.gather(*futures, return_exceptions=True)


async def test_an_idle_batcher_flushes_a_single_item_at_once() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_size=10)
    assert await answers([batcher.submit(1)]) == [-1]
    assert flushes.batches == [[1]]


async def test_what_is_submitted_in_one_turn_goes_together() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_size=10)
    futures = [batcher.submit(item) for item in range(1, 4)]
    assert batcher.depth == 3
    assert await answers(futures) == [-1, -2, -3]
    assert flushes.batches == [[1, 2, 3]]
    assert batcher.depth == 0


async def test_batches_fill_while_a_flush_is_under_way() -> None:
    flushes = Flushes(is_open=False)
    batcher = Batcher(flushes, max_size=10)
    futures = [batcher.submit(0)]
    await settle()
    for item in range(1, 26):
        futures.append(batcher.submit(item))
        await settle(1)
    assert (flushes.batches, batcher.depth) == ([[0]], 25)
    flushes.gate.set()
    assert await answers(futures) == [-item for item in range(26)]
    assert [len(batch) for batch in flushes.batches] == [1, 10, 10, 5]


@pytest.mark.parametrize("limit", [1, 3])
async def test_no_more_flushes_are_under_way_than_allowed(limit: int) -> None:
    flushes = Flushes(is_open=False)
    batcher = Batcher(flushes, max_size=2, max_in_flight=limit)
    futures = [batcher.submit(item) for item in range(20)]
    await settle()
    assert flushes.under_way == limit
    flushes.gate.set()
    assert await answers(futures) == [-item for item in range(20)]
    assert flushes.most_under_way == limit
    assert sorted(item for batch in flushes.batches for item in batch) == list(range(20))


async def test_a_lingering_batcher_waits_for_company() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_size=3, linger_seconds=FOREVER_SECONDS)
    futures = [batcher.submit(1), batcher.submit(2)]
    await settle()
    assert flushes.batches == []
    futures.append(batcher.submit(3))
    assert await answers(futures) == [-1, -2, -3]
    assert flushes.batches == [[1, 2, 3]]


async def test_lingering_ends() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_size=3, linger_seconds=0.001)
    assert await answers([batcher.submit(1)]) == [-1]
    assert await answers([batcher.submit(2)]) == [-2]
    assert flushes.batches == [[1], [2]]


async def test_what_a_full_batch_leaves_lingers_too() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_size=2, linger_seconds=0.001)
    assert await answers([batcher.submit(item) for item in range(5)]) == [0, -1, -2, -3, -4]
    assert sorted(map(len, flushes.batches)) == [1, 2, 2]


async def test_closing_flushes_what_lingers() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_size=100, linger_seconds=FOREVER_SECONDS)
    future = batcher.submit(1)
    await batcher.close()
    assert future.result() == -1


async def test_closing_waits_for_every_flush() -> None:
    flushes = Flushes(is_open=False)
    batcher = Batcher(flushes, max_size=2)
    futures = [batcher.submit(item) for item in range(5)]
    closing = asyncio.create_task(batcher.close())
    await settle()
    assert not closing.done()
    flushes.gate.set()
    await closing
    assert [future.result() for future in futures] == [0, -1, -2, -3, -4]


async def test_a_closed_batcher_takes_nothing() -> None:
    batcher = Batcher(Flushes(), max_size=2)
    await batcher.close()
    with pytest.raises(BatcherClosedError):
        batcher.submit(1)


async def test_a_failed_flush_fails_every_item_of_it_and_no_other() -> None:
    flushes = Flushes(is_open=False)
    batcher = Batcher(flushes, max_size=2)
    futures = [batcher.submit(item) for item in (1, 2)]
    await settle()
    flushes.error = OSError("away")
    flushes.gate.set()
    assert await answers(futures) == [flushes.error] * 2
    flushes.error = None
    assert await answers([batcher.submit(3)]) == [-3]


async def test_a_flush_that_answers_too_few_fails_and_leaves_nobody_waiting() -> None:
    async def forgetful(items: list[int]) -> list[int]:
        return items[1:]

    batcher = Batcher(forgetful, max_size=10)
    first, second = await answers([batcher.submit(1), batcher.submit(2)])
    assert isinstance(first, ValueError)
    assert isinstance(second, ValueError)


async def test_who_stops_waiting_takes_nobody_along() -> None:
    flushes = Flushes(is_open=False)
    batcher = Batcher(flushes, max_size=2)
    futures = [batcher.submit(item) for item in (1, 2)]
    await settle()
    futures[0].cancel()
    flushes.gate.set()
    first, second = await answers(futures)
    assert isinstance(first, asyncio.CancelledError)
    assert second == -2


async def test_a_cancelled_flush_cancels_its_items() -> None:
    flushes = Flushes(is_open=False)
    batcher = Batcher(flushes, max_size=2)
    future = batcher.submit(1)
    await settle()
    flushes.error = asyncio.CancelledError()
    flushes.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await future
    flushes.error = None
    assert await answers([batcher.submit(2)]) == [-2]


async def test_with_room_for_more_flushes_only_full_batches_join_the_one_under_way() -> None:
    flushes = Flushes(is_open=False)
    batcher = Batcher(flushes, max_size=3, max_in_flight=4)
    futures = [batcher.submit(0)]
    await settle()
    futures += [batcher.submit(item) for item in (1, 2)]
    await settle()
    assert flushes.batches == [[0]], "two of three wait for company while something is under way"
    futures += [batcher.submit(item) for item in (3, 4)]
    await settle()
    assert flushes.batches == [[0], [1, 2, 3]]
    flushes.gate.set()
    assert await answers(futures) == [0, -1, -2, -3, -4]
    assert flushes.batches[2:] == [[4]]


async def test_what_nobody_waits_for_is_flushed_all_the_same() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_size=2)
    for item in range(3):
        batcher.post(item)
    await batcher.close()
    assert flushes.batches == [[0, 1], [2]]


@pytest.mark.parametrize(
    ("error", "is_told"), [(StoreUnavailableError("gone"), False), (TypeError("bug"), True)]
)
async def test_a_failure_that_nobody_waits_for_stops_nothing_and_a_fault_is_told(
    error: Exception, *, is_told: bool
) -> None:
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    flushes = Flushes()
    flushes.error = error
    batcher = Batcher(flushes, max_size=1)
    batcher.post(1)
    await settle()
    flushes.error = None
    assert await answers([batcher.submit(2)]) == [-2]
    assert told == ([error] if is_told else [])
