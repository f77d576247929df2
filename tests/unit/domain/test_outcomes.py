from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue_core.domain.job import AttemptOutcome, JobResult
from jobqueue_core.domain.outcome import (
    Outcome,
    of_answer,
    of_connection_error,
    of_lost_worker,
    of_refused_redirect,
    of_stopped_worker,
    of_timeout,
    parse_retry_after,
)

NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def expected(code: int) -> AttemptOutcome:
    if code // 100 == 2:
        return AttemptOutcome.SUCCEEDED
    if code // 100 == 5 or code in (408, 425, 429):
        return AttemptOutcome.RETRYABLE
    return AttemptOutcome.REJECTED


def test_every_answer_is_judged_by_its_code() -> None:
    codes = range(100, 600)
    outcomes = {code: of_answer(code, JobResult(code, "body")) for code in codes}
    assert {code: outcome.kind for code, outcome in outcomes.items()} == {
        code: expected(code) for code in codes
    }
    assert {code: (outcome.code, outcome.reason) for code, outcome in outcomes.items()} == {
        code: (code, f"http_{code}") for code in codes
    }


def test_only_an_answer_of_success_keeps_its_body() -> None:
    body = JobResult(200, "done")
    assert of_answer(200, body).result == body
    assert of_answer(200, body).error is None
    assert of_answer(500, JobResult(500, "boom")).result is None


def test_an_error_quotes_the_beginning_of_the_answer() -> None:
    assert of_answer(503, JobResult(503, "")).error == "the external service answered 503"
    assert (
        of_answer(400, JobResult(400, "x" * 1000)).error == f"the external service answered 400: {'x' * 200}"
    )


def test_only_an_answer_that_may_be_tried_again_carries_its_retry_after() -> None:
    assert of_answer(429, JobResult(429, ""), 7.0).retry_after_seconds == 7.0
    assert of_answer(404, JobResult(404, ""), 7.0).retry_after_seconds is None


@pytest.mark.parametrize(
    ("outcome", "kind", "reason", "code"),
    [
        (of_timeout(1.5), AttemptOutcome.RETRYABLE, "timeout", None),
        (of_connection_error("refused"), AttemptOutcome.RETRYABLE, "connection", None),
        (of_refused_redirect(302, "http://elsewhere/"), AttemptOutcome.REJECTED, "redirect", 302),
        (of_stopped_worker(), AttemptOutcome.RELEASED, "released", None),
        (of_lost_worker(), AttemptOutcome.LOST, "lost", None),
    ],
    ids=["timeout", "connection", "redirect", "stopped", "lost"],
)
def test_calls_without_an_answer_are_judged(
    outcome: Outcome, kind: AttemptOutcome, reason: str, code: int | None
) -> None:
    assert (outcome.kind, outcome.reason, outcome.code) == (kind, reason, code)
    assert outcome.error


def test_what_the_network_says_is_bounded() -> None:
    assert len(of_connection_error("x" * 10_000).error or "") == 300
    assert len(of_refused_redirect(302, "x" * 10_000).error or "") == 300


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("0000000000000007", 7.0),
        ("9" * 5000, 1e9),
        ("Thu, 01 Jan 2026 12:01:30 GMT", 90.0),
        ("Thu, 01 Jan 2026 12:01:30 -0000", 90.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("Thu Jan  1 12:01:30 2026", 90.0),
        ("Thursday, 01-Jan-26 12:01:30 GMT", 90.0),
    ],
)
def test_a_readable_retry_after(header: str, seconds: float) -> None:
    assert parse_retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "soon",
        "-5",
        "+5",
        "1.5",
        "1e3",
        "٣",
        "²",
        "Thu, 32 Jan 2026 12:01:30 GMT",
        "Thu, 01 Jan 9999999999 00:00:00 GMT",
        "Thu, 01 Jan 2026 00:00:00 +99999999999999",
        "2026-01-01T12:01:30Z",
    ],
)
def test_an_unreadable_retry_after_is_as_good_as_none(header: str | None) -> None:
    assert parse_retry_after(header, NOW) is None


@given(
    st.text() | st.from_regex(r"(\w{3}, )?\d{1,3} \w{3} \d{1,12} [\d:]{0,9} [+-]?\d{0,20}", fullmatch=True)
)
def test_no_retry_after_breaks_the_parser(header: str) -> None:
    seconds = parse_retry_after(header, NOW)
    assert seconds is None or 0 <= seconds < float("inf")
