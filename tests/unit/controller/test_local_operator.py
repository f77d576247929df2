from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import structlog
from structlog.testing import LogCapture

from jobqueue_core.testing.clock import ManualClock, settle
from jobqueue_operator.local import LocalOperator
from jobqueue_operator.scaling import (
    BacklogPerReplica,
    Decision,
    Observation,
    QueueCounts,
    Reason,
    ScaleDown,
    ScalingSpec,
)
from jobqueue_operator.testing import FakeTarget, ScriptedObserver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobqueue_operator.ports import Replicas

SPEC = ScalingSpec(
    target=BacklogPerReplica(100),
    max_replicas=10,
    scale_down=ScaleDown(stabilization_seconds=0),
    zero_after_seconds=0,
)
IDLE = Observation(current=0, queue=QueueCounts(0), store_waiting=0)
SOME = replace(IDLE, queue=QueueCounts(300))


def operate(
    *script: Observation | Exception, target: FakeTarget | None = None
) -> tuple[LocalOperator, FakeTarget, ScriptedObserver, ManualClock]:
    clock, observer = ManualClock(), ScriptedObserver(script)
    target = target or FakeTarget()
    return LocalOperator(SPEC, observer, target, clock=clock), target, observer, clock


@contextlib.asynccontextmanager
async def running(operator: LocalOperator) -> AsyncIterator[None]:
    task = asyncio.create_task(operator.run())
    try:
        yield
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_target_gets_what_the_policy_decides() -> None:
    operator, target, _, _ = operate(SOME)

    decision = await operator.tick()

    assert decision is not None
    assert decision.reason is Reason.BACKLOG_ABOVE_TARGET
    assert operator.last_decision == decision
    assert target.replicas == 3


async def test_the_replicas_are_those_of_the_target_not_of_the_reading() -> None:
    operator, target, _, _ = operate(replace(IDLE, current=7), target=FakeTarget(2))

    decision = await operator.tick()

    assert decision is not None
    assert decision.from_ == 2
    assert target.replicas == 0


async def test_the_target_is_told_who_is_busy() -> None:
    operator, target, _, _ = operate(
        replace(IDLE, busy_worker_ids=frozenset({"a"}), busy_slots=1), target=FakeTarget(3)
    )

    await operator.tick()

    assert target.scaled == [(1, frozenset({"a"}))]


async def test_a_tick_without_change_still_lets_the_target_repair() -> None:
    operator, target, _, _ = operate(SOME)

    await operator.tick()
    await operator.tick()

    assert [to for to, _ in target.scaled] == [3, 3]


async def test_a_failed_reading_is_unknown_and_holds() -> None:
    operator, target, _, _ = operate(ConnectionError("no route"), target=FakeTarget(4))

    decision = await operator.tick()

    assert decision is not None
    assert decision.reason is Reason.READING_UNKNOWN
    assert "ConnectionError: no route" in decision.message
    assert target.replicas == 4


async def test_a_failed_scaling_is_tried_again_and_not_taken_for_done() -> None:
    operator, target, _, clock = operate(SOME)
    target.failures.append(OSError("no more processes"))

    await operator.tick()
    clock.move(5)
    retried = await operator.tick()

    assert target.scaled == [(3, frozenset())]
    assert retried is not None
    assert retried.memory.last_scale_time == clock.now()


async def test_a_failed_scaling_does_not_count_as_the_last_one() -> None:
    operator, target, _, clock = operate(SOME, replace(SOME, queue=QueueCounts(500)), SOME)
    await operator.tick()
    first = clock.now()
    target.failures.append(OSError("no more processes"))
    clock.move(5)
    await operator.tick()

    steady = await operator.tick()

    assert steady is not None
    assert steady.memory.last_scale_time == first


async def test_a_target_that_cannot_tell_its_replicas_is_left_alone_until_it_can() -> None:
    class Unreadable(FakeTarget):
        failing = True

        async def current(self) -> Replicas:
            if self.failing:
                message = "no answer"
                raise TimeoutError(message)
            return await super().current()

    target = Unreadable()
    operator, _, observer, _ = operate(SOME, target=target)

    assert await operator.tick() is None
    assert (observer.observed, target.scaled) == (0, [])
    target.failing = False
    await operator.tick()
    assert target.replicas == 3


async def test_every_decision_is_handed_out() -> None:
    decisions: list[Decision] = []
    operator = LocalOperator(
        SPEC, ScriptedObserver([SOME]), FakeTarget(), clock=ManualClock(), on_decision=decisions.append
    )

    await operator.tick()
    await operator.tick()

    assert [(decision.to, decision.changed) for decision in decisions] == [(3, True), (3, False)]


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> LogCapture:
    """What the loop logs, however logging was configured before."""
    capture = LogCapture()
    logger = structlog.wrap_logger(
        None, processors=[capture], wrapper_class=structlog.make_filtering_bound_logger(0)
    )
    monkeypatch.setattr("jobqueue_operator.local._log", logger)
    return capture


async def test_the_log_tells_each_decision_once_with_its_reason(captured: LogCapture) -> None:
    operator, _, _, _ = operate(SOME, SOME, SOME, OSError("gone"), OSError("gone"), SOME)

    for _ in range(7):
        await operator.tick()

    decisions = [log for log in captured.entries if log["event"] == "scale_decision"]
    assert [(log["replicas_to"], log["reason"]) for log in decisions] == [
        (3, "BacklogAboveTarget"),
        (3, "OnTarget"),
        (3, "ReadingUnknown"),
        (3, "OnTarget"),
    ]
    failures = [log["reason"] for log in captured.entries if log["event"] == "observe_failed"]
    assert failures == ["OSError: gone"]


async def test_it_looks_again_after_the_poll_time() -> None:
    operator, target, observer, clock = operate(IDLE, SOME)

    async with running(operator):
        await clock.advance(4.9)
        assert (observer.observed, target.replicas) == (1, 0)
        await clock.advance(0.1)

    assert (observer.observed, target.replicas) == (2, 3)


async def test_a_wake_does_not_wait_for_the_poll() -> None:
    operator, target, observer, clock = operate(IDLE, SOME)

    async with running(operator):
        await clock.advance(2)
        operator.wake()
        await settle()

    assert (observer.observed, target.replicas) == (2, 3)


async def test_after_a_wake_the_poll_time_runs_anew() -> None:
    operator, _, observer, clock = operate(IDLE)

    async with running(operator):
        await clock.advance(4)
        operator.wake()
        await clock.advance(4.9)
        assert observer.observed == 2
        await clock.advance(0.1)

    assert observer.observed == 3


async def test_the_first_wake_is_answered_at_once_and_many_once_a_second() -> None:
    operator, _, observer, clock = operate(IDLE)

    async with running(operator):
        for _ in range(9):
            await clock.advance(0.1)
            operator.wake()
            await settle()
            assert observer.observed == 2
        await clock.advance(0.3)

    assert observer.observed == 3


async def test_a_wake_during_a_reading_leads_to_another() -> None:
    class Waking(ScriptedObserver):
        async def observe(self) -> Observation:
            seen = await super().observe()
            if self.observed == 1:
                operator.wake()
            return seen

    observer, clock, target = Waking([IDLE, SOME]), ManualClock(), FakeTarget()
    operator = LocalOperator(SPEC, observer, target, clock=clock)

    async with running(operator):
        await clock.advance(1)

    assert target.replicas == 3


async def test_cancelled_it_leaves_the_target_to_its_owner() -> None:
    operator, target, _, _ = operate(SOME)

    async with running(operator):
        await settle()

    assert (target.replicas, target.closed) == (3, False)
