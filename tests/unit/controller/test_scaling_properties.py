"""What holds for every spec, reading and past."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from jobqueue_operator.scaling import (
    BacklogPerReplica,
    Decision,
    DrainSeconds,
    Fallback,
    Hold,
    Memory,
    Observation,
    QueueCounts,
    Recommendation,
    ScaleDown,
    ScaleUp,
    ScalingSpec,
    Suspend,
    Unknown,
    decide,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MAX = 40
counts = st.integers(0, 5000)
few = st.integers(0, 10)
seconds = st.floats(0, 600, allow_nan=False)


@st.composite
def specs(draw: st.DrawFn, suspend: Suspend | None = Suspend.NONE) -> ScalingSpec:
    maximum = draw(st.integers(1, MAX))
    return ScalingSpec(
        target=draw(
            st.builds(BacklogPerReplica, st.integers(1, 500)) | st.builds(DrainSeconds, st.floats(0.1, 3600))
        ),
        max_replicas=maximum,
        min_replicas=draw(st.integers(0, min(3, maximum))),
        concurrency=draw(st.integers(1, 100)),
        scale_up=ScaleUp(draw(st.floats(1.01, 20))),
        scale_down=ScaleDown(draw(seconds), draw(st.booleans())),
        zero_after_seconds=draw(seconds),
        on_unknown=draw(st.just(Hold()) | st.builds(Fallback, st.integers(0, maximum))),
        suspend=draw(st.sampled_from(Suspend)) if suspend is None else suspend,
    )


queues = st.builds(QueueCounts, counts | few, counts | few, counts | few)
busy_ids = st.integers(0, MAX).map(lambda number: frozenset(f"w{index}" for index in range(number)))
known = st.builds(
    Observation,
    current=st.integers(0, MAX + 10),
    ready=st.integers(0, MAX),
    queue=queues,
    store_waiting=counts | few,
    busy_worker_ids=busy_ids,
    busy_slots=counts | few,
    service_seconds=st.none() | st.floats(0, 60),
    arrival_per_second=st.none() | st.floats(0, 1000),
    circuit_open=st.booleans(),
    schedule_floor=st.integers(0, 5),
)
unknown = st.one_of(
    known.map(lambda seen: replace(seen, queue=Unknown("gone"))),
    known.map(lambda seen: replace(seen, store_waiting=Unknown("gone"))),
    known.map(lambda seen: Observation.unknown("gone", current=seen.current)),
)
recommendations = st.lists(
    st.builds(Recommendation, seconds.map(lambda ago: NOW - timedelta(seconds=ago)), st.integers(0, MAX)),
    max_size=5,
).map(tuple)
memories = st.builds(
    Memory, recommendations, st.none() | seconds.map(lambda ago: NOW - timedelta(seconds=ago))
)


def with_one_more(seen: Observation, where: str, more: int) -> Observation:
    assert isinstance(seen.queue, QueueCounts)
    assert isinstance(seen.store_waiting, int)
    if where == "store":
        return replace(seen, store_waiting=seen.store_waiting + more)
    raised = {where: getattr(seen.queue, where) + more}
    return replace(seen, queue=replace(seen.queue, **raised))


@given(specs(), known | unknown, memories)
def test_the_bounds_are_kept(spec: ScalingSpec, seen: Observation, memory: Memory) -> None:
    decision = decide(spec, seen, memory, NOW)

    # Above the maximum only who was there before it was lowered and is busy, or cannot be read.
    may_stay = seen.current if seen.unknown_reason else min(seen.current, seen.busy_workers)
    assert spec.min_replicas <= decision.to <= max(spec.max_replicas, may_stay)


@given(
    specs(),
    known,
    memories,
    st.sampled_from(["visible", "in_flight", "delayed", "store"]),
    st.integers(1, 9999),
)
def test_more_backlog_never_means_fewer_replicas(
    spec: ScalingSpec, seen: Observation, memory: Memory, where: str, more: int
) -> None:
    fewer = decide(spec, seen, memory, NOW)
    greater = decide(spec, with_one_more(seen, where, more), memory, NOW)

    assert greater.to >= fewer.to
    assert greater.wanted >= fewer.wanted


@given(specs(suspend=None), unknown, memories)
def test_an_unknown_reading_never_goes_down(spec: ScalingSpec, seen: Observation, memory: Memory) -> None:
    assert decide(spec, seen, memory, NOW).to >= seen.current


@given(specs(), known, memories)
def test_the_last_one_goes_only_after_agreement(spec: ScalingSpec, seen: Observation, memory: Memory) -> None:
    assume(seen.current > 0)
    if decide(spec, seen, memory, NOW).to > 0:
        return

    assert seen.queue == QueueCounts(0, 0, 0)
    assert seen.store_waiting == 0
    since = memory.empty_since or NOW
    assert (NOW - since).total_seconds() >= spec.zero_after_seconds


@given(specs(), memories, st.integers(1, MAX), st.floats(0, 600), st.integers(0, 119))
def test_an_empty_queue_does_reach_zero_and_not_before_its_time(
    spec: ScalingSpec, memory: Memory, current: int, stabilization: float, early: int
) -> None:
    spec = replace(
        spec, min_replicas=0, zero_after_seconds=120, scale_down=ScaleDown(stabilization), on_unknown=Hold()
    )
    seen = Observation(current=current, queue=QueueCounts(0), store_waiting=0)
    first = decide(spec, seen, replace(memory, empty_since=None), NOW)

    too_early = decide(spec, seen, first.memory, NOW + timedelta(seconds=early))
    in_time = decide(spec, seen, first.memory, NOW + timedelta(seconds=max(120.0, stabilization) + 600))

    assert too_early.to >= 1
    assert in_time.to == 0


@given(specs(suspend=None), known, memories)
def test_a_busy_worker_is_never_scaled_away(spec: ScalingSpec, seen: Observation, memory: Memory) -> None:
    spec = replace(spec, scale_down=replace(spec.scale_down, protect_busy=True))

    assert decide(spec, seen, memory, NOW).to >= min(seen.current, seen.busy_workers)


@given(specs(), known, memories)
def test_from_zero_all_that_is_wanted_comes_in_one_step(
    spec: ScalingSpec, seen: Observation, memory: Memory
) -> None:
    seen = replace(seen, current=0, circuit_open=False)
    decision = decide(spec, seen, memory, NOW)

    assert decision.to == min(max(decision.wanted, spec.min_replicas), spec.max_replicas)


@given(specs(), known, memories)
def test_an_open_circuit_adds_nobody_beyond_what_is_promised(
    spec: ScalingSpec, seen: Observation, memory: Memory
) -> None:
    decision = decide(spec, replace(seen, circuit_open=True), memory, NOW)

    assert decision.to <= max(seen.current, spec.min_replicas, seen.schedule_floor, 1)


@given(specs(suspend=None), known | unknown, memories)
def test_the_same_arguments_give_the_same_decision(
    spec: ScalingSpec, seen: Observation, memory: Memory
) -> None:
    assert decide(spec, seen, memory, NOW) == decide(replace(spec), replace(seen), replace(memory), NOW)


@given(specs(), known, memories)
def test_a_number_that_is_not_the_wanted_one_names_its_limit(
    spec: ScalingSpec, seen: Observation, memory: Memory
) -> None:
    decision = decide(spec, seen, memory, NOW)

    assert decision.to == decision.wanted or decision.limited_by is not None


def run(spec: ScalingSpec, seen: Observation, memory: Memory, steps: int, every: float) -> list[Decision]:
    decisions: list[Decision] = []
    for step in range(steps):
        decision = decide(spec, seen, memory, NOW + timedelta(seconds=step * every))
        decisions.append(decision)
        memory = decision.memory
        seen = replace(seen, current=decision.to)
    return decisions


@given(specs(), known | unknown, memories, st.floats(1, 30))
def test_a_constant_reading_settles_without_turning_back(
    spec: ScalingSpec, seen: Observation, memory: Memory, every: float
) -> None:
    # The slowest factor takes a step for each replica; then both waiting times pass.
    steps = MAX + 20 + int((spec.scale_down.stabilization_seconds + spec.zero_after_seconds) / every)
    decisions = run(spec, seen, memory, steps, every)

    directions = {decision.direction for decision in decisions if decision.changed}
    assert len(directions) <= 1
    assert not any(decision.changed for decision in decisions[-10:])


@dataclass
class Fluid:
    """A queue with steady arrivals, and workers that take a while to start."""

    arrival_per_second: float
    service_seconds: float
    waiting: float = 0.0
    ready: int = 0

    def step(self, spec: ScalingSpec, current: int, seconds: float) -> Observation:
        slots = self.ready * spec.concurrency
        done = slots / self.service_seconds * seconds
        self.waiting = max(0.0, self.waiting + self.arrival_per_second * seconds - done)
        self.ready = current
        running = min(slots, round(self.waiting + self.arrival_per_second * self.service_seconds))
        visible = round(self.waiting)
        return Observation(
            current=current,
            ready=self.ready,
            queue=QueueCounts(visible, running),
            store_waiting=visible + running,
            busy_slots=running,
            service_seconds=self.service_seconds,
            arrival_per_second=self.arrival_per_second,
        )


@pytest.mark.parametrize(
    ("arrival_per_second", "service_seconds", "needed"),
    [(5.0, 1.0, 1), (95.0, 1.0, 10), (40.0, 2.5, 10), (700.0, 0.1, 7), (3.0, 30.0, 9)],
)
def test_steady_arrivals_end_at_what_keeps_up_with_them(
    arrival_per_second: float, service_seconds: float, needed: int
) -> None:
    spec = ScalingSpec(target=DrainSeconds(30), max_replicas=MAX, concurrency=10)
    load = Fluid(arrival_per_second, service_seconds, waiting=2000)
    memory, current = Memory(), 0
    numbers: list[int] = []
    for step in range(1000):
        seen = load.step(spec, current, 5)
        decision = decide(spec, seen, memory, NOW + timedelta(seconds=5 * step))
        memory, current = decision.memory, decision.to
        numbers.append(current)

    settled = numbers[-500:]
    assert set(settled) == {settled[0]}
    assert needed <= settled[0] <= needed + 1
    assert load.waiting <= arrival_per_second * 30
