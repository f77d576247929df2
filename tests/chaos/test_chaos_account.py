"""The account finds each thing that may be off, and nothing in a run that is clean."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobqueue_chaos.account import account
from jobqueue_chaos.facts import Call, Death, Facts, Rewritten, Submitted, Trouble
from jobqueue_chaos.mix import JobSpec
from jobqueue_chaos.profile import ORDERED, STANDARD

AT = datetime(2026, 1, 1, tzinfo=UTC)


def entry(number: int, outcome: str, worker: str = "worker-0.1") -> dict[str, Any]:
    return {
        "number": number,
        "outcome": outcome,
        "worker": worker,
        "startedAt": AT,
        "finishedAt": AT + timedelta(seconds=1),
    }


def document(job_id: str, status: str = "SUCCESS", **changes: Any) -> dict[str, Any]:  # noqa: ANN401
    attempts = changes.get("attempts", 1)
    return {
        "_id": job_id,
        "status": status,
        "phase": status.lower(),
        "attempts": attempts,
        "maxAttempts": 3,
        "history": [entry(1, "succeeded" if status == "SUCCESS" else "rejected")],
        "result": {"body": f'{{"attempt": {attempts}, "run": 0}}'},
        "lastError": None,
        "labels": {},
        **changes,
    }


def call(job_id: str, attempt: int = 1, at: float = 1.0, code: int = 200, run: int = 0) -> Call:
    return Call(job_id, attempt, run, job_id, at, at + 0.1, code)


def submitted(key: str, job_id: str | None, number: int = 0, ordering_key: str | None = None) -> Submitted:
    queue = STANDARD if ordering_key is None else ORDERED
    spec = JobSpec(key=key, kind="quick", runs=(("ok",),), queue=queue, ordering_key=ordering_key)
    return Submitted(spec, number, [job_id] if job_id else [])


def clean() -> Facts:
    """Two jobs: one is done, one was refused and has its letter."""
    return Facts(
        submitted={"a": submitted("a", "j1"), "b": submitted("b", "j2", 1)},
        documents={"j1": document("j1"), "j2": document("j2", "FAILED")},
        calls=[call("j1"), call("j2", code=400)],
        rewritten=[],
        final_writes={"j1": 1, "j2": 1},
        letters={"j2": 1},
        letters_before={},
        strange_letters=[],
        strangers=set(),
        buried=set(),
        left={"chaos": 0},
        sends=Counter(j1=1, j2=1),
        deaths=[],
        troubles=[],
    )


def with_job(**changes: Any) -> Facts:  # noqa: ANN401
    return replace(clean(), documents={"j1": document("j1", **changes), "j2": document("j2", "FAILED")})


LOST = [entry(1, "lost"), entry(2, "succeeded")]


def test_a_clean_run_is_clean() -> None:
    assert account(clean()).faults == ()
    assert account(clean()).is_clean


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("submissions never accepted", replace(clean(), submitted={"c": submitted("c", None)})),
        ("accepted jobs lost", replace(clean(), documents={"j2": document("j2", "FAILED")})),
        (
            "keys with more than one job",
            replace(
                clean(),
                submitted={"a": Submitted(JobSpec(key="a", kind="q", runs=(("ok",),)), 0, ["j1", "j2"])},
            ),
        ),
        ("jobs that nobody submitted", replace(clean(), submitted={"a": submitted("a", "j1")})),
        ("jobs not final", with_job(status="PENDING", phase="queued")),
        ("second final states", replace(clean(), rewritten=[Rewritten("j1", "succeeded", "queued")])),
        (
            "calls beyond maxAttempts",
            replace(clean(), calls=[*clean().calls, *(call("j1", n, n) for n in (2, 3, 4))]),
        ),
        ("attempts called twice", replace(clean(), calls=[*clean().calls, call("j1", at=2)])),
        (
            "calls with another key than the job's id",
            replace(clean(), calls=[Call("j1", 1, 0, "j2", 1.0, 1.1, 200)]),
        ),
        ("stale writes (history)", with_job(history=[entry(1, "lost"), entry(1, "succeeded")], attempts=2)),
        ("stale writes (history)", with_job(history=[])),
        ("stale writes (result)", with_job(result={"body": '{"attempt": 2}'})),
        ("stale writes (result)", replace(clean(), calls=[call("j1", code=500)])),
        ("attempts fewer than calls", replace(clean(), calls=[*clean().calls, call("j1", 2, at=3)])),
        (
            "FAILED without cause",
            replace(
                clean(),
                documents={
                    "j1": document("j1"),
                    "j2": document("j2", "FAILED", history=[entry(1, "retryable")]),
                },
            ),
        ),
        ("leases lost without cause", with_job(history=LOST, attempts=2)),
        ("FAILED jobs without a dead letter", replace(clean(), letters={})),
        ("dead letters of jobs that did not fail", replace(clean(), letters={"j1": 1, "j2": 1})),
        ("dead letters of jobs that did not fail", replace(clean(), letters={"j2": 1, "nobody": 1})),
        ("dead letters that name no job", replace(clean(), strange_letters=["not ours"])),
        ("jobs called failed too early", replace(clean(), buried={*clean().documents})),
        ("jobs taken for somebody else's", replace(clean(), strangers={*clean().documents})),
        ("messages left in the queues", replace(clean(), left={"chaos": 1})),
        ("debts left to the relay", with_job(dueAt=AT)),
        (
            "processes that ended by themselves",
            replace(clean(), deaths=[Death("api-0.1", 1.0, AT, "ended by itself", None, 1)]),
        ),
    ],
)
def test_what_is_off_is_found(name: str, facts: Facts) -> None:
    verdict = account(facts)
    assert verdict.offenders(name)
    assert not verdict.is_clean


def test_a_lease_may_be_lost_by_who_was_killed() -> None:
    facts = with_job(history=LOST, attempts=2)
    facts = replace(facts, calls=[call("j1", 1, code=0), call("j1", 2, 2), call("j2", code=400)])
    killed = replace(facts, deaths=[Death("worker-0.1", 1.0, AT, "killed")])
    assert account(killed).is_clean
    later = Death("worker-0.1", 9.0, AT + timedelta(seconds=60), "stopped", None, 0)
    assert account(replace(facts, deaths=[later])).offenders("leases lost without cause")


def test_a_lease_may_be_lost_in_an_outage() -> None:
    outage = Trouble("MongoDB hung", 0.0, 1.0, AT, AT + timedelta(seconds=1), None)
    facts = replace(with_job(history=LOST, attempts=2), troubles=[outage])
    assert account(facts).offenders("leases lost without cause") == ()


def test_a_job_retried_by_hand_has_two_runs_and_keeps_its_letter() -> None:
    spec = JobSpec(key="a", kind="retried by hand", runs=(("400",), ("ok",)))
    facts = replace(
        with_job(history=[entry(1, "rejected"), entry(1, "succeeded")]),
        submitted={"a": Submitted(spec, 0, ["j1"], retries=1), "b": submitted("b", "j2")},
        calls=[call("j1", code=400), call("j1", at=2, run=1), call("j2", code=400)],
        letters={"j1": 1, "j2": 1},
    )
    assert account(facts).is_clean


def test_a_letter_that_a_killed_queue_lost_counts() -> None:
    assert account(replace(clean(), letters={}, letters_before={"j2": 1})).is_clean


def test_each_due_time_has_one_job() -> None:
    def of_schedule(minutes: dict[str, int]) -> Facts:
        ticks = {
            job_id: document(job_id, labels={"schedule": "tick"}, runAt=AT + timedelta(minutes=minute))
            for job_id, minute in minutes.items()
        }
        calls = [*clean().calls, *(call(job_id) for job_id in minutes)]
        return replace(clean(), documents={**clean().documents, **ticks}, calls=calls)

    assert account(of_schedule({"t1": 1, "t2": 2})).is_clean
    name = "due times of the schedule without a job of their own"
    assert account(of_schedule({"t1": 1, "t2": 1})).offenders(name) == (
        f"{AT + timedelta(minutes=1)}: 2 jobs",
    )
    assert account(of_schedule({"t1": 1, "t3": 3})).offenders(name) == (
        f"{AT + timedelta(minutes=2)}: no job",
    )


def test_a_job_may_be_isolated_after_three_deaths() -> None:
    def died(*outcomes: str) -> Facts:
        history = [entry(number + 1, outcome) for number, outcome in enumerate(outcomes)]
        gone = document("j2", "FAILED", history=history, attempts=len(history), maxAttempts=9)
        killed = [Death("worker-0.1", 1.0, AT, "killed")]
        return replace(clean(), documents={"j1": document("j1"), "j2": gone}, deaths=killed)

    assert account(died("retryable", "lost", "lost", "lost")).is_clean
    assert account(died("lost", "lost")).offenders("FAILED without cause")
    assert account(died("lost", "lost", "lost", "retryable")).offenders("FAILED without cause")


def test_order_of_a_key_is_that_of_first_successes() -> None:
    facts = replace(
        clean(),
        submitted={
            "a": submitted("a", "j1", 0, ordering_key="k"),
            "b": submitted("b", "j2", 1, ordering_key="k"),
        },
        documents={"j1": document("j1"), "j2": document("j2")},
        letters={},
    )
    in_order = replace(facts, calls=[call("j1", at=1), call("j2", at=2)])
    assert account(in_order).is_clean
    swapped = replace(facts, calls=[call("j2", at=1), call("j1", at=2)])
    assert account(swapped).offenders("ordered jobs out of order") == ("k: j2 before j1",)
