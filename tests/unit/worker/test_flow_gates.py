"""Ten workers' flow gates on one store and one clock: what they begin together, exactly."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from jobqueue_core.domain.flow import FlowPolicy
from jobqueue_core.domain.job import JobResult
from jobqueue_core.domain.outcome import of_answer
from jobqueue_core.ports.queue import Received
from jobqueue_core.testing.clock import ManualClock
from jobqueue_core.testing.flow import MemoryFlowStore
from jobqueue_core.testing.store import MemoryJobStore
from jobqueue_worker.flow import FlowGate
from jobqueue_worker.gate import StoreGate
from jobqueue_worker.held import Held

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_core.domain.flow import FlowState
    from jobqueue_core.domain.outcome import Outcome

OK = of_answer(200, JobResult(200, ""))
DOWN = of_answer(503, JobResult(503, ""))
WORKERS = 10
CALL_SECONDS = 0.1


class SlowStore(MemoryFlowStore):
    """Takes a while for each answer, so that words of workers overlap with their calls and each other."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self._writing: list[FlowState] = []

    def gives_back(self, worker: str) -> bool:
        """Whether a state is being written in which the worker holds nothing."""
        return any(all(each.worker != worker for each in state.holders) for state in self._writing)

    async def load(self, queue: str) -> FlowState | None:
        found = await super().load(queue)
        await self._pause(1)
        return found

    async def swap(self, before: FlowState, after: FlowState) -> bool:
        self._writing.append(after)
        await self._pause(1)
        has_won = await super().swap(before, after)
        await self._pause(2)
        self._writing.remove(after)
        return has_won

    async def _pause(self, times: int) -> None:
        if self._seconds:
            await self._clock.sleep(times * self._seconds)


