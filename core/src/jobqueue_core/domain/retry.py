"""Whether and when to call again: a policy and an outcome go in, a decision comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobqueue_core.domain.job import AttemptOutcome

if TYPE_CHECKING:
    from jobqueue_core.domain.outcome import Outcome

# Beyond this the wait is kept in the store and the relay sends the job again: SQS's longest
# DelaySeconds is 15 min, and a message may be invisible for 12 h in all (SQS quotas).
PARK_AFTER_SECONDS = 900.0
VISIBILITY_MAX_SECONDS = 43_200.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a queue retries.

    Attributes:
        max_attempts: calls at most, the first included.
        initial_seconds: upper end of the first wait.
        max_seconds: upper end of any wait of ours.
        factor: growth of the upper end from wait to wait.
        retry_after_max_seconds: the longest Retry-After that is honoured.
        max_deaths: workers in a row that a job may take with it before it is isolated.

    """

    max_attempts: int = 3
    initial_seconds: float = 2.0
    max_seconds: float = 300.0
    factor: float = 2.0
    retry_after_max_seconds: float = 3600.0
    max_deaths: int = 3


@dataclass(frozen=True, slots=True)
class Succeed:
    """The job is done."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Call again after `delay_seconds`."""

    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up: the job has failed for good."""

    exhausted: bool
    """True when attempts ran out, False when the service refused the job or it kills its workers."""


Decision = Succeed | Retry | Fail


def decide(
    outcome: Outcome, *, attempts: int, max_attempts: int, policy: RetryPolicy, jitter: float, deaths: int = 0
) -> Decision:
    """Decide what follows an attempt.

    Args:
        outcome: the verdict on the attempt.
        attempts: calls begun so far, this one included.
        max_attempts: the job's own limit (the policy's is the default at submission).
        policy: backoff of the queue.
        jitter: a uniform random number in [0, 1).
        deaths: attempts in a row that lost their worker, this one not included.

    """
    if outcome.kind is AttemptOutcome.SUCCEEDED:
        return Succeed()
    if outcome.kind is AttemptOutcome.REJECTED:
        return Fail(exhausted=False)
    if outcome.kind is AttemptOutcome.LOST and is_poison(deaths + 1, policy):
        return Fail(exhausted=False)
    if attempts >= max_attempts:
        return Fail(exhausted=True)
    if outcome.kind in (AttemptOutcome.LOST, AttemptOutcome.RELEASED):
        # Not the service's doing: there is nothing to wait for.
        return Retry(0.0)
    delay = backoff_seconds(attempts, policy, jitter)
    if outcome.retry_after_seconds is not None:
        delay = max(delay, min(outcome.retry_after_seconds, policy.retry_after_max_seconds))
    return Retry(delay)


def is_poison(deaths: int, policy: RetryPolicy) -> bool:
    """Tell whether a job has taken so many workers with it that it must not get another one."""
    return deaths >= policy.max_deaths


def backoff_seconds(attempts: int, policy: RetryPolicy, jitter: float) -> float:
    """Return the wait after the n-th attempt: exponential with full jitter.

    Full jitter (uniform between zero and the exponential bound) empties a thundering herd with
    the least work: AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).
    """
    # The bound is reached long before the power overflows.
    exponent = min(attempts - 1, 64)
    try:
        bound = policy.initial_seconds * policy.factor**exponent
    except OverflowError:
        bound = policy.max_seconds
    return jitter * min(policy.max_seconds, bound)
