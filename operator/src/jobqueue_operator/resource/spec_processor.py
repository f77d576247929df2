"""`spec.processor` and `spec.retry`: the external service, and how often it is called."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field

from jobqueue_core.settings import fields
from jobqueue_core.settings.limits import CircuitBreaker, RateLimit
from jobqueue_operator.resource.part import ObjectName, Part, keyed_by, one_each
from jobqueue_operator.resource.rule import Rule, matches, text

_RESERVED = sorted(fields.RESERVED_HEADERS)

# No rule in the schema: a service that is not a URL is told by a condition, which can say more than the
# refusal of the whole object, and a JobQueue may be written before its service has an address.
ProcessorUrl = Annotated[fields.HttpUrl, Field(min_length=1, max_length=2048)]
HeaderName = Annotated[
    str,
    Field(max_length=128),
    matches(
        r"[A-Za-z0-9!#$%&'*+.^_`|~-]+",
        "must be the name of an HTTP header (RFC 9110, token), and not of one that the worker sets itself: "
        + ", ".join(_RESERVED),
        also=(
            f"!(self.lowerAscii() in [{', '.join(map(text, _RESERVED))}])",
            lambda name: name.lower() not in fields.RESERVED_HEADERS,
        ),
    ),
]
_SECRET_KEY = re.compile(r"[A-Za-z0-9._-]+")


def _secret_key(key: str) -> str:
    if not _SECRET_KEY.fullmatch(key):
        raise fields.broken("must be a key of a Secret: letters, digits, - . and _")
    return key


class SecretKeyRef(Part):
    """One key of a Secret in the namespace of the JobQueue."""

    name: ObjectName = Field(description="Name of the Secret.")
    key: Annotated[str, AfterValidator(_secret_key)] = Field(
        min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._-]+$", description="Key in the Secret."
    )


class HeaderFromSpec(Part):
    """A request header whose value a Secret holds."""

    name: HeaderName = Field(description="Name of the header.")
    secret_key_ref: SecretKeyRef = Field(description="Where its value is.")


class RateLimitSpec(RateLimit, Part):
    """How much the external service is asked for, by all workers of the queue together."""


class CircuitBreakerSpec(CircuitBreaker, Part):
    """When the external service is left alone because it fails, by all workers of the queue together."""


_PROCESSOR_RULES: tuple[Rule[ProcessorSpec], ...] = (
    Rule(
        cel="!has(self.headersFrom) || self.headersFrom.all(one, self.headersFrom.exists_one(other, "
        "other.name.lowerAscii() == one.name.lowerAscii()))",
        message="must have one entry a header; names are compared without case",
        holds=lambda processor: one_each(tuple(each.name.lower() for each in processor.headers_from)),
        field=".headersFrom",
    ),
)


class ProcessorSpec(Part):
    """The external HTTP service that does the work."""

    RULES: ClassVar[tuple[Rule[Any], ...]] = _PROCESSOR_RULES

    url: ProcessorUrl = Field(
        description="Where jobs are posted: an http:// or https:// URL with a host and without a user or "
        "password. Anything else is told by the condition `Ready`."
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, le=43_200, description="Longest wait for the whole answer of one attempt."
    )
    headers_from: tuple[HeaderFromSpec, ...] = Field(
        default=(),
        max_length=20,
        json_schema_extra=keyed_by("name"),
        description="Headers of every request whose values Secrets hold.",
    )
    rate_limit: RateLimitSpec | None = Field(
        default=None,
        description="How much the service is asked for, by all workers of the queue together.",
    )
    circuit_breaker: CircuitBreakerSpec | None = Field(
        default=None,
        description="When the service is left alone because it fails. Unset: as the workers are configured, "
        "by default after 80 % failures of at least 20 calls within 30 s.",
    )


_BACKOFF_RULES: tuple[Rule[BackoffSpec], ...] = (
    Rule(
        cel="self.initialSeconds <= self.maxSeconds",
        message="must be at most maxSeconds",
        holds=lambda backoff: backoff.initial_seconds <= backoff.max_seconds,
        field=".initialSeconds",
    ),
)


class BackoffSpec(Part):
    """The wait before the next attempt: full jitter below an exponential bound."""

    RULES: ClassVar[tuple[Rule[Any], ...]] = _BACKOFF_RULES

    initial_seconds: float = Field(
        default=2.0,
        ge=0,
        le=43_200,
        description="Upper bound of the wait before the second attempt; at most `maxSeconds`.",
    )
    max_seconds: float = Field(default=300.0, ge=0, le=43_200, description="Upper bound of any wait.")
    factor: float = Field(
        default=2.0, ge=1, le=100, description="What the bound is multiplied by with each attempt."
    )


class RetrySpec(Part):
    """How often a job is attempted, and when again."""

    max_attempts: int = Field(
        default=3, ge=1, le=100, description="Calls of the external service at most, the first included."
    )
    backoff: BackoffSpec = Field(default=BackoffSpec(), description="The wait before the next attempt.")
