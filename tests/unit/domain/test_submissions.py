from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from jobqueue_core.domain.job import Job, Lease, Phase
from jobqueue_core.domain.submission import Submission, fingerprint, is_over, new_job
from jobqueue_core.domain.times import later
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import RULES

GRACE = later(START, RULES.relay_grace_seconds)
IN_A_MINUTE = later(START, 60)


def submitted(*, now: datetime = START, **asked: object) -> Job:
    submission = Submission(queue="jobs", **asked)  # type: ignore[arg-type] # fields by name
    return new_job(submission, job_id="id", token="t1", rules=RULES, now=now)


def test_a_new_job_is_queued_and_owed_its_message_after_the_grace() -> None:
    job = submitted(payload={"a": 1}, labels={"team": "x"}, traceparent="tp", ordering_key="k")
    assert (job.id, job.queue, job.payload, job.labels) == ("id", "jobs", {"a": 1}, {"team": "x"})
    assert (job.phase, job.run_at, job.due_at, job.sent_at) == (Phase.QUEUED, START, GRACE, None)
    assert (job.attempts, job.sends, job.lease, job.history) == (0, 1, Lease("t1"), ())
    assert (job.ordering_key, job.traceparent) == ("k", "tp")


@pytest.mark.parametrize(
    ("asked", "phase", "run_at", "due_at"),
    [
        ({"delay_seconds": 60.0}, Phase.SCHEDULED, IN_A_MINUTE, IN_A_MINUTE),
        ({"delay_seconds": 0.0}, Phase.QUEUED, START, GRACE),
        ({"run_at": IN_A_MINUTE}, Phase.SCHEDULED, IN_A_MINUTE, IN_A_MINUTE),
        ({"run_at": START}, Phase.QUEUED, START, GRACE),
        ({"run_at": later(START, -60)}, Phase.QUEUED, START, GRACE),
        (
            {"run_at": datetime(2026, 1, 1, 14, 1, tzinfo=timezone(timedelta(hours=2)))},
            Phase.SCHEDULED,
            IN_A_MINUTE,
            IN_A_MINUTE,
        ),
    ],
    ids=["delay", "no-delay", "at", "now", "past", "other-zone"],
)
def test_a_job_with_a_time_waits_for_it(
    asked: dict[str, object], phase: Phase, run_at: datetime, due_at: datetime
) -> None:
    job = submitted(now=START, **asked)
    assert (job.phase, job.run_at, job.due_at) == (phase, run_at, due_at)


def test_times_are_whole_milliseconds() -> None:
    job = submitted(now=START + timedelta(microseconds=1999))
    assert job.created_at == job.updated_at == job.run_at == START + timedelta(milliseconds=1)


def test_a_job_has_the_queues_attempts_unless_it_brings_its_own() -> None:
    assert submitted().max_attempts == RULES.retry.max_attempts
    assert submitted(max_attempts=1).max_attempts == 1


def test_only_a_job_with_an_idempotency_key_has_a_fingerprint() -> None:
    assert submitted().fingerprint is None
    assert submitted(idempotency_key="k").fingerprint


def test_an_idempotency_key_stands_for_its_job_for_as_long_as_the_rules_say() -> None:
    assert submitted().idempotency_until is None
    until = submitted(idempotency_key="k").idempotency_until
    assert until == later(START, RULES.idempotency_seconds)
    assert not is_over(until, later(START, RULES.idempotency_seconds - 0.001))
    assert is_over(until, later(START, RULES.idempotency_seconds))
    assert not is_over(None, later(START, 10 * RULES.idempotency_seconds))


ASKED = Submission(queue="jobs", payload={"a": 1, "b": [2, "\ud800"]}, labels={"x": "1", "y": "2"})


def test_the_order_of_keys_changes_no_fingerprint() -> None:
    other = replace(ASKED, payload={"b": [2, "\ud800"], "a": 1}, labels={"y": "2", "x": "1"})
    assert fingerprint(other) == fingerprint(ASKED)


@pytest.mark.parametrize(
    "change",
    [
        {"payload": {"a": 2}},
        {"run_at": START},
        {"delay_seconds": 1.0},
        {"max_attempts": 2},
        {"timeout_seconds": 2.0},
        {"ordering_key": "k"},
        {"labels": {}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_request_has_another_fingerprint(change: dict[str, object]) -> None:
    assert fingerprint(replace(ASKED, **change)) != fingerprint(ASKED)  # type: ignore[arg-type] # by name


def test_the_key_itself_and_the_trace_change_no_fingerprint() -> None:
    assert fingerprint(replace(ASKED, idempotency_key="k", traceparent="tp")) == fingerprint(ASKED)
