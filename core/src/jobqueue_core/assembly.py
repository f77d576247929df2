"""From settings to the parts that every process is put together from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jobqueue_core.adapters.mongo.drivers import open_driver
from jobqueue_core.adapters.mongo.flow import MongoFlowStore
from jobqueue_core.adapters.mongo.redrives import MongoRedriveStore
from jobqueue_core.adapters.mongo.schedules import MongoScheduleStore
from jobqueue_core.adapters.mongo.store import MongoJobStore
from jobqueue_core.adapters.sqs.provision import QueuePlan
from jobqueue_core.domain.circuit import CircuitPolicy
from jobqueue_core.domain.flow import FlowPolicy
from jobqueue_core.domain.recurrence import Missed, Recurrence
from jobqueue_core.domain.retry import RetryPolicy
from jobqueue_core.domain.transitions import JobRules, Retention

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobqueue_core.adapters.mongo.drivers import Driver
    from jobqueue_core.settings.model import Settings
    from jobqueue_core.settings.queue import QueueSettings
    from jobqueue_core.settings.schedules import RecurringSettings

_TOKEN_BYTES = 12
_PROBE_SLACK_SECONDS = 10.0


def new_token() -> str:
    """Return a fencing token: 96 random bits, so that no two writes ever share one."""
    return os.urandom(_TOKEN_BYTES).hex()


def open_store(settings: Settings) -> MongoJobStore:
    """Return the job store, which closes its driver; it connects at its first operation."""
    return job_store(settings, open_database(settings))


def job_store(settings: Settings, driver: Driver) -> MongoJobStore:
    """Return the job store on a driver that others may share; closing the store closes it."""
    return MongoJobStore(driver, guard_index=settings.mongodb.guard_index)


def redrive_store(driver: Driver) -> MongoRedriveStore:
    """Return where redrives are kept, on a driver that the job store closes."""
    return MongoRedriveStore(driver)


def schedule_store(driver: Driver) -> MongoScheduleStore:
    """Return what is remembered of schedules, on a driver that the job store closes."""
    return MongoScheduleStore(driver)


def flow_store(driver: Driver) -> MongoFlowStore:
    """Return where workers share the limits of external services, on a driver that others close."""
    return MongoFlowStore(driver)


def open_database(settings: Settings) -> Driver:
    """Return the driver that every store of a process shares; it connects at its first operation."""
    mongodb = settings.mongodb
    return open_driver(
        mongodb.driver,
        mongodb.uri.get_secret_value(),
        mongodb.database,
        timeout_seconds=mongodb.timeout_seconds,
        max_pool_size=mongodb.max_pool_size,
    )


def queue_plan(queue: QueueSettings) -> QueuePlan:
    """Return what the SQS queues of a queue shall be."""
    return QueuePlan(
        name=queue.sqs.queue_name,
        url=queue.sqs.queue_url,
        dead_letter_name=queue.sqs.dead_letter_queue_name,
        visibility_timeout_seconds=queue.sqs.visibility_timeout_seconds,
        max_receive_count=queue.sqs.max_receive_count,
        create=queue.sqs.create,
    )


def recurrences(queue: str, schedules: Mapping[str, RecurringSettings]) -> tuple[Recurrence, ...]:
    """Return the schedules of a queue, each by its name in the settings."""
    return tuple(
        Recurrence(
            queue=queue,
            name=name,
            cron=schedule.cron,
            time_zone=schedule.time_zone,
            missed=Missed(schedule.missed),
            suspended=schedule.suspended,
            payload=schedule.payload,
            max_attempts=schedule.max_attempts,
            timeout_seconds=schedule.timeout_seconds,
            ordering_key=schedule.ordering_key,
            labels=schedule.labels,
        )
        for name, schedule in schedules.items()
    )


def flow_policy(queue: QueueSettings) -> FlowPolicy:
    """Return how much a queue's external service may be asked for."""
    processor = queue.processor
    breaker = processor.circuit_breaker
    return FlowPolicy(
        per_second=processor.rate_limit.per_second,
        concurrent=processor.rate_limit.concurrent,
        pause_max_seconds=queue.retry.retry_after_max_seconds,
        circuit=CircuitPolicy(
            enabled=breaker.enabled,
            window_seconds=breaker.window_seconds,
            minimum_calls=breaker.minimum_calls,
            failure_ratio=breaker.failure_ratio,
            open_seconds=breaker.open_seconds,
            # The call itself, and what is to be done before and after it.
            probe_seconds=processor.timeout_seconds + _PROBE_SLACK_SECONDS,
        ),
    )


def job_rules(settings: Settings, queue: QueueSettings) -> JobRules:
    """Return what the steps of a queue's jobs depend on."""
    retry, backoff, retention = queue.retry, queue.retry.backoff, queue.retention
    return JobRules(
        retry=RetryPolicy(
            max_attempts=retry.max_attempts,
            initial_seconds=backoff.initial_seconds,
            max_seconds=backoff.max_seconds,
            factor=backoff.factor,
            retry_after_max_seconds=retry.retry_after_max_seconds,
            max_deaths=retry.max_deaths,
        ),
        retention=Retention(
            succeeded_seconds=retention.succeeded_seconds,
            failed_seconds=retention.failed_seconds,
            cancelled_seconds=retention.cancelled_seconds,
        ),
        fifo=queue.sqs.fifo,
        relay_grace_seconds=settings.relay.grace_seconds,
        idempotency_seconds=settings.api.idempotency_seconds,
    )
