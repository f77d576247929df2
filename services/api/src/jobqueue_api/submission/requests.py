"""From the bytes of a request to a checked submission."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import ValidationError
from pydantic_core import PydanticCustomError

from jobqueue_api.problems import FieldError, invalid, listed, queue_not_known_yet, shown
from jobqueue_api.submission.schemas import REQUEST, RULES, UNKNOWN, JobRequest, idempotency_key
from jobqueue_api.validation import field_errors
from jobqueue_core.domain.submission import Submission

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from datetime import datetime

# W3C Trace Context §3.2: version 00 has exactly this form, lower case, neither id all zeros.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


# Only JSON with one of these can hold a number that cannot be written again: NaN, an exponent, or
# very many digits (the largest float has 309).
_SUSPICIOUS = re.compile(rb"NaN|Infinity|[0-9][eE]|[0-9]{300}")


@dataclass(frozen=True, slots=True)
class SubmissionLimits:
    """What a submission may ask for.

    Attributes:
        default_queue: the queue of a submission that names none.
        queues: the queues there are, as of now.
        max_delay_seconds: furthest that a job may be scheduled ahead.
        is_complete: tells whether every queue is among them; not while the cluster's are still being learnt.

    """

    default_queue: str
    queues: Collection[str]
    max_delay_seconds: float
    is_complete: Callable[[], bool] = lambda: True


def parse_submission(
    body: bytes, headers: Mapping[bytes, bytes], limits: SubmissionLimits, now: datetime
) -> Submission:
    """Return what the client asks for.

    Args:
        body: the JSON; empty for a job of the default queue with an empty payload.
        headers: of the request; Idempotency-Key and traceparent count.
        limits: the bounds that the settings draw.
        now: bounds `runAt`.

    Raises:
        Problem: every field that breaks a rule; or the queue is not known yet.

    """
    trace = traceparent(headers)
    key = headers.get(b"idempotency-key")
    if not body and key is None:
        return Submission(queue=limits.default_queue, traceparent=trace)
    try:
        request = REQUEST.validate_json(body or b"{}")
    except ValidationError as error:
        raise invalid(*field_errors(error.errors(include_url=False), RULES, UNKNOWN)) from None
    errors: list[FieldError] = []
    if key is not None:
        request, errors = _with_key(request, key.decode("latin-1"))
    submission, more = check(request, limits, now, trace, suspicious=is_suspicious(body))
    if errors or more:
        raise invalid(*errors, *more)
    return submission


def parse_entry(
    entry: object, limits: SubmissionLimits, now: datetime, trace: str | None, *, suspicious: bool
) -> tuple[Submission | None, list[FieldError]]:
    """Return one entry of a batch, or what is wrong with it.

    Raises:
        Problem: its queue is not known yet.

    """
    try:
        request = REQUEST.validate_python(entry)
    except ValidationError as error:
        found = field_errors(error.errors(include_url=False), RULES, UNKNOWN)
        return None, [FieldError("job", one.rule, one.got) if one.field == "body" else one for one in found]
    submission, errors = check(request, limits, now, trace, suspicious=suspicious)
    return (None, errors) if errors else (submission, [])


def is_suspicious(body: bytes) -> bool:
    """Tell whether the JSON may hold numbers that can be read and not written, such as 1e999."""
    return _SUSPICIOUS.search(body) is not None


def check(
    request: JobRequest, limits: SubmissionLimits, now: datetime, trace: str | None, *, suspicious: bool
) -> tuple[Submission, list[FieldError]]:
    """Apply the rules that a single field cannot see.

    Raises:
        Problem: the queue is not known yet.

    """
    errors: list[FieldError] = []
    queue = limits.default_queue if request.queue is None else request.queue
    if queue not in limits.queues:
        if not limits.is_complete():
            raise queue_not_known_yet(queue)
        rule = f"must be a configured queue: {listed(limits.queues)}"
        errors.append(FieldError("queue", rule, shown(queue)))
    if suspicious and not _can_be_kept(request.payload):
        errors.append(FieldError("payload", RULES["payload"]))
    if request.run_at is not None and request.delay_seconds is not None:
        errors.append(FieldError("delaySeconds", "must not come together with runAt"))
    elif request.delay_seconds is not None and request.delay_seconds > limits.max_delay_seconds:
        rule = f"must be at least 0 and at most {limits.max_delay_seconds:.15g}"
        errors.append(FieldError("delaySeconds", rule, shown(request.delay_seconds)))
    elif request.run_at is not None and request.run_at > now + timedelta(seconds=limits.max_delay_seconds):
        rule = f"must be at most {limits.max_delay_seconds:.15g} seconds from now"
        errors.append(FieldError("runAt", rule, request.run_at.isoformat()))
    submission = Submission(
        queue=queue,
        payload=request.payload,
        run_at=request.run_at,
        delay_seconds=request.delay_seconds,
        max_attempts=request.max_attempts,
        timeout_seconds=request.timeout_seconds,
        ordering_key=request.ordering_key,
        labels=request.labels,
        idempotency_key=request.idempotency_key,
        traceparent=trace,
    )
    return submission, errors


def _with_key(request: JobRequest, key: str) -> tuple[JobRequest, list[FieldError]]:
    try:
        idempotency_key(key)
    except PydanticCustomError:
        return request, [FieldError("Idempotency-Key", RULES["idempotencyKey"], shown(key))]
    if request.idempotency_key not in (None, key):
        rule = "must be the same in the body as in the header Idempotency-Key, or stand in one of them"
        return request, [FieldError("idempotencyKey", rule, shown(request.idempotency_key))]
    return request.model_copy(update={"idempotency_key": key}), []


def _can_be_kept(payload: Mapping[str, object]) -> bool:
    """Tell whether the payload can be written as JSON again."""
    try:
        json.dumps(payload, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def traceparent(headers: Mapping[bytes, bytes]) -> str | None:
    """Return the W3C trace context of the request; one that is malformed counts as none (§3.2.2)."""
    given = headers.get(b"traceparent")
    if given is None:
        return None
    text = given.decode("latin-1").strip()
    return text if _TRACEPARENT.fullmatch(text) else None
