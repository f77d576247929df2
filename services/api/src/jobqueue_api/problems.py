"""Errors as problem details (RFC 9457), each with a stable code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING

from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "https://jobqueue.dev/problems/"
STORE_RETRY_AFTER_SECONDS = 5
"""What Retry-After says while the database is away: about the length of an election."""

_SHOWN_MAX = 100
_LISTED_MAX = 20
_QUEUES_RETRY_AFTER_SECONDS = 2


class Kind(Enum):
    """What can go wrong: code, HTTP status, title. The code never changes its meaning."""

    VALIDATION_FAILED = ("validation_failed", 422, "The request is not valid")
    UNAUTHORIZED = ("unauthorized", 401, "A valid API key is needed")
    NOT_FOUND = ("not_found", 404, "There is nothing at this path")
    JOB_NOT_FOUND = ("job_not_found", 404, "There is no such job")
    QUEUE_NOT_FOUND = ("queue_not_found", 404, "There is no such queue")
    REDRIVE_NOT_FOUND = ("redrive_not_found", 404, "There is no such redrive")
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, "The path does not answer to this method")
    IDEMPOTENCY_CONFLICT = ("idempotency_conflict", 409, "The idempotency key belongs to another request")
    JOB_NOT_CANCELLABLE = ("job_not_cancellable", 409, "The job cannot be cancelled")
    JOB_NOT_RETRYABLE = ("job_not_retryable", 409, "The job cannot be retried")
    JOB_BUSY = ("job_busy", 409, "The job kept changing")
    REDRIVE_NOT_CANCELLABLE = ("redrive_not_cancellable", 409, "The redrive cannot be cancelled")
    BODY_TOO_LARGE = ("body_too_large", 413, "The request body is too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported_media_type", 415, "The request body must be JSON")
    INTERNAL_ERROR = ("internal_error", 500, "Something went wrong here")
    STORE_UNAVAILABLE = ("store_unavailable", 503, "The database is out of reach")
    QUEUE_UNAVAILABLE = ("queue_unavailable", 503, "SQS is out of reach")
    QUEUES_UNKNOWN = ("queues_unknown", 503, "Not every queue is known yet")
    NOT_READY = ("not_ready", 503, "Not ready to accept jobs")

    def __init__(self, code: str, status: int, title: str) -> None:
        self.code = code
        self.status = status
        self.title = title


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field that breaks a rule, in the client's own names."""

    field: str
    rule: str
    got: str | None = None

    def document(self) -> dict[str, str]:
        """Return it as JSON shows it."""
        document = {"field": self.field, "rule": self.rule}
        if self.got is not None:
            document["got"] = self.got
        return document


@dataclass(eq=False)
class Problem(Exception):  # noqa: N818 - the term of RFC 9457
    """An error that knows its answer.

    Attributes:
        kind: what went wrong.
        detail: one or two sentences on this occurrence.
        errors: the fields at fault.
        headers: more headers of the answer.
        extra: extension members of the document.

    """

    kind: Kind
    detail: str
    errors: Sequence[FieldError] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, object] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kind.code}: {self.detail}"

    def document(self, request_id: str | None = None) -> dict[str, object]:
        """Return the problem document."""
        document: dict[str, object] = {
            "type": TYPE_PREFIX + self.kind.code,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "code": self.kind.code,
        }
        if request_id is not None:
            document["requestId"] = request_id
        if self.errors:
            document["errors"] = [error.document() for error in self.errors]
        return document | dict(self.extra)

    def response(self, request_id: str) -> Response:
        """Return the answer."""
        return Response(
            # ASCII only: what is echoed may hold text that UTF-8 cannot carry.
            json.dumps(self.document(request_id)).encode(),
            self.kind.status,
            dict(self.headers),
            MEDIA_TYPE,
        )


def invalid(*errors: FieldError) -> Problem:
    """Return the problem of fields that break rules."""
    first = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Problem(Kind.VALIDATION_FAILED, f"{first.field} {first.rule}{more}", errors)


def store_unavailable(detail: str = "The database does not answer. Try again.") -> Problem:
    """Return the problem of a database that is away."""
    return Problem(Kind.STORE_UNAVAILABLE, detail, headers={"Retry-After": str(STORE_RETRY_AFTER_SECONDS)})


def queue_not_known_yet(queue: str) -> Problem:
    """Return the problem of a queue that may be one of those that are still being learnt."""
    return Problem(
        Kind.QUEUES_UNKNOWN,
        f"The queue {cut(queue)} is not known, and the cluster's queues have not been read yet. Try again.",
        headers={"Retry-After": str(_QUEUES_RETRY_AFTER_SECONDS)},
    )


def unforeseen() -> Problem:
    """Return the problem of an error of our own; what it was is for the log only."""
    return Problem(Kind.INTERNAL_ERROR, "The request could not be answered.")


def idempotency_conflict(key: str) -> Problem:
    """Return the problem of a key that came again with another request."""
    detail = "A job with this idempotency key exists in the queue and was submitted with other content."
    error = FieldError("idempotencyKey", "must be new, or come with the same job as before", shown(key))
    return Problem(Kind.IDEMPOTENCY_CONFLICT, detail, [error])


def shown(value: object) -> str | None:
    """Return a client's value as an error repeats it: bounded; None for what is no single value."""
    if value is None or isinstance(value, (dict, list, tuple, set, bytes)):
        return None
    text = value if isinstance(value, str) else _number(value)
    return cut(text)


def listed(names: Collection[str]) -> str:
    """Return names as an error lists them: bounded."""
    more = len(names) - _LISTED_MAX
    return ", ".join(islice(names, _LISTED_MAX)) + (f" and {more} more" if more > 0 else "")


def _number(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    try:
        return str(value)
    except ValueError:
        # Python refuses to write integers of more than 4300 digits.
        return "a very long number"


def cut(text: str) -> str:
    """Return the text, at most 100 characters of it."""
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 1] + "…"
