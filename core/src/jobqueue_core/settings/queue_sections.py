"""Sections that a queue may override: its SQS queue, external service, retries, slots and retention."""

from __future__ import annotations

from pydantic import Field

from jobqueue_core.settings.fields import (
    EnvName,
    HeaderName,
    HeaderValue,
    HttpUrl,
    QueueUrl,
    Section,
    SqsQueueName,
)
from jobqueue_core.settings.limits import CircuitBreaker, RateLimit

_DAY = 86_400.0
_TEN_YEARS = 3_650 * _DAY


class DeadLetterSettings(Section):
    """Where messages go that are given up."""

    queue_name: SqsQueueName | None = Field(
        default=None,
        description="Dead-letter queue in SQS. Not inherited by `queues`; unset: the queue's own name with "
        "`-dead-letter` (before `.fifo`).",
    )
    max_receive_count: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Receives after which SQS itself moves a message to the dead-letter queue; at least "
        "3 × `retry.max_attempts`, because shutdowns consume receives too.",
    )


class SqsSettings(Section):
    """The SQS queue that carries the jobs. The ranges are the quotas of SQS."""

    queue_name: SqsQueueName | None = Field(
        default=None,
        description="Queue in SQS; a name that ends in `.fifo` is a FIFO queue. Not inherited by `queues`; "
        "unset: `jobs` for the default queue, the queue's own name for every other.",
    )
    queue_url: QueueUrl | None = Field(
        default=None,
        description="The queue's URL in place of its name, for a queue of another account. "
        "Not inherited by `queues`.",
    )
    create: bool = Field(
        default=False,
        description="Create the queue and its dead-letter queue at start when they are missing. Meant for "
        "one machine: elsewhere the operator or the infrastructure makes them.",
    )
    visibility_timeout_seconds: int = Field(
        default=60,
        ge=1,
        le=43_200,
        description="How long a received message is hidden from other workers; longer than "
        "`processor.timeout_seconds`. Workers extend it while they work.",
    )
    receive_wait_seconds: int = Field(
        default=20,
        ge=0,
        le=20,
        description="How long one receive waits for messages (long polling); 0 does not wait and costs more.",
    )
    dead_letter: DeadLetterSettings = Field(
        default=DeadLetterSettings(), description="Where messages go that are given up."
    )


class HeaderFromSettings(Section):
    """A request header whose value an environment variable of the worker holds."""

    name: HeaderName = Field(description="Name of the header.")
    env: EnvName = Field(description="Environment variable of the worker that holds the value.")


class RateLimitSettings(RateLimit, Section):
    """How much the external service is asked for, by all workers of the queue together."""


class CircuitBreakerSettings(CircuitBreaker, Section):
    """When the external service is left alone because it fails, by all workers of the queue together."""


class ProcessorSettings(Section):
    """The external HTTP service that does the work."""

    url: HttpUrl | None = Field(
        default=None, description="Where jobs are posted (http or https). Workers need it; the API does not."
    )
    timeout_seconds: float = Field(
        default=30.0, gt=0, le=43_200, description="Longest wait for the whole answer of one attempt."
    )
    connect_timeout_seconds: float = Field(
        default=5.0, gt=0, le=600, description="Longest wait for the connection."
    )
    headers: dict[HeaderName, HeaderValue] = Field(
        default={},
        description="Headers of every request, name to value (never shown); `queues` add to them.",
    )
    headers_from: tuple[HeaderFromSettings, ...] = Field(
        default=(),
        description="Headers whose values environment variables of the worker hold (`name`, `env`); they win "
        "over `headers`. A list in `queues` replaces this one.",
    )
    result_max_bytes: int = Field(
        default=4096,
        ge=0,
        le=1_048_576,
        description="How much of the service's answer is kept with the job; the rest is cut.",
    )
    rate_limit: RateLimitSettings = Field(
        default=RateLimitSettings(),
        description="How much the service is asked for, by all workers of the queue together.",
    )
    circuit_breaker: CircuitBreakerSettings = Field(
        default=CircuitBreakerSettings(), description="When the service is left alone because it fails."
    )


class BackoffSettings(Section):
    """The wait before the next attempt: full jitter below an exponential bound."""

    initial_seconds: float = Field(
        default=2.0, ge=0, le=43_200, description="Upper bound of the wait before the second attempt."
    )
    max_seconds: float = Field(default=300.0, ge=0, le=43_200, description="Upper bound of any wait.")
    factor: float = Field(
        default=2.0, ge=1, le=100, description="What the bound is multiplied by with each attempt."
    )


class RetrySettings(Section):
    """How often a job is attempted, and when again."""

    max_attempts: int = Field(
        default=3, ge=1, le=100, description="Calls of the external service at most, the first included."
    )
    max_deaths: int = Field(
        default=3,
        ge=1,
        le=100,
        description="Workers in a row that may die of a job before it is isolated: it then fails, "
        "whatever attempts it has left.",
    )
    backoff: BackoffSettings = Field(
        default=BackoffSettings(), description="The wait before the next attempt."
    )
    retry_after_max_seconds: float = Field(
        default=3600.0,
        ge=0,
        le=43_200,
        description="Longest `Retry-After` of the external service that is honoured; longer counts as this.",
    )


class QueueWorkerSettings(Section):
    """What a queue may say about its workers."""

    concurrency: int = Field(default=10, ge=1, le=1000, description="Jobs that one worker runs at a time.")


class RetentionSettings(Section):
    """How long finished jobs are kept in the database."""

    succeeded_seconds: float = Field(
        default=7 * _DAY, ge=1, le=_TEN_YEARS, description="How long a job that succeeded is kept."
    )
    failed_seconds: float = Field(
        default=30 * _DAY, ge=1, le=_TEN_YEARS, description="How long a job that failed is kept."
    )
    cancelled_seconds: float = Field(
        default=7 * _DAY, ge=1, le=_TEN_YEARS, description="How long a job that was cancelled is kept."
    )
