from __future__ import annotations

import pytest

from jobqueue_operator.scaling import drain_seconds


@pytest.mark.parametrize(
    ("backlog", "service_seconds", "concurrency", "replicas", "expected"),
    [
        (0, None, 10, 0, 0.0),
        (1000, 0.5, 10, 5, 10.0),
        (1000, None, 10, 5, None),
        (1000, 0.5, 10, 0, None),
        (3, 2.0, 10, 5, 2.0),
    ],
    ids=["empty", "shared_by_slots", "not_measured_yet", "nobody_works", "never_less_than_one_job"],
)
def test_estimate(
    backlog: int, service_seconds: float | None, concurrency: int, replicas: int, expected: float | None
) -> None:
    assert drain_seconds(backlog, service_seconds, concurrency, replicas) == expected
