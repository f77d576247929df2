"""What an answer of the external service means for the attempt that asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from jobqueue_core.domain.job import AttemptOutcome, JobResult, Step

if TYPE_CHECKING:
    from datetime import datetime

# Answers that say "not now" rather than "no" (RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4).
_RETRYABLE_4XX = frozenset({408, 425, 429})
_OK, _REDIRECT, _BAD, _SERVER_ERROR, _END = 200, 300, 400, 500, 600


@dataclass(frozen=True, slots=True)
class Outcome:
    """The verdict on one call."""

    kind: AttemptOutcome
    reason: str
    """Short and bounded (a label of metrics): `http_503`, `timeout`, `connection`, …"""
    code: int | None = None
    error: str | None = None
    retry_after_seconds: float | None = None
    result: JobResult | None = None


def of_answer(code: int, result: JobResult, retry_after_seconds: float | None = None) -> Outcome:
    """Judge an HTTP answer: 2xx succeeded; 408, 425, 429 and 5xx may be tried again; else no.

    Args:
        code: the HTTP status.
        result: the bounded body.
        retry_after_seconds: what the answer's Retry-After asked for.

    """
    reason = f"http_{code}"
    if _OK <= code < _REDIRECT:
        return Outcome(AttemptOutcome.SUCCEEDED, reason, code=code, result=result)
    error = f"the external service answered {code}"
    if result.body:
        error = f"{error}: {result.body[:200]}"
    if code in _RETRYABLE_4XX or _SERVER_ERROR <= code < _END:
        return Outcome(
            AttemptOutcome.RETRYABLE, reason, code, error=error, retry_after_seconds=retry_after_seconds
        )
    return Outcome(AttemptOutcome.REJECTED, reason, code, error=error)


def of_timeout(timeout_seconds: float) -> Outcome:
    """Judge a call that took longer than it may."""
    return Outcome(AttemptOutcome.RETRYABLE, "timeout", error=f"no answer within {timeout_seconds:g} s")


def of_connection_error(detail: str) -> Outcome:
    """Judge a call that broke before an answer came."""
    return Outcome(AttemptOutcome.RETRYABLE, "connection", error=f"connection failed: {detail}"[:300])


def of_refused_redirect(code: int, location: str) -> Outcome:
    """Judge a redirect that is not followed: to another host, or one that would drop the body."""
    error = f"the external service answered {code}, a redirect that is not followed: {location}"[:300]
    return Outcome(AttemptOutcome.REJECTED, "redirect", code, error=error)


def of_stopped_worker() -> Outcome:
    """Judge a call cut short because its worker had to stop."""
    return Outcome(AttemptOutcome.RELEASED, "released", error="the worker was stopped during the call")


def of_lost_worker(step: Step | None = None) -> Outcome:
    """Judge an attempt whose worker died or lost its lease; `step` is the last one noted."""
    error = "the worker died during the attempt, what the service did is unknown"
    if step is not None and step is not Step.CLAIMED:
        error += f" (last step reached: {step})"
    return Outcome(AttemptOutcome.LOST, "lost", error=error)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds a Retry-After header asks for: delta-seconds or HTTP-date (RFC 9110 §10.2.3).

    An unreadable header is as good as none.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Longer than any bound; keeps the float finite whatever is sent.
        return float(min(int(text.lstrip("0")[:10] or "0"), 10**9))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        # The asctime form names no zone: it is UTC by definition (RFC 9110 §5.6.7).
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
