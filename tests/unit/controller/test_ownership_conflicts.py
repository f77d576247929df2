from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobqueue_operator.cluster.conflicts import Claim, conflict_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def claim(name: str, *keys: str, age: int = 0) -> Claim:
    return Claim(("team", name), NOW - timedelta(seconds=age), f"uid-{name}", keys)


def test_the_older_one_has_the_queue() -> None:
    old, young = claim("old", "queue q", "Deployment team/a", age=60), claim("young", "queue q")
    assert conflict_of(old, [old, young]) is None
    told = conflict_of(young, [old, young])
    assert told is not None
    assert "queue q belongs to the older JobQueue team/old" in told


def test_two_of_one_second_are_decided_by_uid() -> None:
    a, b = claim("a", "queue q"), claim("b", "queue q")
    assert conflict_of(a, [b]) is None
    assert conflict_of(b, [a]) is not None


def test_different_queues_and_targets_do_not_conflict() -> None:
    a, b = claim("a", "queue a", "Deployment team/a", age=9), claim("b", "queue b", "Deployment team/b")
    assert conflict_of(b, [a, b]) is None


def test_a_shared_target_is_a_conflict_of_its_own() -> None:
    a, b = claim("a", "queue a", "Deployment team/w", age=9), claim("b", "queue b", "Deployment team/w")
    told = conflict_of(b, [a])
    assert told is not None
    assert told.startswith("Deployment team/w belongs to")
