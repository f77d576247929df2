from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobqueue_operator.cluster.lease import SeenLease, may_take, seen, taken

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
HELD = {"holderIdentity": "a", "renewTime": "t1", "leaseDurationSeconds": 10}


@pytest.mark.parametrize(
    ("holder", "waited", "may"),
    [("a", 0.0, True), ("", 0.0, True), ("b", 0.0, False), ("b", 9.9, False), ("b", 10.0, True)],
    ids=["own", "nobody's", "another's", "another's, almost over", "another's, not renewed"],
)
def test_who_may_take_a_lease(holder: str, waited: float, *, may: bool) -> None:
    assert may_take(SeenLease(holder, "t1", 10, 100.0), "a", 100.0 + waited) is may


def test_time_counts_from_when_this_process_saw_the_last_renewal() -> None:
    first = seen(HELD, None, 100.0)
    unchanged = seen(HELD, first, 109.0)
    renewed = seen({**HELD, "renewTime": "t2"}, unchanged, 110.0)
    assert unchanged.seen_at == 100.0
    assert renewed.seen_at == 110.0


def test_renewing_keeps_when_it_was_acquired() -> None:
    first = taken({}, "a", 10, NOW)
    again = taken(first, "a", 10, NOW.replace(second=5))
    assert again["acquireTime"] == first["acquireTime"] == "2026-03-01T12:00:00.000000Z"
    assert again["renewTime"] == "2026-03-01T12:00:05.000000Z"
    assert again["leaseTransitions"] == first["leaseTransitions"] == 1


def test_taking_over_counts_a_transition() -> None:
    other = taken(taken({}, "a", 10, NOW), "b", 10, NOW.replace(minute=1))
    assert (other["holderIdentity"], other["leaseTransitions"]) == ("b", 2)
    assert other["acquireTime"] == "2026-03-01T12:01:00.000000Z"
