from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobqueue_core.domain.job import AttemptOutcome
from jobqueue_core.domain.outcome import Outcome
from jobqueue_core.domain.retry import Decision, Fail, Retry, RetryPolicy, Succeed, backoff_seconds, decide

POLICY = RetryPolicy(max_attempts=3, initial_seconds=2, max_seconds=10, factor=2, retry_after_max_seconds=60)
SECONDS = st.floats(0, 1e6)
POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 100),
    initial_seconds=SECONDS,
    max_seconds=SECONDS,
    factor=st.floats(1, 100),
    retry_after_max_seconds=SECONDS,
)
JITTERS = st.floats(0, 1, exclude_max=True)
KINDS = st.sampled_from(AttemptOutcome)


def outcome(kind: AttemptOutcome, retry_after_seconds: float | None = None) -> Outcome:
    return Outcome(kind, "reason", retry_after_seconds=retry_after_seconds)


@pytest.mark.parametrize(
    ("kind", "attempts", "decision"),
    [
        (AttemptOutcome.SUCCEEDED, 1, Succeed()),
        (AttemptOutcome.SUCCEEDED, 3, Succeed()),
        (AttemptOutcome.REJECTED, 1, Fail(exhausted=False)),
        (AttemptOutcome.REJECTED, 3, Fail(exhausted=False)),
        (AttemptOutcome.RETRYABLE, 1, Retry(1.0)),
        (AttemptOutcome.RETRYABLE, 2, Retry(2.0)),
        (AttemptOutcome.RETRYABLE, 3, Fail(exhausted=True)),
        (AttemptOutcome.RETRYABLE, 4, Fail(exhausted=True)),
        (AttemptOutcome.LOST, 2, Retry(0.0)),
        (AttemptOutcome.LOST, 3, Fail(exhausted=True)),
        (AttemptOutcome.RELEASED, 2, Retry(0.0)),
        (AttemptOutcome.RELEASED, 3, Fail(exhausted=True)),
    ],
)
def test_what_follows_an_attempt(kind: AttemptOutcome, attempts: int, decision: Decision) -> None:
    assert decide(outcome(kind), attempts=attempts, max_attempts=3, policy=POLICY, jitter=0.5) == decision


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(None, 1.0), (0.0, 1.0), (0.5, 1.0), (30.0, 30.0), (60.0, 60.0), (61.0, 60.0), (1e9, 60.0)],
)
def test_retry_after_is_honoured_within_its_bound(asked: float | None, seconds: float) -> None:
    answer = outcome(AttemptOutcome.RETRYABLE, asked)
    assert decide(answer, attempts=1, max_attempts=3, policy=POLICY, jitter=0.5) == Retry(seconds)


@pytest.mark.parametrize(
    ("attempts", "bound"), [(1, 2.0), (2, 4.0), (3, 8.0), (4, 10.0), (5, 10.0), (10_000, 10.0)]
)
def test_the_backoff_grows_to_its_maximum(attempts: int, bound: float) -> None:
    assert backoff_seconds(attempts, POLICY, 0.0) == 0.0
    assert backoff_seconds(attempts, POLICY, 0.75) == 0.75 * bound


@given(policy=POLICIES, attempts=st.integers(1, 10**6), jitter=JITTERS)
def test_a_backoff_lies_between_zero_and_the_maximum(
    policy: RetryPolicy, attempts: int, jitter: float
) -> None:
    assert 0 <= backoff_seconds(attempts, policy, jitter) <= policy.max_seconds


def test_a_factor_that_overflows_gives_the_maximum() -> None:
    steep = replace(POLICY, initial_seconds=1e300, factor=1e300)
    assert backoff_seconds(64, steep, 0.5) == 5.0


@given(
    policy=POLICIES,
    kinds=st.lists(KINDS, min_size=120, max_size=120),
    asked=st.none() | st.floats(0, 1e12),
    jitter=JITTERS,
)
def test_no_sequence_of_outcomes_leads_to_more_calls_than_allowed(
    policy: RetryPolicy, kinds: list[AttemptOutcome], asked: float | None, jitter: float
) -> None:
    calls = 0
    for kind in kinds:
        calls += 1
        decision = decide(
            outcome(kind, asked),
            attempts=calls,
            max_attempts=policy.max_attempts,
            policy=policy,
            jitter=jitter,
        )
        if not isinstance(decision, Retry):
            break
        assert 0 <= decision.delay_seconds <= max(policy.max_seconds, policy.retry_after_max_seconds)
    assert calls <= policy.max_attempts


@given(
    policy=POLICIES,
    attempts=st.integers(1, 100),
    asked=st.none() | SECONDS,
    jitter=JITTERS,
    limit=st.integers(1, 100),
)
def test_a_rejected_job_is_never_called_again(
    policy: RetryPolicy, attempts: int, asked: float | None, jitter: float, limit: int
) -> None:
    refused = outcome(AttemptOutcome.REJECTED, asked)
    assert decide(refused, attempts=attempts, max_attempts=limit, policy=policy, jitter=jitter) == Fail(
        exhausted=False
    )


@given(policy=POLICIES, asked=SECONDS, jitter=JITTERS)
def test_retry_after_is_never_undercut_within_its_bound(
    policy: RetryPolicy, asked: float, jitter: float
) -> None:
    decision = decide(
        outcome(AttemptOutcome.RETRYABLE, asked), attempts=1, max_attempts=2, policy=policy, jitter=jitter
    )
    assert isinstance(decision, Retry)
    assert decision.delay_seconds >= min(asked, policy.retry_after_max_seconds)
