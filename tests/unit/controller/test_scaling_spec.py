from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from jobqueue_operator.scaling import (
    BacklogPerReplica,
    DrainSeconds,
    Fallback,
    InvalidScalingSpecError,
    Observation,
    QueueCounts,
    ScaleDown,
    ScaleUp,
    ScalingSpec,
    Unknown,
)

if TYPE_CHECKING:
    from collections.abc import Callable

TARGET = BacklogPerReplica(100)

REFUSED: list[tuple[Callable[[], object], str]] = [
    (lambda: BacklogPerReplica(0), "target.backlog_per_replica: must be at least 1, is 0"),
    (lambda: DrainSeconds(0), "target.drain_seconds: must be above 0, is 0"),
    (lambda: DrainSeconds(math.nan), "target.drain_seconds: must be above 0, is nan"),
    (
        lambda: ScalingSpec(target=TARGET, max_replicas=1, min_replicas=-1),
        "min_replicas: must be at least 0, is -1",
    ),
    (lambda: ScalingSpec(target=TARGET, max_replicas=0), "max_replicas: must be at least 1, is 0"),
    (
        lambda: ScalingSpec(target=TARGET, max_replicas=2, min_replicas=3),
        "min_replicas: must be at most max_replicas (2), is 3",
    ),
    (
        lambda: ScalingSpec(target=TARGET, max_replicas=1, concurrency=0),
        "concurrency: must be at least 1, is 0",
    ),
    (
        lambda: ScalingSpec(target=TARGET, max_replicas=1, scale_up=ScaleUp(max_factor=1)),
        "scale_up.max_factor: must be above 1, is 1",
    ),
    (
        lambda: ScalingSpec(target=TARGET, max_replicas=1, scale_down=ScaleDown(stabilization_seconds=-1)),
        "scale_down.stabilization_seconds: must be at least 0, is -1",
    ),
    (
        lambda: ScalingSpec(target=TARGET, max_replicas=1, zero_after_seconds=math.inf),
        "zero_after_seconds: must be at least 0, is inf",
    ),
    (
        lambda: ScalingSpec(target=TARGET, max_replicas=4, on_unknown=Fallback(5)),
        "on_unknown.replicas: must be from 0 to max_replicas (4), is 5",
    ),
]


@pytest.mark.parametrize(("make", "problem"), REFUSED, ids=[problem for _, problem in REFUSED])
def test_a_bad_field_is_named_with_its_rule(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(InvalidScalingSpecError) as refused:
        make()

    assert refused.value.problems == (problem,)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(InvalidScalingSpecError) as refused:
        ScalingSpec(target=TARGET, max_replicas=0, min_replicas=1, concurrency=-1)

    assert str(refused.value) == (
        "max_replicas: must be at least 1, is 0; "
        "min_replicas: must be at most max_replicas (0), is 1; "
        "concurrency: must be at least 1, is -1"
    )


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: QueueCounts(-1), "visible"),
        (lambda: Observation(current=-1, queue=QueueCounts(0), store_waiting=0), "current"),
        (lambda: Observation(current=0, queue=QueueCounts(0), store_waiting=-1), "store_waiting"),
        (
            lambda: Observation(current=0, queue=QueueCounts(0), store_waiting=0, service_seconds=math.nan),
            "service_seconds",
        ),
    ],
    ids=["counts", "replicas", "store", "service_time"],
)
def test_a_reading_that_cannot_be_is_refused(make: Callable[[], object], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: must be at least 0"):
        make()


def test_one_unknown_reading_makes_the_observation_unknown() -> None:
    known = Observation(current=1, queue=QueueCounts(0), store_waiting=0)
    unknown = Observation(current=1, queue=QueueCounts(0), store_waiting=Unknown("no primary"))

    assert known.unknown_reason is None
    assert unknown.unknown_reason == "no primary"
    assert Observation.unknown("both gone").unknown_reason == "both gone"
