"""Final states: what may follow them, and what is a second one."""

from __future__ import annotations

from collections import Counter
from typing import Any

from jobqueue_chaos.watcher import FinalStates

INSERTED = {"phase": "queued", "attempts": 0, "finishedAt": None, "result": None}


def states(*writes: dict[str, Any], retries: int = 0) -> FinalStates:
    found = FinalStates(Counter({"j": retries}).__getitem__)
    for written in (INSERTED, *writes):
        found.see("j", written)
    return found


def done(phase: str, at: str = "t1") -> dict[str, Any]:
    return {"phase": phase, "finishedAt": at, "attempts": 1}


def test_a_job_that_ends_once_is_in_order() -> None:
    found = states({"phase": "running", "attempts": 1}, done("succeeded"), {"lease.token": "x"})
    assert found.rewritten == []
    assert found.final_writes["j"] == 1


def test_nothing_follows_success_whoever_retries() -> None:
    assert states(done("succeeded"), {"phase": "queued"}, retries=1).rewritten
    assert states(done("succeeded"), done("failed", "t2")).rewritten


def test_a_second_final_state_of_the_same_kind_is_one() -> None:
    assert states(done("failed"), done("failed", "t2")).rewritten


def test_a_failed_job_may_be_retried_as_often_as_somebody_did() -> None:
    again = ({"phase": "queued", "attempts": 0, "finishedAt": None}, done("succeeded", "t2"))
    assert states(done("failed"), *again, retries=1).rewritten == []
    assert states(done("failed"), *again, retries=0).rewritten
