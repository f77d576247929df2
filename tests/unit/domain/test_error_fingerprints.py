from __future__ import annotations

import pytest

from jobqueue_core.domain.fingerprints import (
    FINGERPRINT,
    fingerprint_of,
    normalised,
    with_fingerprint,
)
from jobqueue_core.domain.job import JobError, JobResult, Phase
from jobqueue_core.domain.outcome import of_answer, of_connection_error
from jobqueue_core.domain.times import later
from jobqueue_core.domain.transitions import begin, finish
from jobqueue_core.testing.clock import START
from jobqueue_testsupport.factories import RULES, JobFactory

SAME = [
    ("order 1815 not found", "order 7 not found"),
    (
        "the external service answered 503 (attempt 3 of 3)",
        "the external service answered 503 (attempt 9 of 9)",
    ),
    ("the external service answered 503 (attempt 3 of 3)", "the external service answered 503"),
    (
        'answered 500: {"requestId": "019c0f5e-7a31-7c42-9d1b-3f6a0c5e8b17"}',
        'answered 500: {"requestId": "7b0c3f52-0a4e-4c3b-8f51-1f0f0b7d2a11"}',
    ),
    ("GET https://service.example/jobs?id=1&key=abc failed", "GET https://service.example/jobs?id=77 failed"),
    ("no route to 10.0.0.7:8080", "no route to 10.11.12.13:9090"),
    ("trace 4bf92f3577b34da6a3ce929d0e0e4736", "trace 00f067aa0ba902b70af7651916cd43dd"),
    ("no mailbox ada@shop.example", "no mailbox charles.b+jobs@mail.shop.example"),
    ("at 2026-01-31T09:30:00.250Z", "at 2027-12-01T18:05:59.001Z"),
    ("key sk_live_4eC39HqLyjWDarjt is revoked", "key sk_live_9xY11QqLyjWDark7 is revoked"),
    ("took  12.5 s", "took 3 s"),
]
DIFFERENT = [
    ("connection refused", "connection reset"),
    ("order 1 not found", "customer 1 not found"),
    ("POST https://a.example/x failed", "POST https://b.example/x failed"),
    ('{"error": "no_such_user"}', '{"error": "user_is_locked"}'),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_the_same_fault_of_different_jobs_has_one_fingerprint(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert fingerprint_of(one, 503) == fingerprint_of(other, 503)


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_different_faults_have_different_fingerprints(one: str, other: str) -> None:
    assert fingerprint_of(one, None) != fingerprint_of(other, None)


def test_the_code_is_part_of_the_fault() -> None:
    assert len({fingerprint_of("no", code) for code in (None, 500, 503)}) == 3


def test_a_fingerprint_has_twelve_hexadecimal_digits() -> None:
    for text in ("", "größer 日本", "\ud800", "x" * 100_000):
        assert FINGERPRINT.fullmatch(fingerprint_of(text, None))


def test_where_a_long_answer_was_cut_makes_no_difference() -> None:
    body = '{"detail": "the customer of this order has no address on file, see the book", "id": "%s", "x": "'
    bodies = [(body % identity + "x" * 500)[:200] for identity in ("7", "4bf92f3577b34da6a3ce929d0e0e4736")]
    errors = [of_answer(422, JobResult(422, each)).error for each in bodies]
    assert errors[0] != errors[1]
    assert len({fingerprint_of(error or "", 422) for error in errors}) == 1


def test_a_fingerprint_changes_nothing_else_of_the_error() -> None:
    error = with_fingerprint(JobError("no", 503))
    assert (error.message, error.code) == ("no", 503)
    assert error.fingerprint == fingerprint_of("no", 503)


@pytest.mark.parametrize("max_attempts", [1, 2])
def test_a_job_gets_it_when_it_fails_and_not_before(max_attempts: int) -> None:
    job = JobFactory()(max_attempts=max_attempts)
    outcome = of_connection_error("refused")
    for number in range(max_attempts):
        now = later(START, 1000 * (number + 1))
        job = begin(job, owner="w", token=f"b{number}", expires_at=later(now, 60), now=now).after
        job = finish(job, outcome, rules=RULES, jitter=0.5, token=f"f{number}", now=now).after
        assert job.last_error is not None
        is_last = number + 1 == max_attempts
        assert (job.phase is Phase.FAILED) == is_last
        assert job.last_error.fingerprint == (
            fingerprint_of("connection failed: refused", None) if is_last else None
        )