class Gates:
    """Workers that always have a message at hand, and a service that counts."""

    def __init__(
        self,
        policy: FlowPolicy,
        slots: int = 10,
        *,
        messages: int | None = None,
        is_slow: bool = False,
        idle_seconds: float = 0.0,
    ) -> None:
        self.idle_seconds = idle_seconds
        self.clock = ManualClock()
        self.store = SlowStore(self.clock, 0.01 if is_slow else 0.0)
        self.admitted: list[Held] = []
        self._admissions: set[asyncio.Task[None]] = set()
        self.begun: list[tuple[float, int]] = []
        self.running = 0
        self.most_running = 0
        self.outcome: Outcome = OK
        self.gates: list[FlowGate] = []
        self.tasks: list[list[asyncio.Task[None]]] = []
        for number in range(WORKERS):
            gate = FlowGate(
                queue="jobs",
                worker=f"w{number}",
                slots=slots,
                policy=policy,
                store=self.store,
                gate=StoreGate(MemoryJobStore(), self.clock),
                clock=self.clock,
                jitter=random.Random(number).random,
            )
            self.gates.append(gate)
            loops = [
                asyncio.create_task(self._work(gate, number))
                for _ in range(slots if messages is None else messages)
            ]
            self.tasks.append([asyncio.create_task(gate.run()), *loops])

    async def _work(self, gate: FlowGate, number: int) -> None:
        moods = random.Random(f"{number}/{len(asyncio.all_tasks())}")
        while True:
            if self.idle_seconds:
                await self.clock.sleep(moods.random() * self.idle_seconds)
            held = self.message()
            if not await gate.admit(held):
                return
            self.begun.append((self.clock.monotonic(), number))
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                await self.clock.sleep(CALL_SECONDS)
            finally:
                self.running -= 1
            gate.answered(held, self.outcome)

    def message(self) -> Held:
        now = self.clock.monotonic()
        return Held(Received(id="m", body="", receipt="r", receive_count=1), now, now)

    def admit(self, gate: FlowGate, held: Held) -> None:
        """Have a message wait for its turn, which it then keeps."""

        async def wait() -> None:
            if await gate.admit(held):
                self.admitted.append(held)

        self._admissions.add(asyncio.create_task(wait()))

    async def run(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    def within(self, start: float, seconds: float) -> int:
        return sum(1 for at, _ in self.begun if start <= at < start + seconds)

    def kill(self, number: int) -> None:
        for task in self.tasks[number]:
            task.cancel()

    async def close(self) -> None:
        for number in range(WORKERS):
            self.kill(number)
        for task in self._admissions:
            task.cancel()
        tasks = [*self._admissions, *(task for tasks in self.tasks for task in tasks)]
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def opened() -> AsyncIterator[list[Gates]]:
    made: list[Gates] = []
    yield made
    for gates in made:
        await gates.close()


@pytest.mark.parametrize("per_second", [50, 200])
async def test_ten_workers_begin_exactly_as_many_calls_as_the_rate(
    opened: list[Gates], per_second: int
) -> None:
    gates = Gates(FlowPolicy(per_second=per_second))
    opened.append(gates)
    await gates.run(7)
    counts = [gates.within(second, 1.0) for second in range(2, 7)]
    assert counts == [per_second] * 5
    assert gates.within(0.0, 1.0) <= per_second * 1.1 + 1
    assert {number for _, number in gates.begun} == set(range(WORKERS))


async def test_what_a_dead_worker_had_reserved_is_lost_and_nothing_more(opened: list[Gates]) -> None:
    gates = Gates(FlowPolicy(per_second=200))
    opened.append(gates)
    await gates.run(2.5)
    gates.kill(0)
    gates.kill(1)
    await gates.run(2.5)
    assert 190 <= gates.within(2.0, 1.0) <= 200
    assert gates.within(3.0, 1.0) == 200
    assert gates.within(4.0, 1.0) == 200


@pytest.mark.parametrize("is_slow", [False, True])
async def test_both_limits_hold_together(opened: list[Gates], is_slow: bool) -> None:  # noqa: FBT001
    gates = Gates(FlowPolicy(per_second=50, concurrent=20), is_slow=is_slow)
    opened.append(gates)
    await gates.run(7)
    assert gates.most_running <= 20
    assert 237 <= gates.within(2.0, 5.0) <= 250


@pytest.mark.parametrize("concurrent", [3, 20])
async def test_words_that_overlap_with_calls_do_not_loosen_the_limit(
    opened: list[Gates], concurrent: int
) -> None:
    gates = Gates(FlowPolicy(concurrent=concurrent), slots=4, is_slow=True, idle_seconds=0.3)
    opened.append(gates)
    await gates.run(10)
    assert gates.most_running == concurrent


async def test_permits_on_their_way_back_are_not_used(opened: list[Gates]) -> None:
    gates = Gates(FlowPolicy(concurrent=2), slots=2, messages=0, is_slow=True)
    opened.append(gates)
    one, other = gates.gates[:2]
    ended = [gates.message(), gates.message()]
    for each in ended:
        gates.admit(one, each)
    await gates.run(0.2)
    assert len(gates.admitted) == 2
    for each in ended:
        one.answered(each, OK)
    gates.admitted.clear()
    while not gates.store.gives_back("w0"):
        await gates.run(0.01)
    for gate in (one, one, other, other):
        gates.admit(gate, gates.message())
    for _ in range(200):
        await gates.run(0.01)
        assert len(gates.admitted) <= 2
    assert len(gates.admitted) == 2


@pytest.mark.parametrize("concurrent", [3, 20])
async def test_ten_workers_never_make_more_calls_at_a_time_and_use_the_limit_up(
    opened: list[Gates], concurrent: int
) -> None:
    gates = Gates(FlowPolicy(concurrent=concurrent))
    opened.append(gates)
    await gates.run(6)
    assert gates.most_running == concurrent
    possible = concurrent / CALL_SECONDS
    assert gates.within(1.0, 5.0) >= 0.9 * 5 * possible


async def test_a_limit_smaller_than_the_workers_goes_round(opened: list[Gates]) -> None:
    gates = Gates(FlowPolicy(concurrent=1), slots=2)
    opened.append(gates)
    await gates.run(55)
    assert gates.most_running == 1
    assert {number for _, number in gates.begun} == set(range(WORKERS))


async def test_dead_workers_permits_come_back_after_their_lease(opened: list[Gates]) -> None:
    gates = Gates(FlowPolicy(concurrent=20))
    opened.append(gates)
    await gates.run(2)
    for number in range(WORKERS - 1):
        gates.kill(number)
    await gates.run(1)
    assert gates.running <= 2 + 1
    await gates.run(30)
    assert gates.running == 10


async def test_all_stop_together_and_one_of_them_tries(opened: list[Gates]) -> None:
    gates = Gates(FlowPolicy())
    opened.append(gates)
    gates.outcome = DOWN
    await gates.run(2)
    assert gates.running == 0
    at_opening = len(gates.begun)
    await gates.run(27)
    assert len(gates.begun) == at_opening
    gates.outcome = OK
    before = gates.clock.monotonic()
    while len(gates.begun) == at_opening:
        await gates.run(0.01)
    assert 0 < gates.clock.monotonic() - before < 2
    assert gates.running == 1
    await gates.run(2)
    assert gates.running == WORKERS * 10


async def test_a_failed_probe_is_one_call_each_time(opened: list[Gates]) -> None:
    gates = Gates(FlowPolicy())
    opened.append(gates)
    gates.outcome = DOWN
    await gates.run(2)
    at_opening = len(gates.begun)
    await gates.run(95)
    assert len(gates.begun) - at_opening == 3
